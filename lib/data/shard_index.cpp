#include "data/shard_index.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "data/criteo.hpp"
#include "data/criteo_tsv.hpp"
#include "data/mapped_file.hpp"
#include "data/npy_shard.hpp"

namespace sparrow {
namespace {

constexpr int64_t kPiece = int64_t{64} << 20;  // pages are given back after this many bytes

/// Calls line(begin, end) for each line of the file; end is its line feed or the end of the file.
template <class Line>
void for_each_line(const MappedFile& file, Line line) {
  const char* const begin = file.data();
  const char* const end = begin + file.size();
  int64_t released = 0;
  for (const char* p = begin; p < end;) {
    const void* found = std::memchr(p, '\n', end - p);
    const char* const stop = found != nullptr ? static_cast<const char*>(found) : end;
    line(p, stop);
    p = stop + 1;
    if (p - begin - released >= kPiece) {
      file.release(released, stop - begin);
      released = stop - begin;
      file.prefetch(released, std::min(released + kPiece, file.size()));
    }
  }
}

bool is_well_formed(const char* line, const char* end_of_file) {
  float label, dense[kCriteoDense];
  uint32_t categories[kCriteoTables];
  return parse_criteo_line(line, end_of_file, label, dense, categories, 1) != nullptr;
}

void scan_text(ShardIndex& index, int64_t skip_bad_lines) {
  const MappedFile file(index.path);
  index.bytes = file.size();
  if (file.size() == 0) fail("{}: the file is empty", index.name);
  const char* const end = file.data() + file.size();
  int64_t line = 0;
  for_each_line(file, [&](const char* p, const char* stop) {
    ++line;
    if (skip_bad_lines > 0 && !is_well_formed(p, end)) {
      if (static_cast<int64_t>(index.bad_lines.size()) == skip_bad_lines) {
        fail_at(index.name, line, "{} (data.skip_bad_lines = {} malformed lines are used up)",
                explain_criteo_line({p, stop}), skip_bad_lines);
      }
      index.bad_lines.push_back({line, p - file.data()});
      return;
    }
    if (index.samples++ % ShardIndex::kStride == 0) index.offsets.push_back(p - file.data());
  });
}

/// Writes and reads a ShardIndex as numbers and strings of bytes.
class Packer {
 public:
  void number(int64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void text(const std::string& value) {
    number(static_cast<int64_t>(value.size()));
    bytes_ += value;
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}
  int64_t number() {
    int64_t value = 0;
    std::memcpy(&value, piece(sizeof value).data(), sizeof value);
    return value;
  }
  /// A count of things of `size` bytes that follow.
  size_t count(size_t size) {
    const int64_t value = number();
    if (value < 0 || static_cast<uint64_t>(value) > bytes_.size() / size) fail("shard index: damaged bytes");
    return static_cast<size_t>(value);
  }
  std::string text() { return std::string(piece(count(1))); }
  bool ended() const { return bytes_.empty(); }

 private:
  std::string_view piece(size_t size) {
    if (size > bytes_.size()) fail("shard index: damaged bytes");
    const std::string_view result = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return result;
  }
  std::string_view bytes_;
};

}  // namespace

int64_t ShardIndex::line_of(int64_t sample) const {
  // bad_lines[i] comes after (line - 1 - i) samples.
  int64_t low = 0, high = static_cast<int64_t>(bad_lines.size());
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const bool before = bad_lines[middle].line - 1 - middle <= sample;
    (before ? low : high) = before ? middle + 1 : middle;
  }
  return sample + low + 1;
}

ShardIndex scan_shard(const std::string& name, const std::string& path, int64_t skip_bad_lines) {
  SPARROW_CHECK(skip_bad_lines >= 0, "skip_bad_lines = {}", skip_bad_lines);
  ShardIndex index;
  index.name = name;
  index.path = path.empty() ? name : path;
  index.kind = shard_kind(name);
  if (is_gzip(name) && path.empty()) fail("{}: a gzip must be decompressed before it is scanned", name);
  if (index.kind == ShardKind::npy) {
    const NpyShard shard(index.path);
    index.samples = shard.samples();
    index.bytes = shard.bytes();
  } else {
    scan_text(index, skip_bad_lines);
  }
  return index;
}

std::string serialize(const ShardIndex& index) {
  Packer packer;
  packer.text(index.name);
  packer.text(index.path);
  packer.number(static_cast<int64_t>(index.kind));
  packer.number(index.bytes);
  packer.number(index.samples);
  packer.number(static_cast<int64_t>(index.offsets.size()));
  for (const int64_t offset : index.offsets) packer.number(offset);
  packer.number(static_cast<int64_t>(index.bad_lines.size()));
  for (const BadLine& bad : index.bad_lines) {
    packer.number(bad.line);
    packer.number(bad.offset);
  }
  return packer.take();
}

ShardIndex deserialize_shard_index(std::string_view bytes) {
  Unpacker unpacker(bytes);
  ShardIndex index;
  index.name = unpacker.text();
  index.path = unpacker.text();
  const int64_t kind = unpacker.number();
  if (kind != 0 && kind != 1) fail("shard index: damaged bytes");
  index.kind = static_cast<ShardKind>(kind);
  index.bytes = unpacker.number();
  index.samples = unpacker.number();
  index.offsets.resize(unpacker.count(8));
  for (int64_t& offset : index.offsets) offset = unpacker.number();
  index.bad_lines.resize(unpacker.count(16));
  for (BadLine& bad : index.bad_lines) bad = {unpacker.number(), unpacker.number()};
  if (!unpacker.ended()) fail("shard index: damaged bytes");
  return index;
}

}  // namespace sparrow
