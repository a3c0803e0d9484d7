// gzip files are decompressed once to a scratch file, because a gzip has no random access; from there they are read
// like plain files.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace sparrow {

/// The text of a gzip file (one or more concatenated members, each with its CRC and length checked), front to back.
class GzipReader {
 public:
  explicit GzipReader(const std::string& path);
  ~GzipReader();
  /// The next piece, valid until the next call; empty at the end. Waits for the disk. Throws Error naming the file when
  /// it is corrupt, cut short or followed by other bytes.
  std::string_view next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Decompresses `path`, as GzipReader does, to `scratch_path`. Written under another name and renamed at the end, so
/// `scratch_path` is whole or absent. Throws Error also when it cannot be written. Which process of a node does this, and when the file is removed, is for the caller.
void decompress_gzip(const std::string& path, const std::string& scratch_path);

/// A name for the decompressed copy of `path` in folder `scratch`, different for different paths:
/// "day_0.gz" -> "scratch/day_0.0123456789abcdef.tsv".
std::string scratch_name(const std::string& path, const std::string& scratch);

}  // namespace sparrow
