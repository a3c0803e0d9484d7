#include "data/npy.hpp"

#include <bit>
#include <charconv>
#include <cstring>
#include <limits>

#include "base/error.hpp"

namespace sparrow {
namespace {

static_assert(std::endian::native == std::endian::little, "npy files are mapped as they are");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr int64_t kAlignment = 64;  // of the data in the file, as NumPy writes it

int64_t size_of(NpyType type) {
  return type == NpyType::int64 ? 8 : 4;
}

std::string_view descr_of(NpyType type) {
  switch (type) {
    case NpyType::float32:
      return "<f4";
    case NpyType::int32:
      return "<i4";
    case NpyType::int64:
      return "<i8";
  }
  return "";
}

/// Number of values of a shape; Error if it is negative, has not one or two numbers, or the bytes do not fit in int64.
int64_t product(const std::string& path, const std::vector<int64_t>& shape) {
  if (shape.empty() || shape.size() > 2)
    fail("{}: npy arrays of {} dimensions are not read, only 1 or 2", path, shape.size());
  int64_t count = 1;
  for (const int64_t n : shape) {
    if (n < 0) fail("{}: npy header: negative number {} in the shape", path, n);
    if (__builtin_mul_overflow(count, n, &count) || count > std::numeric_limits<int64_t>::max() / 8)
      fail("{}: npy header: the shape is too large", path);
  }
  return count;
}

/// The header's text, a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderReader {
 public:
  HeaderReader(const std::string& path, std::string_view text) : path_(path), text_(text) {}

  void read(std::string& descr, bool& fortran_order, std::vector<int64_t>& shape) {
    bool seen[3] = {};
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      const int which = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (which < 0 || seen[which]) malformed("unknown or repeated key");
      seen[which] = true;
      if (which == 0) descr = quoted();
      if (which == 1) fortran_order = boolean();
      if (which == 2) shape = tuple();
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) malformed("text after the dictionary");
    if (!seen[0] || !seen[1] || !seen[2]) malformed("descr, fortran_order or shape is missing");
  }

 private:
  [[noreturn]] void malformed(std::string_view what) {
    fail("{}: npy header: {} (byte {} of its text)", path_, what, at_);
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) malformed(fmt::format("'{}' expected", c));
  }
  std::string quoted() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') malformed("a string expected");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) malformed("unfinished string");
    const std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  bool boolean() {
    skip_space();
    for (const std::string_view word : {"False", "True"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return word == "True";
    }
    malformed("True or False expected");
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> values;
    expect('(');
    while (!accept(')')) {
      skip_space();
      int64_t value = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (error != std::errc{}) malformed("a number expected in the shape");
      at_ = static_cast<size_t>(end - text_.data());
      values.push_back(value);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }

  const std::string& path_;
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

NpyFile::NpyFile(const std::string& path) : path_(path), file_(path) {
  const std::string_view bytes = file_.bytes();
  if (bytes.size() < 10 || !bytes.starts_with(kMagic)) fail("{} is not an npy file", path);
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version != 1 && version != 2) fail("{}: npy version {} is not read, only 1 and 2", path, version);
  const size_t length_bytes = version == 1 ? 2 : 4;
  const size_t text_offset = 8 + length_bytes;
  if (bytes.size() < text_offset) fail("{}: cut short in the npy header", path);
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  if (length > bytes.size() - text_offset)
    fail("{}: cut short in the npy header ({} bytes of text said)", path, length);

  std::string descr;
  bool fortran_order = false;
  HeaderReader(path, bytes.substr(text_offset, length)).read(descr, fortran_order, shape_);
  for (type_ = NpyType::float32; descr_of(type_) != descr; type_ = static_cast<NpyType>(static_cast<int>(type_) + 1))
    if (type_ == NpyType::int64) fail("{}: values of type '{}' are not read, only <f4, <i4 and <i8", path, descr);
  if (fortran_order) fail("{}: Fortran order is not read, only C order", path);
  data_offset_ = static_cast<int64_t>(text_offset + length);
  if (data_offset_ % size_of(type_) != 0)
    fail("{}: the data are not aligned (they begin at byte {})", path, data_offset_);
  const int64_t expected = product(path, shape_) * size_of(type_);
  if (file_.size() - data_offset_ != expected)
    fail("{}: {} bytes of data, but the npy header says {}", path, file_.size() - data_offset_, expected);
}

const void* NpyFile::data_of(NpyType type) const {
  if (type != type_) fail("{}: holds values of type {}, {} expected", path_, descr_of(type_), descr_of(type));
  return file_.data() + data_offset_;
}

NpyWriter::NpyWriter(const std::string& path, NpyType type, std::vector<int64_t> shape)
    : path_(path), type_(type), missing_(product(path, shape)), file_(path) {
  const std::string dimensions =
      shape.size() == 1 ? fmt::format("({},)", shape[0]) : fmt::format("({}, {})", shape[0], shape[1]);
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr_of(type), dimensions);
  const size_t head = kMagic.size() + 4;
  const size_t total = (head + text.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  text.resize(total - head - 1, ' ');
  text += '\n';
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  header += text;
  file_.write(header.data(), header.size());
}

void NpyWriter::append_bytes(NpyType type, const void* values, int64_t count) {
  SPARROW_CHECK(!file_.finished(), "{} is finished", path_);
  SPARROW_CHECK(type == type_, "{} holds {}, not {}", path_, descr_of(type_), descr_of(type));
  SPARROW_CHECK(count <= missing_, "{}: {} values more than its shape holds", path_, count - missing_);
  if (count == 0) return;
  file_.write(values, count * size_of(type));
  missing_ -= count;
}

void NpyWriter::finish() {
  SPARROW_CHECK(!file_.finished(), "{} is finished", path_);
  SPARROW_CHECK(missing_ == 0, "{}: {} values are missing", path_, missing_);
  file_.finish();
}

}  // namespace sparrow
