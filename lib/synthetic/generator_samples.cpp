#include "synthetic/generator_samples.hpp"

#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>

#include "base/error.hpp"
#include "data/criteo.hpp"
#include "data/criteo_tsv.hpp"
#include "data/npy.hpp"
#include "data/shard_index.hpp"

namespace sparrow {
namespace {

/// Lines of a text file, plain or gzip (any number of members), read forwards and only as far as asked for.
class LineReader {
 public:
  explicit LineReader(const std::string& path)
      : path_(path), gzip_(is_gzip(path)), file_(std::fopen(path.c_str(), "rb")) {
    if (!file_) fail_errno(fmt::format("cannot open {}", path));
    if (gzip_) start_member();
  }

  /// The next line without its line feed, valid until the next call; false at the end.
  bool next(std::string_view& line) {
    for (;;) {
      const size_t end = text_.find('\n', at_);
      if (end != std::string::npos) {
        line = std::string_view(text_).substr(at_, end - at_);
        at_ = end + 1;
        return true;
      }
      text_.erase(0, at_);
      at_ = 0;
      if (!more()) break;
    }
    line = text_;
    at_ = text_.size();
    return !text_.empty();
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  static constexpr size_t kBytes = size_t{1} << 18;

  void start_member() {
    isal_inflate_init(&stream_);
    stream_.crc_flag = ISAL_GZIP;  // header parsed, checksum verified
    inside_ = false;
  }

  bool read_input() {
    input_.resize(kBytes);
    input_.resize(std::fread(input_.data(), 1, kBytes, file_.get()));
    if (std::ferror(file_.get()) != 0) fail_errno(fmt::format("cannot read {}", path_));
    return !input_.empty();
  }

  /// Appends text; false at the end of the file.
  bool more() {
    if (!gzip_) {
      const bool some = read_input();
      text_.append(input_.begin(), input_.end());
      return some;
    }
    for (;;) {
      if (left_ == 0) {
        if (!read_input()) {
          if (inside_) fail("{}: the gzip file is cut short", path_);
          return false;
        }
        left_ = input_.size();
      }
      if (stream_.block_state == ISAL_BLOCK_FINISH) start_member();
      const size_t before = text_.size();
      text_.resize(before + kBytes);
      stream_.next_in = reinterpret_cast<uint8_t*>(input_.data()) + (input_.size() - left_);
      stream_.avail_in = static_cast<uint32_t>(left_);
      stream_.next_out = reinterpret_cast<uint8_t*>(text_.data()) + before;
      stream_.avail_out = static_cast<uint32_t>(kBytes);
      const int error = isal_inflate(&stream_);
      if (error != ISAL_DECOMP_OK) fail("{}: not a whole gzip file (isal_inflate: {})", path_, error);
      left_ = stream_.avail_in;
      inside_ = stream_.block_state != ISAL_BLOCK_FINISH;
      text_.resize(before + kBytes - stream_.avail_out);
      if (text_.size() > before) return true;
    }
  }

  std::string path_;
  bool gzip_;
  std::unique_ptr<std::FILE, Close> file_;
  inflate_state stream_{};
  bool inside_ = false;  ///< within a member
  std::string input_;
  size_t left_ = 0;  ///< bytes of input_ not yet inflated
  std::string text_;
  size_t at_ = 0;
};

void add_integers(std::string_view line, RawSamples& out) {
  uint16_t missing = 0;
  const char* at = line.data() + line.find('\t') + 1;
  for (size_t i = 0; i < kCriteoDense; ++i) {
    int64_t value = 0;
    const char* const begin = at;
    at = std::from_chars(at, line.data() + line.size(), value).ptr;  // the line was parsed before, so this is right
    if (at == begin) missing = static_cast<uint16_t>(missing | 1u << i);
    out.integers[i].push_back(value);
    ++at;  // the tab
  }
  out.missing_integers.push_back(missing);
}

void read_text_shard(const std::string& file, int64_t samples, RawSamples& out) {
  LineReader reader(file);
  std::array<float, kCriteoDense> dense;
  std::array<uint32_t, kCriteoTables> categories;
  float label = 0;
  std::string_view line;
  for (int64_t number = 1; out.size() < samples && reader.next(line); ++number) {
    const char* const end = line.data() + line.size();
    if (line.empty() || parse_criteo_line(line.data(), end, label, dense.data(), categories.data(), 1) == nullptr)
      fail_at(file, number, "{}", explain_criteo_line(line));
    out.labels.push_back(label > 0);
    for (size_t c = 0; c < kCriteoTables; ++c) out.categories[c].push_back(categories[c]);
    add_integers(line, out);
  }
}

void read_npy_shard(const std::string& file, int64_t samples, RawSamples& out) {
  const std::string stem = file.substr(0, file.size() - std::string_view("_dense.npy").size());
  const NpyFile sparse(stem + "_sparse.npy"), labels(stem + "_labels.npy");
  if (sparse.columns() != kCriteoTables || labels.columns() != 1 || labels.rows() != sparse.rows())
    fail("{}: shapes ({}, {}) and ({}, {}) are not those of categories and labels", file, sparse.rows(),
         sparse.columns(), labels.rows(), labels.columns());
  const auto values = sparse.values<int32_t>();
  const auto clicks = labels.values<int32_t>();
  for (int64_t i = 0; i < sparse.rows() && out.size() < samples; ++i) {
    out.labels.push_back(clicks[i] != 0);
    for (size_t c = 0; c < kCriteoTables; ++c)
      out.categories[c].push_back(static_cast<uint32_t>(values[static_cast<size_t>(i) * kCriteoTables + c]));
  }
}

}  // namespace

RawSamples read_samples(const std::vector<std::string>& files, int64_t samples) {
  RawSamples out;
  int arrays = 0;
  for (const std::string& file : files) {
    if (file.ends_with("_dense.npy")) {
      ++arrays;
      read_npy_shard(file, samples, out);
    } else {
      read_text_shard(file, samples, out);
    }
  }
  if (arrays != 0 && arrays != std::ssize(files)) fail("text and npy shards cannot be compared together");
  out.has_integers = arrays == 0;
  if (out.size() == 0) fail("no samples in {} files", files.size());
  return out;
}

}  // namespace sparrow
