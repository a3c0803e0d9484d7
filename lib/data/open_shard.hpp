// One shard, mapped, with its samples found by their number in it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "data/mapped_file.hpp"
#include "data/npy_shard.hpp"
#include "data/sample_block.hpp"
#include "data/shard_index.hpp"

namespace sparrow {

/// Constant after construction: any number of threads may read at the same time. Samples must be in range.
class OpenShard {
 public:
  /// `index` must outlive the object. Throws Error if the file is missing or has changed its size since it was scanned.
  explicit OpenShard(const ShardIndex& index);

  /// Reads samples first .. first + count - 1 into rows at, at + 1, ... of the target. Throws Error for a malformed
  /// line.
  void read(int64_t first, int64_t count, const SampleTarget& target, int64_t at) const;

  /// The byte offsets of samples first .. first + offsets.size() - 1; 0 for npy.
  void locate(int64_t first, std::span<int64_t> offsets) const;
  /// Reads the sample that locate() found at `offset` into row `at` of the target.
  void read_one(int64_t sample, int64_t offset, const SampleTarget& target, int64_t at) const;

  void release_pages() const;

 private:
  class Cursor;
  void read_npy(int64_t sample, const SampleTarget& to, int64_t at) const;
  const char* parse_at(int64_t sample, const char* line, const SampleTarget& to, int64_t at) const;

  const ShardIndex& index_;
  MappedFile text_;
  std::unique_ptr<NpyShard> npy_;
};

}  // namespace sparrow
