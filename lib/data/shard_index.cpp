#include "data/shard_index.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <ranges>

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

}  // namespace

int64_t ShardIndex::line_of(int64_t sample) const {
  // bad_lines[i] comes after (line - 1 - i) samples.
  const auto before = std::ranges::partition_point(std::views::iota(int64_t{0}, std::ssize(bad_lines)),
                                                   [&](int64_t i) { return bad_lines[i].line - 1 - i <= sample; });
  return sample + *before + 1;
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

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BadLine, line, offset)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ShardIndex, name, path, kind, bytes, samples, offsets, bad_lines)

std::string serialize(const std::vector<ShardIndex>& indexes) {
  std::string bytes;
  nlohmann::json::to_cbor(indexes, bytes);
  return bytes;
}

std::vector<ShardIndex> deserialize_shard_indexes(std::string_view bytes) {
  try {
    auto indexes = nlohmann::json::from_cbor(bytes).get<std::vector<ShardIndex>>();
    if (std::ranges::all_of(indexes, [](const ShardIndex& index) {
          return index.kind == ShardKind::tsv || index.kind == ShardKind::npy;
        }))
      return indexes;
  } catch (const nlohmann::json::exception&) {  // said below
  }
  fail("shard index: damaged bytes");
}

}  // namespace sparrow
