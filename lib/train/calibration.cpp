#include "train/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>

#include "base/error.hpp"
#include "base/timer.hpp"
#include "comm/collectives.hpp"
#include "exchange/scratch.hpp"
#include "model/dlrm.hpp"
#include "model/model_size.hpp"

namespace sparrow {

namespace {

constexpr int kRepeats = 5;

/// Median seconds of `action` over repeats, after one to warm up.
template <class Action>
double median_seconds(Action&& action) {
  action();
  std::vector<double> seconds;
  for (int i = 0; i < kRepeats; ++i) {
    const Timer timer;
    action();
    seconds.push_back(timer.seconds());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRepeats / 2, seconds.end());
  return seconds[kRepeats / 2];
}

/// The slowest rank's seconds.
double slowest(Comm& comm, double seconds) {
  const std::vector<double> all = all_gather(comm, seconds);
  return *std::max_element(all.begin(), all.end());
}

/// Seconds of an all-to-all in which every rank sends `bytes` to each of the ranks for which `with` is true.
double exchange_seconds(const RankContext& context, const std::vector<char>& with, int64_t bytes) {
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
  return median_seconds([&] {
    barrier(context.comm);
    comm.wait(comm.post(stream.get(), exchange));
    context.backend.synchronize(*stream);
  });
}

/// A link as latency and bandwidth: small and large exchanges among `with`. ports: how many ranks share the link.
struct Link {
  double bytes_per_s, latency_s;
};
Link measure_link(const RankContext& context, const std::vector<char>& with, double sharing_ranks) {
  constexpr int64_t kSmall = 8, kLarge = 1 << 18;
  const auto peers = static_cast<double>(std::count(with.begin(), with.end(), 1));
  const double barrier_seconds = slowest(context.comm, exchange_seconds(context, std::vector<char>(with.size(), 0), 0));
  const double small = slowest(context.comm, exchange_seconds(context, with, kSmall)) - barrier_seconds;
  const double large = slowest(context.comm, exchange_seconds(context, with, kLarge)) - barrier_seconds;
  constexpr double kLeastSeconds = 1e-7;  // below the clock's noise
  const double seconds = std::max(kLeastSeconds, large - small);
  return {static_cast<double>(kLarge - kSmall) * peers * sharing_ranks / seconds, std::max(kLeastSeconds, small)};
}

int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  for (int64_t kilobytes = 0; file >> name >> kilobytes >> unit;)
    if (name == "MemAvailable:") return kilobytes * 1024;
  fail("/proc/meminfo names no MemAvailable");
}

/// Rates of one rank's work on rows, on a table too large for the caches.
void measure_rows(const RankContext& context, const CalibrationOptions& options, MachineRates& rates) {
  Backend &backend = context.backend, &host = context.host;
  const int64_t dim = options.model.embedding_dim;
  const int64_t state_dim = sparrow::state_dim(options.sparse_optimizer, dim);
  constexpr int64_t kTableBytes = int64_t{64} << 20;
  const int64_t slots = std::max<int64_t>(1024, kTableBytes / (4 * dim));
  const int64_t lookups = std::max<int64_t>(1024, options.local_batch * options.tables);
  const int64_t n = std::min(lookups, slots / 2);
  const auto stream = backend.make_stream();
  Array<float> values(backend, Memory::device, slots * dim), state(backend, Memory::device, slots * state_dim);
  Array<float> rows(backend, Memory::device, lookups * dim);
  backend.zero(*stream, values.data(), slots * dim * 4);
  backend.zero(*stream, state.data(), slots * state_dim * 4);
  backend.zero(*stream, rows.data(), lookups * dim * 4);
  Mirrored<int64_t> slots_to_read(backend);
  int64_t* slot_of = slots_to_read.reserve(n);
  Array<int64_t> keys(host, Memory::host, lookups), distinct(host, Memory::host, lookups);
  Array<int32_t> row_of_key(host, Memory::host, lookups), offsets(host, Memory::host, lookups + 1),
      items(host, Memory::host, lookups);
  std::mt19937_64 random(1);
  const int64_t stride = slots / n;
  for (int64_t i = 0; i < n; ++i)
    slot_of[i] = i * stride + static_cast<int64_t>(random() % static_cast<uint64_t>(stride));
  std::shuffle(slot_of, slot_of + n, random);
  slots_to_read.upload(*stream, n);
  for (int64_t i = 0; i < lookups; ++i) {  // about as skewed as Criteo's ids
    const double u = static_cast<double>(random() >> 11) / 9007199254740992.0;
    keys[i] = static_cast<int64_t>(std::pow(static_cast<double>(slots), u)) - 1;
  }
  const RowStore store{values.data(), state.data(), slots, dim, state_dim};
  const auto synchronised = [&](auto&& action) {
    return slowest(context.comm, median_seconds([&] {
                     action();
                     backend.synchronize(*stream);
                   }));
  };

  std::vector<int64_t> distinct_segments(2);
  const int64_t segments[] = {0, lookups};
  const auto host_stream = host.make_stream();
  const double hash = synchronised([&] {
    host.distinct(*host_stream, keys.data(), segments, distinct.data(), distinct_segments.data(), row_of_key.data());
    host.group(*host_stream, row_of_key.data(), lookups, distinct_segments[1], offsets.data(), items.data());
  });
  rates.hash_ids_per_s = static_cast<double>(lookups) / hash;
  const auto bytes = static_cast<double>(n * dim * 4);
  const Matrix block = Matrix::f32(rows.data(), n, dim);
  rates.gather_bytes_per_s =
      bytes / synchronised([&] { backend.gather_rows(*stream, store, slots_to_read.device(), n, block); });
  Array<const float*> addresses(backend, Memory::device, n);
  Array<float> packed(backend, Memory::device, n * dim);
  backend.address_rows(*stream, rows.data(), nullptr, n, dim, addresses.data());
  rates.pack_bytes_per_s =
      bytes / synchronised([&] {
        backend.pack_rows(*stream, addresses.data(), nullptr, n, Matrix::f32(packed.data(), n, dim));
      });
  const OptimizerStep step{options.sparse_optimizer, 0.0f, 1e-8f};
  const auto stored = static_cast<double>(n * (dim + state_dim) * 4);
  rates.update_bytes_per_s =
      stored / synchronised([&] { backend.update_rows(*stream, step, store, slots_to_read.device(), block, n); });
}

void measure_model(const RankContext& context, const CalibrationOptions& options, MachineRates& rates) {
  Backend& backend = context.backend;
  const int64_t b = std::max<int64_t>(1, options.local_batch), dim = options.model.embedding_dim;
  const auto stream = backend.make_stream();
  Dlrm model(backend, *stream, options.model, options.tables, options.precision, b, 1);
  Array<float> dense(backend, Memory::device, b * 13), labels(backend, Memory::device, b),
      row(backend, Memory::device, dim);
  Array<const float*> rows(backend, Memory::device, 1);
  Array<int32_t> row_of_lookup(backend, Memory::device, b * options.tables);
  Array<double> loss(backend, Memory::pinned, 1);
  backend.zero(*stream, dense.data(), dense.size() * 4);
  backend.zero(*stream, labels.data(), labels.size() * 4);
  backend.zero(*stream, row.data(), dim * 4);
  backend.address_rows(*stream, row.data(), nullptr, 1, dim, rows.data());
  backend.zero(*stream, row_of_lookup.data(), row_of_lookup.size() * 4);
  const Bags bags{b, options.tables, nullptr, row_of_lookup.data()};
  const double seconds = slowest(context.comm, median_seconds([&] {
                                   model.forward(*stream, dense.data(), bags, rows.data());
                                   model.backward(*stream, labels.data(), 1.0f, loss.data());
                                   backend.synchronize(*stream);
                                 }));
  rates.flops_per_s = model_size(options.model, options.tables).flops_per_sample * static_cast<double>(b) / seconds;
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
  measure_rows(context, options, rates);
  measure_model(context, options, rates);
  constexpr double kUsable = 0.8;  // the rest is left to the system and its page cache
  rates.memory_bytes = static_cast<int64_t>(least(kUsable * static_cast<double>(available_memory()) / local));
  return rates;
}

}  // namespace sparrow
