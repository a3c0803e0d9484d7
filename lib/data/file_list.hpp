// Which files are shards, by their names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sparrow {

enum class ShardKind { tsv, npy };

/// Paths and globs -> files. A pattern (with * ? or [) is replaced by its matches in natural order (day_2 before
/// day_10); a pattern that matches nothing is an Error; a plain path is kept as it is. Throws Error for an empty list.
std::vector<std::string> expand_files(const std::vector<std::string>& patterns);

/// Text for *.tsv, *.txt and day_N, also followed by .gz; npy for *_dense.npy. Throws Error for other names.
ShardKind shard_kind(const std::string& file);

/// Whether the name says gzip (.gz).
bool is_gzip(std::string_view file);

}  // namespace sparrow
