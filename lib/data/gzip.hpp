// gzip files are decompressed once to a scratch file, because a gzip has no random access; from there they are read
// like plain files.
#pragma once

#include <string>

namespace sparrow {

/// Decompresses `path` (one or more concatenated gzip members, each with its CRC and length checked) to `scratch_path`.
/// Written under another name and renamed at the end, so `scratch_path` is whole or absent. Waits for the disk. Throws
/// Error naming `path` when it is missing, corrupt, cut short or followed by other bytes, and naming the scratch file
/// when that cannot be written. Which process of a node does this, and when the file is removed, is for the caller.
void decompress_gzip(const std::string& path, const std::string& scratch_path);

/// A name for the decompressed copy of `path` in folder `scratch`, different for different paths:
/// "day_0.gz" -> "scratch/day_0.0123456789abcdef.tsv".
std::string scratch_name(const std::string& path, const std::string& scratch);

}  // namespace sparrow
