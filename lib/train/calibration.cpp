#include "train/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "exchange/row_list.hpp"
#include "model/dlrm.hpp"
#include "model/model_size.hpp"
#include "train/store_calibration.hpp"
#include "train/sustained.hpp"

namespace sparrow {

namespace {

/// Seconds of an all-to-all in which every rank sends `bytes` to each of the ranks for which `with` is true.
double exchange_seconds(const RankContext& context, const std::vector<char>& with, int64_t bytes, int repeats) {
  Comm& comm = context.device_comm;
  const auto ranks = static_cast<size_t>(comm.size());
  std::vector<int64_t> sizes(ranks), offsets(ranks);
  int64_t total = 0;
  for (size_t r = 0; r < ranks; ++r) {
    sizes[r] = with[r] ? bytes : 0;
    offsets[r] = total;
    total += sizes[r];
  }
  Array<std::byte> send(context.backend, Memory::device, total), recv(context.backend, Memory::device, total);
  const auto stream = context.backend.make_stream();
  context.backend.zero(*stream, send.data(), total);
  const AllToAll exchange{Phase::control, send.data(), sizes, offsets, recv.data(), sizes, offsets};
  return sustained_seconds(
      context.comm,
      [&] {
        comm.wait(comm.post(stream.get(), exchange));
        context.backend.synchronize(*stream);
      },
      repeats);
}

/// A link as latency and bandwidth, from small and large exchanges among `with`. sharing_ranks share the link.
struct Link {
  double bytes_per_s, latency_s;
};
Link measure_link(const RankContext& context, const std::vector<char>& with, double sharing_ranks) {
  constexpr int64_t kSmall = 8, kLarge = 1 << 18;
  // Fixed numbers: what a run sends must not depend on the clock, so that two runs can be compared on their links.
  constexpr int kSmallRepeats = 100, kLargeRepeats = 8;
  const auto peers = static_cast<double>(std::count(with.begin(), with.end(), 1));
  const double small = exchange_seconds(context, with, kSmall, kSmallRepeats);
  const double large = exchange_seconds(context, with, kLarge, kLargeRepeats);
  constexpr double kLeastSeconds = 1e-7;  // below the clock's noise
  const double seconds = std::max(kLeastSeconds, large - small);
  return {static_cast<double>(kLarge - kSmall) * peers * sharing_ranks / seconds, std::max(kLeastSeconds, small)};
}

/// What one rank has to do with the rows of a batch: a table too large for the caches, ids about as skewed as Criteo's,
/// and their distinct rows.
class RowWork {
 public:
  RowWork(const RankContext& context, const CalibrationOptions& options);
  void measure(MachineRates& rates);
  void measure_model(MachineRates& rates);

 private:
  void route();

