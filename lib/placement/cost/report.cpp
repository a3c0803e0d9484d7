// What a placement costs, read off its quantities: seconds of every step, T, bytes sent, memory used.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"

namespace sparrow::placement {
namespace {

struct Timed {
  double seconds = 0, latency = 0;
};

/// Of its busiest instance. Term by term for a block of instances: neighbours do not wait for each other.
Timed seconds_of(const TimeRow& row, const Loads& loads, const std::vector<bool>& on) {
  size_t instances = 1;
  for (const auto& [quantity, per_unit] : row.terms) instances = std::max(instances, loads.instances(quantity));
  double busiest = 0;
  std::array<double, 256> seconds;
  for (size_t first = 0; first < instances; first += seconds.size()) {
    const size_t n = std::min(seconds.size(), instances - first);
    std::fill_n(seconds.begin(), n, row.constant);
    for (const auto& [quantity, per_unit] : row.terms) {
      const std::vector<double>& values = loads.values[quantity];
      if (values.size() == 1)
        for (size_t i = 0; i < n; ++i) seconds[i] += per_unit * values[0];
      else
        for (size_t i = 0; i < n; ++i) seconds[i] += per_unit * values[first + i];
    }
    const double most = *std::max_element(seconds.begin(), seconds.begin() + n);
    busiest = first == 0 ? most : std::max(busiest, most);
  }
  Timed result{busiest, 0};
  for (const auto& [index, seconds_on] : row.switch_seconds)
    if (on[index]) result.latency += seconds_on;
  result.seconds += result.latency;
  return result;
}

/// What instance i of rank type r sends.
SentBytes sent_by(const CostModel& model, const Loads& loads, int r, size_t i, int stage) {
  const auto out = [&](Flow kind) { return loads.at(model.quantities().flow(kind, stage, r, Direction::out), i); };
  return {out(Flow::ids) + out(Flow::direct_ids), out(Flow::rows) + out(Flow::direct_rows),
          out(Flow::gradients) + out(Flow::direct_gradients), out(Flow::up) + out(Flow::down), out(Flow::samples)};
}

void report_bytes(const CostModel& model, const Loads& loads, Cost& cost) {
  const Tree& tree = model.tree();
  cost.sent_by_stage.assign(tree.depth(), {});
  for (int r : tree.at_level(tree.depth())) {
    size_t instances = 1;
    for (int stage = 1; stage <= tree.depth(); ++stage)
      for (int kind = 0; kind < kFlows; ++kind)
        instances = std::max(
            instances, loads.instances(model.quantities().flow(static_cast<Flow>(kind), stage, r, Direction::out)));
    const double weight =
        static_cast<double>(tree.instances(r)) / static_cast<double>(instances) / static_cast<double>(tree.ranks());
    for (size_t i = 0; i < instances; ++i) {
      SentBytes sent;
      for (int stage = 1; stage <= tree.depth(); ++stage) {
        const SentBytes of_stage = sent_by(model, loads, r, i, stage);
        sent.add(of_stage, 1);
        cost.sent_by_stage[stage - 1].add(of_stage, weight);
      }
      cost.sent_mean.add(sent, weight);
      if (sent.total() > cost.sent_max.total()) cost.sent_max = sent;
    }
  }
}

void report_counts(const CostModel& model, const std::vector<bool>& on, Cost& cost) {
  const Tree& tree = model.tree();
  const Switches switches{tree.depth()};
  for (int r : tree.at_level(tree.depth())) {
    const double weight = static_cast<double>(tree.instances(r)) / static_cast<double>(tree.ranks());
    for (int stage = 1; stage <= tree.depth(); ++stage) {
      const int a = tree.ancestor(r, stage);
      const double peers = static_cast<double>(tree.peers(a));
      const double others = static_cast<double>(tree.ranks_in(tree.domain(a).parent) - tree.ranks_in(a));
      const auto is_on = [&](int index) { return on[index] ? 1.0 : 0.0; };
      cost.messages_mean +=
          weight * (3 * peers * is_on(switches.staged(stage)) + 3 * others * is_on(switches.direct(stage)) +
                    2 * peers * is_on(switches.reduce(stage)) + others * is_on(switches.samples(stage)));
    }
    const double distinct = model.distinct_rows(r);
    cost.distinct_rows_mean += weight * distinct;
    cost.distinct_rows_max = std::max(cost.distinct_rows_max, distinct);
  }
}

double mean_of(const Loads& loads, int quantity) {
  const std::vector<double>& values = loads.values[quantity];
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void report_stores(const CostModel& model, const Loads& loads, Cost& cost) {
  const Tree& tree = model.tree();
  for (int d = 0; d < tree.size(); ++d)
    for (int s = 0; s < static_cast<int>(tree.domain(d).stores.size()); ++s) {
      const Site site{d, s};
      StoreCost store{site, tree.site_name(site), mean_of(loads, model.quantities().memory(site)), model.reserved(site),
                      static_cast<double>(tree.store(site).capacity_bytes)};
      const double needed = store.used_bytes + store.reserved_bytes;
      if (needed > store.capacity_bytes * (1 + 1e-9) + 1e-6 && cost.infeasible.empty())
        cost.infeasible = fmt::format("{} needs {:.0f} bytes ({:.0f} for rows, {:.0f} for buffers) and has {:.0f}",
                                      store.name, needed, store.used_bytes, store.reserved_bytes, store.capacity_bytes);
      if (!tree.is_device(site)) {
        store.read_bytes = mean_of(loads, model.quantities().store_read(site));
        store.written_bytes = mean_of(loads, model.quantities().store_write(site));
      }
      cost.stores.push_back(std::move(store));
    }
}

std::vector<StageCost> cost_of_steps(const TimeModel& time, const Loads& loads, const std::vector<bool>& on) {
  std::vector<StageCost> steps;
  for (const Step& step : time.steps) steps.push_back({step.phase, step.name, 0, 0, {}, 0, step.written});
  for (const TimeRow& row : time.rows) {
    const Timed timed = seconds_of(row, loads, on);
    StageCost& step = steps[row.step];
    if (timed.seconds <= step.seconds) continue;
    step.seconds = timed.seconds;
    step.latency_seconds = timed.latency;
    step.bottleneck = row.resource;
    step.level = row.level;
  }
  return steps;
}

/// The sequential iteration.
void sum_steps(const TimeModel& time, const std::vector<StageCost>& steps, Cost& cost) {
  cost.sequential_seconds = cost.compute_seconds = time.compute_seconds;
  cost.seconds_by_phase[static_cast<size_t>(Phase::compute)] = time.compute_seconds;
  double longest = time.compute_seconds;
  cost.bottleneck = "compute";
  for (size_t i = 0; i < steps.size(); ++i) {
    if (time.steps[i].chain != Chain::sequential || steps[i].seconds == 0) continue;
    cost.sequential_seconds += steps[i].seconds;
    cost.seconds_by_phase[static_cast<size_t>(steps[i].phase)] += steps[i].seconds;
    if (steps[i].seconds > longest) {
      longest = steps[i].seconds;
      cost.bottleneck = steps[i].bottleneck;
    }
    cost.stages.push_back(steps[i]);
  }
}

/// The overlapped iteration; what limits it: the chain of steps or the resource of the longer window.
std::string overlap(const TimeModel& time, const std::vector<StageCost>& steps, const Loads& loads,
                    const std::vector<bool>& on, Cost& cost) {
  double seconds[3] = {0, 0, 0};  // beside, behind, whole
  std::string limit[3] = {"exchange beside compute", "exchange of dirty rows", ""};
  for (size_t i = 0; i < steps.size(); ++i) {
    if (time.steps[i].chain == Chain::beside) seconds[0] += steps[i].seconds;
    if (time.steps[i].chain == Chain::behind) seconds[1] += steps[i].seconds;
  }
  cost.critical_path_seconds =
      time.compute_seconds - time.compute_behind_seconds + std::max(seconds[1], time.dense_seconds);
  for (const SharedRow& shared : time.shared) {
    const auto window = static_cast<size_t>(shared.window);
    const double busy = seconds_of(shared.row, loads, on).seconds;
    if (busy <= seconds[window]) continue;
    seconds[window] = busy;
    limit[window] = shared.row.resource;
  }
  cost.beside_seconds = seconds[0];
  cost.behind_seconds = seconds[1];
  cost.overlapped_seconds = std::max(seconds[0] + seconds[1], seconds[2]);
  if (seconds[2] > seconds[0] + seconds[1]) return limit[2];
  return seconds[0] >= seconds[1] ? limit[0] : limit[1];
}

/// What samples that move beside the iteration add to it.
void move_samples(const TimeModel& time, Cost& cost) {
  cost.undisturbed_seconds = cost.seconds;
  cost.sequential_seconds = time.with_samples(cost.sequential_seconds);
  cost.overlapped_seconds = time.with_samples(cost.overlapped_seconds);
  cost.seconds = time.with_samples(cost.seconds);
  const double added = cost.seconds - cost.undisturbed_seconds;
  if (added <= 0) return;
  cost.seconds_by_phase[static_cast<size_t>(Phase::samples)] = added;
  const bool waits = cost.seconds <= time.assign_seconds;
  cost.stages.push_back({Phase::samples, "beside the rest", added, 0, waits ? "assigning" : time.samples_resource});
  if (waits) cost.bottleneck = "assigning samples";
}

}  // namespace

double TimeModel::with_samples(double seconds) const {
  const double free = std::min(compute_seconds, seconds);
  const double hidden = samples_seconds > 0 ? free * std::min(1.0, samples_seconds / seconds) : 0;
  return std::max(seconds + samples_seconds - hidden + shared_seconds, assign_seconds);
}

std::vector<bool> switches_on(const TimeModel& time, const std::vector<double>& quantities) {
  std::vector<bool> on(time.switch_quantities.size(), false);
  for (size_t i = 0; i < on.size(); ++i)
    for (int quantity : time.switch_quantities[i])
      if (quantities[quantity] > 0) on[i] = true;
  return on;
}

Cost cost_of(const CostModel& model, const std::vector<double>& quantities) {
  Loads loads;
  for (double quantity : quantities) loads.values.push_back({quantity});
  return cost_of(model, loads, switches_on(model.time(), quantities));
}

Cost cost_of(const CostModel& model, const Loads& loads, const std::vector<bool>& on) {
  const TimeModel& time = model.time();
  Cost cost;
  const std::vector<StageCost> steps = cost_of_steps(time, loads, on);
  sum_steps(time, steps, cost);
  const std::string overlapped_bottleneck = overlap(time, steps, loads, on, cost);
  for (const TimeRow& row : time.totals) {
    const Timed timed = seconds_of(row, loads, on);
    const double amount =
        std::isinf(row.amount_per_second) ? 0 : (timed.seconds - timed.latency) * row.amount_per_second;
    cost.resources.push_back({row.resource, amount, timed.seconds});
  }
  const bool overlapped = model.workload().overlapped;
  cost.seconds = overlapped ? cost.overlapped_seconds : cost.sequential_seconds;
  if (overlapped) cost.bottleneck = overlapped_bottleneck;
  move_samples(time, cost);
  cost.even_seconds = cost.seconds;
  cost.samples_per_second =
      cost.seconds > 0 ? static_cast<double>(model.workload().global_batch) / cost.seconds : kInfinity;
  report_bytes(model, loads, cost);
  report_counts(model, on, cost);
  report_stores(model, loads, cost);
  return cost;
}

}  // namespace sparrow::placement
