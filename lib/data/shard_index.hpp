// Where the samples of one shard are: a count, and for text the byte offset of every 1,024th sample, 8 MB per billion
// samples.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/file_list.hpp"

namespace sparrow {

/// A malformed line that was tolerated; it is no sample.
struct BadLine {
  int64_t line;    ///< from 1
  int64_t offset;  ///< of its first byte
  bool operator==(const BadLine&) const = default;
};

struct ShardIndex {
  static constexpr int64_t kStride = 1024;

  std::string name;  ///< the user's path, for messages: of the .gz, or of the ..._dense.npy
  std::string path;  ///< the file that is read: `name`, or the decompressed copy
  ShardKind kind = ShardKind::tsv;
  int64_t bytes = 0;  ///< size of `path`
  int64_t samples = 0;
  std::vector<int64_t> offsets;  ///< tsv: offsets[j] is the first byte of sample j * kStride
  std::vector<BadLine> bad_lines;

  /// Line (from 1) of a sample in a text shard.
  int64_t line_of(int64_t sample) const;
  bool operator==(const ShardIndex&) const = default;
};

/// Counts the samples of the shard `name`, whose kind is shard_kind(name). For a gzip, `path` is the decompressed copy
/// (decompress_gzip); else empty. Text is only searched for line ends, at the speed of memchr, and a malformed line is
/// an Error when a reader reaches it; with skip_bad_lines > 0 every line is parsed, up to that many malformed ones are
/// recorded and left out, and one more is an Error. Throws Error for a missing or empty file and for an unknown kind.
ShardIndex scan_shard(const std::string& name, const std::string& path = "", int64_t skip_bad_lines = 0);

/// Bytes for sending indexes to other ranks, and back. deserialize throws Error for bytes that serialize did not write.
std::string serialize(const std::vector<ShardIndex>& indexes);
std::vector<ShardIndex> deserialize_shard_indexes(std::string_view bytes);

}  // namespace sparrow
