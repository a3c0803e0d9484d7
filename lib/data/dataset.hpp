// Random access to sample k of a list of shards. What it leaves out: vocabulary, positions, batches (loader.hpp).
//
// Opening a data set is three steps, so that the ranks of a large run can share the work:
//   files = expand_files({"/criteo/day_*.gz"})   every rank, the same list
//   index = scan_shard(files[i], ...)            one rank per file; gzip: after one rank per node ran decompress_gzip
//   Dataset(indexes)                             every rank, once the bytes of serialize() have been exchanged
// open_dataset() does all of it in one process.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/parts.hpp"
#include "data/sample_block.hpp"
#include "data/shard_index.hpp"

namespace sparrow {

/// The samples of a list of shards, in order. Files are mapped when first read and a bounded number is kept mapped.
/// Constant after construction: any number of threads may read at the same time.
class Dataset {
 public:
  /// skip_bad_lines: Error if the indexes hold more bad lines than this in total. Throws Error for an empty list.
  explicit Dataset(std::vector<ShardIndex> shards, int64_t skip_bad_lines = 0);
  ~Dataset();
  Dataset(Dataset&&) noexcept;
  Dataset& operator=(Dataset&&) noexcept;

  int64_t samples() const;
  int64_t bad_lines() const;
  const std::vector<ShardIndex>& shards() const;
  SampleRange all() const { return {0, samples()}; }
  /// The last `tail` samples, and those before them. Throws Error unless 0 <= tail < samples().
  SampleRange tail(int64_t tail) const;
  SampleRange before_tail(int64_t tail) const;

  /// Reads samples first .. first + count - 1. Waits for the disk. Throws Error "file:line: ..." for a malformed line,
  /// and for a file that is missing or has changed its size since it was scanned.
  void read(int64_t first, int64_t count, const SampleTarget& target) const;

  /// Byte offsets, in their files, of samples first .. first + offsets.size() - 1 (0 for npy shards), for
  /// read_scattered.
  void locate(int64_t first, std::span<int64_t> offsets) const;
  /// Reads the samples named, in any order; offsets[i] is what locate() said of samples[i].
  void read_scattered(std::span<const int64_t> samples, std::span<const int64_t> offsets,
                      const SampleTarget& target) const;
  /// Takes mapped pages out of this process's resident memory.
  void release_pages() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What open_dataset needs to know.
struct OpenOptions {
  std::string scratch;         ///< folder for decompressed gzip files (made if absent)
  int64_t skip_bad_lines = 0;  ///< see scan_shard
};

/// Expands, decompresses, scans and opens `files` in this process.
Dataset open_dataset(const std::vector<std::string>& files, const OpenOptions& options);

}  // namespace sparrow
