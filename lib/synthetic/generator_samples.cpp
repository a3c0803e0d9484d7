#include "synthetic/generator_samples.hpp"

#include <charconv>
#include <optional>

#include "base/error.hpp"
#include "data/criteo.hpp"
#include "data/criteo_tsv.hpp"
#include "data/gzip.hpp"
#include "data/mapped_file.hpp"
#include "data/npy.hpp"
#include "data/shard_index.hpp"

namespace sparrow {
namespace {

/// Lines of a text file, plain or gzip, read forwards and only as far as asked for.
class LineReader {
 public:
  explicit LineReader(const std::string& path) {
    if (is_gzip(path)) {
      gzip_.emplace(path);
    } else {
      plain_ = file_.emplace(path).bytes();
    }
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
  /// Appends text; false at the end of the file.
  bool more() {
    const std::string_view piece = gzip_ ? gzip_->next() : plain_.substr(0, kBytes);
    if (!gzip_) plain_.remove_prefix(piece.size());
    text_.append(piece);
    return !piece.empty();
  }

  static constexpr size_t kBytes = size_t{1} << 18;
  std::optional<GzipReader> gzip_;
  std::optional<MappedFile> file_;
  std::string_view plain_;  ///< of file_, what is still to come
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