  const RankContext& context_;
  Backend& backend_;
  const CalibrationOptions& options_;
  std::unique_ptr<Stream> stream_;
  int64_t dim_, lookups_;
  Array<float> values_, state_;
  RowStore store_;
  std::vector<int64_t> keys_;
  RowListMaker maker_;
  RowList list_;
  StageCounts counts_;
  Mirrored<int64_t> slots_;           ///< of the distinct rows
  Mirrored<const float*> addresses_;  ///< likewise
};

RowWork::RowWork(const RankContext& context, const CalibrationOptions& options)
    : context_(context),
      backend_(context.backend),
      options_(options),
      stream_(backend_.make_stream()),
      dim_(options.model.embedding_dim),
      lookups_(std::max<int64_t>(64, options.local_batch) * options.tables),
      maker_(context.host, 4, 1),
      list_(backend_),
      counts_(context.comm.size()),
      slots_(backend_),
      addresses_(backend_) {
  const int64_t table_bytes = std::min(int64_t{64} << 20, backend_.free_memory() / 8);
  const int64_t rows = std::max<int64_t>(1024, table_bytes / (4 * dim_));
  const int64_t state = state_dim(options.sparse_optimizer, dim_);
  values_ = Array<float>(backend_, Memory::device, rows * dim_);
  state_ = Array<float>(backend_, Memory::device, rows * state);
  store_ = {values_.data(), state_.data(), rows, dim_, state};
  backend_.zero(*stream_, values_.data(), values_.size() * 4);
  backend_.zero(*stream_, state_.data(), state_.size() * 4);
  std::mt19937_64 random(1);
  keys_.resize(static_cast<size_t>(lookups_));
  for (int64_t& key : keys_) {
    const double u = static_cast<double>(random() >> 11) / 9007199254740992.0;
    key = static_cast<int64_t>(std::pow(static_cast<double>(rows), u)) - 1;
  }
  route();
  list_.upload(*stream_);
  int64_t* slots = slots_.reserve(list_.count);
  const float** addresses = addresses_.reserve(list_.count);
  for (int64_t i = 0; i < list_.count; ++i) {
    slots[i] = list_.keys.data()[i];
    addresses[i] = store_.values + slots[i] * dim_;
  }
  slots_.upload(*stream_, list_.count);
  addresses_.upload(*stream_, list_.count);
}

/// The distinct rows of the ids, by the rank they are asked of.
void RowWork::route() {
  const int64_t segments[] = {0, lookups_};
  maker_.distinct(keys_.data(), segments, list_);
  const std::span<int32_t> destinations = maker_.destinations(list_.count);
  const int ranks = context_.comm.size();
  for (size_t i = 0; i < destinations.size(); ++i) destinations[i] = static_cast<int32_t>(i) % ranks;
  maker_.arrange(list_, &counts_);
}

void RowWork::measure(MachineRates& rates) {
  const int64_t n = list_.count;
  const auto sustained = [&](auto&& action) {
    return sustained_seconds(context_.comm, [&] {
      action();
      backend_.synchronize(*stream_);
    });
  };
  rates.hash_ids_per_s = static_cast<double>(lookups_) / sustained([&] { route(); });
  Array<float> block(backend_, Memory::device, n * dim_);
  backend_.zero(*stream_, block.data(), n * dim_ * 4);
  const Matrix rows = Matrix::f32(block.data(), n, dim_);
  const auto bytes = static_cast<double>(n * dim_ * 4);
  rates.gather_bytes_per_s =
      bytes / sustained([&] { backend_.gather_rows(*stream_, store_, slots_.device(), n, rows); });
  rates.pack_bytes_per_s =
      bytes / sustained([&] { backend_.pack_rows(*stream_, addresses_.device(), nullptr, n, rows); });
  const OptimizerStep step{options_.sparse_optimizer, 0.0f, 1e-8f};
  rates.update_bytes_per_s = static_cast<double>(n * (dim_ + store_.state_dim) * 4) /
                             sustained([&] { backend_.update_rows(*stream_, step, store_, slots_.device(), rows, n); });
}

/// The model's arithmetic, with the pooling of its bags and the sums of their gradients per distinct row.
void RowWork::measure_model(MachineRates& rates) {
  const int64_t b = lookups_ / options_.tables;
  Dlrm model(backend_, *stream_, options_.model, options_.tables, options_.precision, b, 1);
  Array<float> dense(backend_, Memory::device, b * 13), labels(backend_, Memory::device, b),
      gradients(backend_, Memory::device, list_.count * dim_);
  Array<double> loss(backend_, Memory::pinned, 1);
  backend_.zero(*stream_, dense.data(), dense.size() * 4);
  backend_.zero(*stream_, labels.data(), labels.size() * 4);
  const Bags bags{b, options_.tables, nullptr, list_.row_of_member.device()};
  const double seconds = sustained_seconds(context_.comm, [&] {
    model.forward(*stream_, dense.data(), bags, addresses_.device());
    const Matrix bag_gradients = model.backward(*stream_, labels.data(), 1.0f, loss.data());
    backend_.sum_rows(*stream_, list_.groups, bag_gradients, Matrix::f32(gradients.data(), list_.count, dim_));
    backend_.synchronize(*stream_);
  });
  rates.flops_per_s = model_size(options_.model, options_.tables).flops_per_sample * static_cast<double>(b) / seconds;
}

}  // namespace

MachineRates calibrate(const RankContext& context, const std::vector<int>& node_of, const CalibrationOptions& options) {
  Comm& comm = context.comm;
  MachineRates rates;
  const auto own_node = node_of[static_cast<size_t>(comm.rank())];
  std::vector<char> same(node_of.size()), other(node_of.size());
  for (size_t r = 0; r < node_of.size(); ++r) {
    same[r] = node_of[r] == own_node && static_cast<int>(r) != comm.rank();
    other[r] = node_of[r] != own_node;
  }
  const auto local = static_cast<double>(std::count(node_of.begin(), node_of.end(), own_node));
  const bool shared_nodes = max(comm, static_cast<int64_t>(local)) > 1;
  const bool several_nodes = max(comm, std::count(other.begin(), other.end(), 1)) > 0;
  if (shared_nodes) {
    const Link link = measure_link(context, same, 1);
    rates.rank_bytes_per_s = link.bytes_per_s;
    rates.rank_latency_s = link.latency_s;
    rates.rank_overhead_s = 0;
  }
  if (several_nodes) {
    const Link link = measure_link(context, other, local);
    rates.network_bytes_per_s = link.bytes_per_s;
    rates.network_latency_s = link.latency_s;
    rates.network_overhead_s = 0;
  }
  // The least of all ranks, so that everybody plans with the same.
  const auto least = [&](double value) {
    const std::vector<double> all = all_gather(comm, value);
    return *std::min_element(all.begin(), all.end());
  };
  rates.rank_bytes_per_s = least(rates.rank_bytes_per_s);
  rates.network_bytes_per_s = least(rates.network_bytes_per_s);
  RowWork work(context, options);
  work.measure(rates);
  work.measure_model(rates);
  // Of the host's memory, which its ranks share, a part is left to the system and its page cache. Device memory is a
  // rank's own, and what is left serves what grows with batches.
  const auto free = static_cast<double>(context.backend.free_memory());
  rates.memory_bytes = static_cast<int64_t>(least(context.backend.device_is_host() ? 0.8 * free / local : 0.95 * free));
  return rates;
}

}  // namespace sparrow
