#include "calibrate/calibration.hpp"

#include <algorithm>
#include <limits>
#include <memory>

#include "base/error.hpp"
#include "calibrate/synthetic_batch.hpp"
#include "calibrate/timed_runs.hpp"
#include "calibrate/trial_steps.hpp"
#include "comm/collectives.hpp"
#include "exchange/route.hpp"
#include "model/dlrm.hpp"

namespace sparrow {

namespace {

/// Seconds of an all-to-all in which every rank sends `bytes` to each of the ranks for which `partners` is true. All begin
/// together, as in a step, whose exchanges follow one another: without, ranks drift apart until one sends the next
/// message while another waits for the last, and links stand still at times.
double exchange_seconds(const RankContext& context, const std::vector<char>& partners, int64_t bytes, int repeats) {
  Comm& comm = context.device_comm;
  const auto ranks = static_cast<size_t>(comm.size());
  std::vector<int64_t> sizes(ranks), offsets(ranks);
  int64_t total = 0;
  for (size_t r = 0; r < ranks; ++r) {
    sizes[r] = partners[r] ? bytes : 0;
    offsets[r] = total;
    total += sizes[r];
  }
  Array<std::byte> send(context.backend, Memory::device, total), recv(context.backend, Memory::device, total);
  const auto stream = context.backend.make_stream();
  context.backend.zero(*stream, send.data(), total);
  const AllToAll exchange{Phase::control, send.data(), sizes, offsets, recv.data(), sizes, offsets};
  const std::vector<std::function<void()>> actions = {[&] { barrier(context.comm); },
                                                      [&] {
                                                        comm.wait(comm.post(stream.get(), exchange));
                                                        context.backend.synchronize(*stream);
                                                      }};
  return steady_seconds(context.comm, actions, repeats)[1];
}

/// A link as latency and bandwidth, from exchanges among `partners`: the time of the smallest, and what more bytes add to
/// that of longer ones. sharing_ranks share the link.
struct Link {
  double bytes_per_s, latency_s;
};
Link measure_link(const RankContext& context, const std::vector<char>& partners, double sharing_ranks) {
  struct Size {
    int64_t bytes;
    int repeats;  // fixed: what a run sends must not depend on the clock, so that runs can be compared on their links
  };
  constexpr Size kSmall{8, 100}, kLong{1 << 18, 6}, kLonger{1 << 20, 2};
  const auto peers = static_cast<double>(std::count(partners.begin(), partners.end(), 1));
  const auto seconds = [&](Size size) { return exchange_seconds(context, partners, size.bytes, size.repeats); };
  constexpr double kLeastSeconds = 1e-7;  // below the clock's noise
  const double latency = std::max(kLeastSeconds, seconds(kSmall));
  const double longer = seconds(kLonger), more = std::max(longer - seconds(kLong), 0.1 * longer);
  return {static_cast<double>(kLonger.bytes - kLong.bytes) * peers * sharing_ranks / more, latency};
}

/// What one rank has to do with the rows of a batch: the step's own code, on tables too large for the caches, of which
/// the rank holds everything.
class RowWork {
 public:
  RowWork(const RankContext& context, const CalibrationOptions& options);
  void measure(MachineRates& rates);

 private:
  Tables make_tables() const;
  void route() { router_.build(*stream_, batch_, route_, true); }

