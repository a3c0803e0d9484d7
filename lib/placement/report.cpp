// What a placement costs, read off its quantities: seconds of every step, T, bytes sent, memory used.
#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "placement/model.hpp"

namespace sparrow::placement {
namespace {

struct Timed {
  double seconds = 0, latency = 0;
};

Timed seconds_of(const TimeRow& row, const std::vector<double>& quantities, const std::vector<bool>& on) {
  Timed result;
  result.seconds = row.constant;
  for (const auto& [quantity, per_unit] : row.terms)
    result.seconds += per_unit * quantities[static_cast<size_t>(quantity)];
  for (const auto& [index, seconds] : row.switch_seconds)
    if (on[static_cast<size_t>(index)]) result.latency += seconds;
  result.seconds += result.latency;
  return result;
}

void report_bytes(const CostModel& model, const std::vector<double>& quantities, const std::vector<bool>& on,
                  Cost& cost) {
  const Tree& tree = model.tree();
  const Quantities& q = model.quantities();
  const Switches switches{tree.depth()};
  const double ranks = static_cast<double>(tree.ranks());
  for (int r : tree.at_level(tree.depth())) {
    SentBytes sent;
    double messages = 0;
    for (int stage = 1; stage <= tree.depth(); ++stage) {
      const auto out = [&](Flow kind) {
        return quantities[static_cast<size_t>(q.flow(kind, stage, r, Direction::out))];
      };
      sent.ids += out(Flow::ids) + out(Flow::direct_ids);
      sent.rows += out(Flow::rows) + out(Flow::direct_rows);
      sent.gradients += out(Flow::gradients) + out(Flow::direct_gradients);
      sent.allreduce += out(Flow::up) + out(Flow::down);
      const int a = tree.ancestor(r, stage);
      const double peers = static_cast<double>(tree.peers(a));
      const double others = static_cast<double>(tree.ranks_in(tree.domain(a).parent) - tree.ranks_in(a));
      const auto is_on = [&](int index) { return on[static_cast<size_t>(index)] ? 1.0 : 0.0; };
      messages += 3 * peers * is_on(switches.staged(stage)) + 3 * others * is_on(switches.direct(stage)) +
                  2 * peers * is_on(switches.reduce(stage));
    }
    const double weight = static_cast<double>(tree.instances(r)) / ranks;
    cost.sent_mean.ids += weight * sent.ids;
    cost.sent_mean.rows += weight * sent.rows;
    cost.sent_mean.gradients += weight * sent.gradients;
    cost.sent_mean.allreduce += weight * sent.allreduce;
    cost.messages_mean += weight * messages;
    if (sent.total() > cost.sent_max.total()) cost.sent_max = sent;

    double distinct = 0;
    for (int t = 0; t < model.tables(); ++t)
      for (size_t c = 0; c < model.table(t).access.classes(); ++c)
        distinct += static_cast<double>(model.table(t).access.rows[c]) * model.features_of(t, c)[Features::v(r)];
    cost.distinct_rows_mean += weight * distinct;
    cost.distinct_rows_max = std::max(cost.distinct_rows_max, distinct);
  }
}

void report_stores(const CostModel& model, const std::vector<double>& quantities, Cost& cost) {
  const Tree& tree = model.tree();
  for (int d = 0; d < tree.size(); ++d)
    for (int s = 0; s < static_cast<int>(tree.domain(d).stores.size()); ++s) {
      const Site site{d, s};
      StoreCost store{site, tree.site_name(site), quantities[static_cast<size_t>(model.quantities().memory(site))],
                      model.reserved(site), static_cast<double>(tree.store(site).capacity_bytes)};
      const double needed = store.used_bytes + store.reserved_bytes;
      if (needed > store.capacity_bytes * (1 + 1e-9) + 1e-6 && cost.infeasible.empty())
        cost.infeasible = fmt::format("{} needs {:.0f} bytes ({:.0f} for rows, {:.0f} for buffers) and has {:.0f}",
                                      store.name, needed, store.used_bytes, store.reserved_bytes, store.capacity_bytes);
      cost.stores.push_back(std::move(store));
    }
}

}  // namespace

Cost cost_of(const CostModel& model, const std::vector<double>& quantities) {
  const TimeModel& time = model.time();
  std::vector<bool> on(time.switch_quantities.size(), false);
  for (size_t i = 0; i < on.size(); ++i)
    for (int quantity : time.switch_quantities[i])
      if (quantities[static_cast<size_t>(quantity)] > 0) on[i] = true;

  Cost cost;
  std::vector<StageCost> steps(time.steps.size());
  for (const TimeRow& row : time.rows) {
    const Timed timed = seconds_of(row, quantities, on);
    StageCost& step = steps[static_cast<size_t>(row.step)];
    if (timed.seconds <= step.seconds) continue;
    step.seconds = timed.seconds;
    step.latency_seconds = timed.latency;
    step.bottleneck = row.resource;
  }
  cost.compute_seconds = time.compute_seconds;
  cost.sequential_seconds = cost.critical_path_seconds = time.compute_seconds;
  cost.seconds_by_phase[static_cast<size_t>(Phase::compute)] = time.compute_seconds;
  double longest = time.compute_seconds;
  std::string slowest = "compute";
  for (size_t i = 0; i < steps.size(); ++i) {
    steps[i].phase = time.steps[i].phase;
    steps[i].name = time.steps[i].name;
    if (time.steps[i].critical) {
      cost.critical_path_seconds += steps[i].seconds;
      continue;
    }
    cost.sequential_seconds += steps[i].seconds;
    cost.seconds_by_phase[static_cast<size_t>(steps[i].phase)] += steps[i].seconds;
    if (steps[i].seconds > longest) {
      longest = steps[i].seconds;
      slowest = steps[i].bottleneck;
    }
    if (steps[i].seconds > 0) cost.stages.push_back(steps[i]);
  }
  double busiest = 0;
  std::string busiest_name = "critical path";
  for (const TimeRow& row : time.totals) {
    const Timed timed = seconds_of(row, quantities, on);
    cost.resources.push_back({row.resource, (timed.seconds - timed.latency) * row.amount_per_second, timed.seconds});
    if (std::isinf(row.amount_per_second)) cost.resources.back().amount = 0;
    if (timed.seconds > busiest) {
      busiest = timed.seconds;
      if (busiest > cost.critical_path_seconds) busiest_name = row.resource;
    }
  }
  cost.overlapped_seconds = std::max(busiest, cost.critical_path_seconds);
  const bool overlapped = model.workload().overlapped;
  cost.seconds = overlapped ? cost.overlapped_seconds : cost.sequential_seconds;
  cost.bottleneck = overlapped ? busiest_name : slowest;
  cost.samples_per_second =
      cost.seconds > 0 ? static_cast<double>(model.workload().global_batch) / cost.seconds : kInfinity;
  report_bytes(model, quantities, on, cost);
  report_stores(model, quantities, cost);
  return cost;
}

}  // namespace sparrow::placement
