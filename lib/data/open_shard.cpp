#include "data/open_shard.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "data/criteo.hpp"
#include "data/criteo_tsv.hpp"

namespace sparrow {

/// Walks along the lines that are samples.
class OpenShard::Cursor {
 public:
  Cursor(const OpenShard& shard, int64_t sample) : shard_(shard) {
    const ShardIndex& index = shard.index_;
    const int64_t offset = index.offsets[sample / ShardIndex::kStride];
    bad_ = std::lower_bound(index.bad_lines.begin(), index.bad_lines.end(), offset,
                            [](const BadLine& bad, int64_t value) { return bad.offset < value; });
    move_to(shard.text_.data() + offset);
    for (int64_t i = sample % ShardIndex::kStride; i > 0; --i) skip();
  }
  /// Where the present line begins; the end of the text after the last one.
  const char* line() const { return line_; }
  void skip() { move_to(after(line_)); }
  /// Goes on at `line`, or behind the bad lines that begin there.
  void move_to(const char* line) {
    while (bad_ != shard_.index_.bad_lines.end() && bad_->offset == line - shard_.text_.data()) {
      line = after(line);
      ++bad_;
    }
    line_ = line;
  }

 private:
  const char* after(const char* line) const {
    const char* const end = shard_.text_.data() + shard_.text_.size();
    const void* found = std::memchr(line, '\n', end - line);
    return found != nullptr ? static_cast<const char*>(found) + 1 : end;
  }
  const OpenShard& shard_;
  std::vector<BadLine>::const_iterator bad_;
  const char* line_ = nullptr;
};

OpenShard::OpenShard(const ShardIndex& index) : index_(index) {
  int64_t bytes = 0;
  if (index.kind == ShardKind::npy) {
    npy_ = std::make_unique<NpyShard>(index.path);
    bytes = npy_->bytes();
  } else {
    text_ = MappedFile(index.path);
    bytes = text_.size();
  }
  if (bytes != index.bytes)
    fail("{}: the file has changed: {} bytes now, {} when it was scanned", index.path, bytes, index.bytes);
}

void OpenShard::read(int64_t first, int64_t count, const SampleTarget& target, int64_t at) const {
  if (npy_) {
    npy_->prefetch(first, first + count);
    for (int64_t i = 0; i < count; ++i) read_npy(first + i, target, at + i);
    npy_->release(first, first + count);
    return;
  }
  const size_t behind = static_cast<size_t>((first + count - 1) / ShardIndex::kStride) + 1;
  const int64_t begin = index_.offsets[first / ShardIndex::kStride];
  text_.prefetch(begin, behind < index_.offsets.size() ? index_.offsets[behind] : text_.size());
  Cursor cursor(*this, first);
  for (int64_t i = 0; i < count; ++i) cursor.move_to(parse_at(first + i, cursor.line(), target, at + i));
  text_.release(begin, cursor.line() - text_.data());
}

void OpenShard::read_one(int64_t sample, int64_t offset, const SampleTarget& target, int64_t at) const {
  if (npy_) return read_npy(sample, target, at);
  SPARROW_CHECK(offset >= 0 && offset < text_.size(), "offset {}", offset);
  parse_at(sample, text_.data() + offset, target, at);
}

void OpenShard::locate(int64_t first, std::span<int64_t> offsets) const {
  if (npy_) {
    std::fill(offsets.begin(), offsets.end(), 0);
    return;
  }
  Cursor cursor(*this, first);
  for (int64_t& offset : offsets) {
    offset = cursor.line() - text_.data();
    cursor.skip();
  }
}

void OpenShard::release_pages() const {
  if (npy_) npy_->release(0, npy_->samples());
  text_.release(0, text_.size());
}

void OpenShard::read_npy(int64_t sample, const SampleTarget& to, int64_t at) const {
  npy_->read(sample, to.labels[at], to.dense + at * kCriteoDense, to.categories + at, to.stride);
}

const char* OpenShard::parse_at(int64_t sample, const char* line, const SampleTarget& to, int64_t at) const {
  const char* const end = text_.data() + text_.size();
  // The size is right, so a missing line means that the contents are others than those scanned.
  if (line == end) fail("{}: the file has changed since it was scanned", index_.path);
  const char* const next =
      parse_criteo_line(line, end, to.labels[at], to.dense + at * kCriteoDense, to.categories + at, to.stride);
  if (next == nullptr) [[unlikely]] {
    const std::string_view rest(line, end - line);
    fail_at(index_.name, index_.line_of(sample), "{}", explain_criteo_line(rest.substr(0, rest.find('\n'))));
  }
  return next;
}

}  // namespace sparrow