  const RankContext& context_;
  Backend& backend_;
  const CalibrationOptions& options_;
  std::unique_ptr<Stream> stream_;
  int64_t dim_;
  Tables tables_;
  Hierarchy alone_ = Hierarchy::flat(1);
  Directory directory_;
  std::unique_ptr<Comm> own_;
  StageComms comms_;
  Router router_;
  Route route_;
  Array<float> values_, state_;
  RowStore store_;
  SyntheticBatch synthetic_;
  const Batch& batch_;
  Mirrored<const float*> addresses_;  ///< of the distinct rows
};

Tables RowWork::make_tables() const {
  const int64_t bytes = std::min(int64_t{64} << 20, backend_.free_memory() / 8);
  const int64_t rows = std::max<int64_t>(64, bytes / (4 * dim_ * options_.model.tables));
  return Tables(std::vector<int64_t>(options_.model.tables, rows), dim_);
}

RowWork::RowWork(const RankContext& context, const CalibrationOptions& options)
    : context_(context),
      backend_(context.backend),
      options_(options),
      stream_(backend_.make_stream()),
      dim_(options.model.dim),
      tables_(make_tables()),
      directory_(tables_, alone_, ResolvedPlan::uniform(tables_, alone_, 0), 0),
      own_(context.comm.split(context.comm.rank(), 0)),
      comms_(*own_, *own_, alone_),
      router_(context.host, directory_, comms_),
      route_(backend_, comms_.sizes()),
      synthetic_(synthetic_law(tables_.rows(0)), options.model, options.local_batch, options.local_batch, 1),
      batch_(synthetic_.batch()),
      addresses_(backend_) {
  const int64_t rows = tables_.total_rows(), state = state_dim(options.optimizer.sparse.kind, dim_);
  values_ = Array<float>(backend_, Memory::device, rows * dim_);
  state_ = Array<float>(backend_, Memory::device, rows * state);
  store_ = {values_.data(), state_.data(), rows, dim_, state};
  backend_.zero(*stream_, values_.data(), values_.size() * 4);
  backend_.zero(*stream_, state_.data(), state_.size() * 4);
  route();
  RowList& list = route_.lowest();
  const float** addresses = addresses_.reserve(list.count);
  for (int64_t i = 0; i < list.count; ++i) addresses[i] = store_.values + directory_.slot(list.keys.data()[i]) * dim_;
  addresses_.upload(*stream_, list.count);
  route_.lists[0].slots.upload(*stream_, route_.lists[0].here);
}

/// The parts of a step in turn, so that each finds the caches as in training.
void RowWork::measure(MachineRates& rates) {
  RowList& held = route_.lists[0];
  const RowList& used = route_.lowest();
  const int64_t n = held.count, b = batch_.samples;
  Dlrm model(backend_, *stream_, options_.model, options_.precision, b, 1);
  Array<float> dense(backend_, Memory::device, b * options_.model.dense_features), labels(backend_, Memory::device, b),
      block(backend_, Memory::device, n * dim_);
  Array<double> loss(backend_, Memory::pinned, 1);
  for (Array<float>* array : {&dense, &labels, &block}) backend_.zero(*stream_, array->data(), array->size() * 4);
  const Matrix rows = Matrix::f32(block.data(), n, dim_);
  const OptimizerStep step{options_.optimizer.sparse.kind, 0.0f, 1e-8f};

  std::vector<std::function<void()>> parts;
  const auto add = [&](auto&& part) {
    parts.emplace_back([this, part] {
      part();
      backend_.synchronize(*stream_);
    });
    return parts.size() - 1;
  };
  const size_t route = add([&] { this->route(); });
  const size_t gather = add([&] {
    held.slots.upload(*stream_, n);
    backend_.gather_rows(*stream_, store_, held.slots.device(), n, rows);
  });
  const size_t forward_backward = add([&] {  // with the pooling of its bags and the sums of their gradients per row
    model.forward(*stream_, dense.data(), route_.bags, addresses_.device());
    const Matrix bag_gradients = model.backward(*stream_, labels.data(), 1.0f, loss.data());
    backend_.sum_rows(*stream_, used.groups, bag_gradients, rows);
  });
  const Matrix packed = Matrix::of(options_.wire, block.data(), n, dim_);
  const size_t pack = add([&] { backend_.pack_rows(*stream_, addresses_.device(), nullptr, n, packed); });
  const size_t update = add([&] { backend_.update_rows(*stream_, step, store_, held.slots.device(), rows, n); });

  const std::vector<double> seconds = steady_seconds(context_.comm, parts);
  // Ids pass through a list as lookups, and once more where they are asked for.
  rates.hash_ids_per_s = static_cast<double>(route_.lowest().requests + held.requests) / seconds[route];
  const auto bytes = static_cast<double>(n * dim_ * 4);
  rates.gather_bytes_per_s = bytes / seconds[gather];
  rates.pack_bytes_per_s = static_cast<double>(n * dim_ * size_of(options_.wire)) / seconds[pack];
  rates.update_bytes_per_s = static_cast<double>(n * (dim_ + store_.state_dim) * 4) / seconds[update];
  rates.flops_per_s = static_cast<double>(options_.model.flops_per_sample() * b) / seconds[forward_backward];
}

}  // namespace

MachineRates calibrate(const RankContext& context, const std::vector<int>& node_of, const CalibrationOptions& options) {
  Comm& comm = context.comm;
  MachineRates rates;
  const auto own_node = node_of[comm.rank()];
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
  RowWork(context, options).measure(rates);
  for (double* rate : {&rates.hash_ids_per_s, &rates.gather_bytes_per_s, &rates.pack_bytes_per_s,
                       &rates.update_bytes_per_s, &rates.flops_per_s})
    *rate = least(*rate);
  run_trial_steps(context, node_of, options, rates);
  // Of the host's memory, which its ranks share, a part is left to the system and its page cache. Device memory is a
  // rank's own, and what is left serves what grows with batches.
  const auto free = static_cast<double>(context.backend.free_memory());
  rates.memory_bytes = static_cast<int64_t>(least(context.backend.device_is_host() ? 0.8 * free / local : 0.95 * free));
  return rates;
}

}  // namespace sparrow
