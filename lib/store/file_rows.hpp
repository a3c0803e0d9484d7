// Offloaded rows in a file on disk, one per rank. Blocks of a few KiB are what a disk moves at least, so rows are packed
// into blocks (base/packing.hpp), values and state together, and a batch reads and writes whole blocks: those of
// its rows, each once, sorted by place.
//
//   row of 65 floats (64 values, row-wise state): 15 rows in a block of 4096 bytes, 196 bytes of it unused
//
// The rows of a batch are copied from their blocks into memory of the batch, where they have the form that kernels
// read, and back when it is done. So two batches under way may share blocks, and a row that both touch comes to the
// second as the first left it.
#pragma once

#include <memory>
#include <string>

#include "store/block_cache.hpp"
#include "store/offloaded_rows.hpp"

namespace sparrow {

/// Bytes of the file that holds so many rows.
int64_t disk_file_bytes(int64_t rows, int64_t row_bytes);

class FileRows : public OffloadedRows {
 public:
  /// The file is made in `folder`, at its full size. Throws Error when the disk has no room for it.
  FileRows(Backend& backend, const std::string& folder, int64_t slots, int64_t dim, int64_t state_dim,
           DiskMethod method = DiskMethod::automatic);

  int64_t slots() const override { return slots_; }
  std::unique_ptr<OffloadedBatch> make_batch() override;
  void write(int64_t first, int64_t n, const float* values, const float* state) override;
  void drain() override { cache_.drain(); }
  StoreTraffic traffic() const override { return {cache_.read_bytes(), cache_.written_bytes()}; }
  int64_t buffer_bytes() const override { return cache_.memory_bytes() + batch_bytes_; }
  const char* method() const { return cache_.method(); }

 private:
  friend class FileBatch;
  int64_t row_bytes() const { return 4 * (dim_ + state_dim_); }
  void write_blocks(int64_t first_block, int64_t blocks, bool read, int64_t first, int64_t n, const float* values,
                    const float* state);

  Backend& backend_;
  int64_t slots_, dim_, state_dim_, rows_per_block_;
  int64_t batch_bytes_ = 0;  ///< of all batches' own memory
  BlockCache cache_;
};

}  // namespace sparrow
