#include "store/file_rows.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/error.hpp"
#include "base/packing.hpp"

namespace sparrow {

int64_t disk_file_bytes(int64_t rows, int64_t row_bytes) {
  const BlockPacking packing = pack_blocks(row_bytes, ScratchFile::kAlignment);
  return (rows + packing.rows - 1) / packing.rows * packing.block_bytes;
}

FileRows::FileRows(Backend& backend, const std::string& folder, int64_t slots, int64_t dim, int64_t state_dim,
                   DiskMethod method)
    : backend_(backend),
      slots_(slots),
      dim_(dim),
      state_dim_(state_dim),
      rows_per_block_(pack_blocks(row_bytes(), ScratchFile::kAlignment).rows),
      cache_(folder, (slots + rows_per_block_ - 1) / rows_per_block_,
             pack_blocks(row_bytes(), ScratchFile::kAlignment).block_bytes, method) {}

void FileRows::write(int64_t first, int64_t n, const float* values, const float* state) {
  SPARROW_CHECK(first >= 0 && n >= 0 && first + n <= slots_, "rows {} to {} of {}", first, first + n, slots_);
  if (n == 0) return;
  const bool keeps_state = state == nullptr && state_dim_ > 0;
  const int64_t first_block = first / rows_per_block_, last_block = (first + n - 1) / rows_per_block_;
  // Blocks that are written in part are read before; the last one of the file is never needed beyond the last row.
  const bool first_whole = first % rows_per_block_ == 0;
  const bool last_whole = (first + n) % rows_per_block_ == 0 || first + n == slots_;
  if (first_block == last_block) {
    write_blocks(first_block, 1, keeps_state || !first_whole || !last_whole, first, n, values, state);
    return;
  }
  if (!first_whole) write_blocks(first_block, 1, true, first, n, values, state);
  const int64_t begin = first_block + (first_whole ? 0 : 1), end = last_block + (last_whole ? 1 : 0);
  write_blocks(begin, end - begin, keeps_state, first, n, values, state);
  if (!last_whole) write_blocks(last_block, 1, true, first, n, values, state);
}

/// What rows first .. first + n - 1 have in these blocks.
void FileRows::write_blocks(int64_t first_block, int64_t blocks, bool read, int64_t first, int64_t n,
                            const float* values, const float* state) {
  std::vector<int64_t> list(blocks);
  std::iota(list.begin(), list.end(), first_block);
  BlockCache::Pins pins;
  cache_.pin(list, read, pins);
  cache_.wait(pins);
  cache_.prepare_change(pins);
  const int64_t begin = std::max(first, first_block * rows_per_block_);
  const int64_t end = std::min(first + n, (first_block + blocks) * rows_per_block_);
  for (int64_t row = begin; row < end; ++row) {
    std::byte* to = pins.data[row / rows_per_block_ - first_block] + row % rows_per_block_ * row_bytes();
    std::memcpy(to, values + (row - first) * dim_, 4 * dim_);
    if (state) std::memcpy(to + 4 * dim_, state + (row - first) * state_dim_, 4 * state_dim_);
  }
  cache_.unpin(pins, true);
}

/// The rows of a batch in the form that kernels read, and the blocks they come from.
class FileBatch : public OffloadedBatch {
 public:
  explicit FileBatch(FileRows& store) : store_(store) {}
  ~FileBatch() override { store_.batch_bytes_ -= bytes(); }

  void start(std::span<const int64_t> slots) override;
  void load(std::span<const int32_t> places) override;
  void load() override;
  void pass_on() override;
  void finish(bool updated) override;
  RowStore rows() const override { return {values_.data(), state_.data(), count(), store_.dim_, store_.state_dim_}; }
  int64_t slot_of(int64_t i) const override { return i; }

 private:
  int64_t count() const { return static_cast<int64_t>(block_of_.size()); }
  int64_t bytes() const { return 4 * (values_.size() + state_.size()); }
  void reserve(int64_t rows);
  std::byte* row_in_block(int64_t i) const {
    const auto row = static_cast<size_t>(i);
    return pins_.data[block_of_[row]] + place_in_block_[row] * store_.row_bytes();
  }
  void load_row(int64_t i);

  FileRows& store_;
  BlockCache::Pins pins_;
  std::vector<int64_t> blocks_;
  std::vector<int32_t> block_of_, place_in_block_;  ///< by row: into blocks_, and within the block
  Array<float> values_, state_;
};

std::unique_ptr<OffloadedBatch> FileRows::make_batch() {
  return std::make_unique<FileBatch>(*this);
}

void FileBatch::reserve(int64_t rows) {
  if (rows * store_.dim_ <= values_.size()) return;
  store_.batch_bytes_ -= bytes();
  values_ = {}, state_ = {};
  const int64_t capacity = rows + rows / 4 + 64;
  values_ = Array<float>(store_.backend_, Memory::device, capacity * store_.dim_);
  state_ = Array<float>(store_.backend_, Memory::device, capacity * store_.state_dim_);
  store_.batch_bytes_ += bytes();
}

void FileBatch::start(std::span<const int64_t> slots) {
  SPARROW_CHECK(pins_.frames.empty(), "the batch before is not finished");
  reserve(static_cast<int64_t>(slots.size()));
  blocks_.clear();
  block_of_.clear();
  place_in_block_.clear();
  for (size_t i = 0; i < slots.size(); ++i) {
    SPARROW_CHECK(slots[i] >= 0 && slots[i] < store_.slots_, "offloaded row {} of {}", slots[i], store_.slots_);
    SPARROW_CHECK(i == 0 || slots[i] > slots[i - 1], "offloaded row {} after {}: not ascending, or twice", slots[i],
                  slots[i - 1]);
    const int64_t block = slots[i] / store_.rows_per_block_;
    if (blocks_.empty() || blocks_.back() != block) blocks_.push_back(block);
    block_of_.push_back(static_cast<int32_t>(blocks_.size()) - 1);
    place_in_block_.push_back(static_cast<int32_t>(slots[i] % store_.rows_per_block_));
  }
  store_.cache_.pin(blocks_, true, pins_);
}

void FileBatch::load_row(int64_t i) {
  const std::byte* from = row_in_block(i);
  const int64_t dim = store_.dim_, state_dim = store_.state_dim_;
  std::memcpy(values_.data() + i * dim, from, 4 * dim);
  if (state_dim > 0) std::memcpy(state_.data() + i * state_dim, from + 4 * dim, 4 * state_dim);
}

void FileBatch::load(std::span<const int32_t> places) {
  store_.cache_.wait(pins_);
  for (const int32_t i : places) load_row(i);
}

void FileBatch::load() {
  store_.cache_.wait(pins_);
  for (int64_t i = 0; i < count(); ++i) load_row(i);
}

void FileBatch::pass_on() {
  const int64_t dim = store_.dim_, state_dim = store_.state_dim_;
  store_.cache_.prepare_change(pins_);
  for (int64_t i = 0; i < count(); ++i) {
    std::byte* to = row_in_block(i);
    std::memcpy(to, values_.data() + i * dim, 4 * dim);
    if (state_dim > 0) std::memcpy(to + 4 * dim, state_.data() + i * state_dim, 4 * state_dim);
  }
}

void FileBatch::finish(bool updated) {
  if (updated) pass_on();
  store_.cache_.unpin(pins_, updated);
  block_of_.clear();
}

}  // namespace sparrow
