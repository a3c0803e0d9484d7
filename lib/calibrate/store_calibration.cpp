#include "calibrate/store_calibration.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <vector>

#include "base/host_memory.hpp"
#include "base/packing.hpp"
#include "calibrate/timed_runs.hpp"
#include "comm/collectives.hpp"
#include "exchange/scratch.hpp"
#include "store/disk_io.hpp"
#include "store/offloaded_rows.hpp"

namespace sparrow {

namespace {

constexpr int64_t kMeasuredBytes = int64_t{256} << 20;  ///< of a node: beyond what a disk's own memory holds

/// Of one rank: at most a quarter of what is free.
int64_t measured_bytes(const RankContext& context, const StoreCalibrationOptions& options) {
  int64_t bytes = kMeasuredBytes;
  if (context.backend.device_is_host()) {
    std::filesystem::create_directories(options.folder);
    bytes = std::min(bytes, static_cast<int64_t>(std::filesystem::space(options.folder).available / 4));
  }
  barrier(context.comm);  // all have looked before anyone takes room
  return bytes / options.local_ranks;
}

/// Batches of random rows, each in a block of its own.
class RandomBatches {
 public:
  RandomBatches(const RankContext& context, const StoreCalibrationOptions& options, const BlockPacking& packing);
  /// Reads the next batch and, if updated, writes it. Where rows stay in pinned memory, kernels do so.
  void move(bool updated);
  void read_one_row();
  int64_t rows() const { return static_cast<int64_t>(lists_[0].size()); }

 private:
  void fill(int64_t slots);
  void touch(bool updated);

  const RankContext& context_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<OffloadedRows> store_;
  std::unique_ptr<OffloadedBatch> batch_;
  std::vector<std::vector<int64_t>> lists_;
  size_t next_ = 0;
  int64_t dim_, state_dim_;
  Mirrored<int64_t> places_;
  Scratch<float> block_;
};

RandomBatches::RandomBatches(const RankContext& context, const StoreCalibrationOptions& options,
                             const BlockPacking& packing)
    : context_(context),
      stream_(context.backend.make_stream()),
      dim_(options.dim),
      state_dim_(options.state_dim),
      places_(context.backend),
      block_(context.backend, Memory::device) {
  constexpr int64_t kLists = 4;
  const int64_t blocks = std::max<int64_t>(64, measured_bytes(context, options) / packing.block_bytes);
  store_ = make_offloaded_rows(context.backend, blocks * packing.rows, dim_, state_dim_, {options.folder});
  fill(blocks * packing.rows);
  batch_ = store_->make_batch();
  std::mt19937_64 random(static_cast<uint64_t>(context.comm.rank()) + 1);
  const auto n = static_cast<size_t>(std::clamp<int64_t>(options.batch_rows, 16, blocks / 4));
  for (int64_t list = 0; list < kLists; ++list) {
    std::vector<int64_t> slots(blocks);
    for (int64_t b = 0; b < blocks; ++b) slots[b] = b * packing.rows;
    std::shuffle(slots.begin(), slots.end(), random);
    slots.resize(n);
    std::sort(slots.begin(), slots.end());
    lists_.push_back(std::move(slots));
  }
}

void RandomBatches::fill(int64_t slots) {
  constexpr int64_t kChunk = 1 << 14;
  const std::vector<float> values(kChunk * dim_), state(kChunk * state_dim_);
  for (int64_t first = 0; first < slots; first += kChunk)
    store_->write(first, std::min(kChunk, slots - first), values.data(), state.data());
  store_->drain();
}

void RandomBatches::move(bool updated) {
  batch_->start(lists_[next_++ % lists_.size()]);
  batch_->load();
  if (!context_.backend.device_is_host()) touch(updated);
  batch_->finish(updated);
  if (updated) store_->drain();
}

void RandomBatches::read_one_row() {
  const std::vector<int64_t>& list = lists_[0];
  batch_->start(std::span(list).subspan(next_++ % list.size(), 1));
  batch_->load();
  batch_->finish(false);
}

void RandomBatches::touch(bool updated) {
  int64_t* places = places_.reserve(rows());
  for (int64_t i = 0; i < rows(); ++i) places[i] = batch_->slot_of(i);
  places_.upload(*stream_, rows());
  const Matrix block = Matrix::f32(block_.reserve(rows() * dim_), rows(), dim_);
  const OptimizerKind kind = state_dim_ == 0   ? OptimizerKind::sgd
                             : state_dim_ == 1 ? OptimizerKind::rowwise_adagrad
                                               : OptimizerKind::adagrad;
  context_.backend.gather_rows(*stream_, batch_->rows(), places_.device(), rows(), block);
  if (updated)
    context_.backend.update_rows(*stream_, {kind, 0.0f, 1e-8f}, batch_->rows(), places_.device(), block, rows());
  context_.backend.synchronize(*stream_);
}

}  // namespace

placement::Store calibrate_store(const RankContext& context, const StoreCalibrationOptions& options) {
  const bool disk = context.backend.device_is_host();
  const int64_t row_bytes = 4 * (options.dim + options.state_dim);
  placement::Store store;
  store.name = disk ? "disk" : "host";
  store.granule_bytes = disk ? ScratchFile::kAlignment : 1;
  const BlockPacking packing = pack_blocks(row_bytes, store.granule_bytes);
  {
    RandomBatches batches(context, options, packing);
    const double both = sustained_seconds(context.comm, [&] { batches.move(true); });
    store.bytes_per_s = 2 * static_cast<double>(batches.rows() * packing.block_bytes) / both;
    if (disk) store.latency_s = sustained_seconds(context.comm, [&] { batches.read_one_row(); });
  }
  store.capacity_bytes = options.capacity;
  if (options.capacity == 0) {
    // A disk keeps a tenth for others, and blocks leave up to a quarter unused; of memory half is left to the system.
    const double free = disk ? 0.9 * 0.75 * static_cast<double>(std::filesystem::space(options.folder).available)
                             : 0.5 * static_cast<double>(available_memory());
    store.capacity_bytes = static_cast<int64_t>(free / options.local_ranks);
  }
  const std::vector<int64_t> capacities = all_gather(context.comm, store.capacity_bytes);
  store.capacity_bytes = *std::min_element(capacities.begin(), capacities.end());
  return store;
}

}  // namespace sparrow
