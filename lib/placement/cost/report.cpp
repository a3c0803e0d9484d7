// What a placement costs, read off its quantities: seconds of every step, T, bytes sent, memory used.
#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"

namespace sparrow::placement {
namespace {

struct Timed {
  double seconds = 0, latency = 0;
};

Timed seconds_of(const TimeRow& row, const std::vector<double>& quantities, const std::vector<bool>& on) {
  Timed result;
  result.seconds = row.constant;
  for (const auto& [quantity, per_unit] : row.terms) result.seconds += per_unit * quantities[quantity];
  for (const auto& [index, seconds] : row.switch_seconds)
    if (on[index]) result.latency += seconds;
  result.seconds += result.latency;
  return result;
}

void report_bytes(const CostModel& model, const std::vector<double>& quantities, const std::vector<bool>& on,
                  Cost& cost) {
  const Tree& tree = model.tree();
  const Quantities& q = model.quantities();
  const Switches switches{tree.depth()};
  const double ranks = static_cast<double>(tree.ranks());
  cost.sent_by_stage.assign(tree.depth(), {});
  for (int r : tree.at_level(tree.depth())) {
    const double weight = static_cast<double>(tree.instances(r)) / ranks;
    SentBytes sent;
    double messages = 0;
    for (int stage = 1; stage <= tree.depth(); ++stage) {
      const auto out = [&](Flow kind) { return quantities[q.flow(kind, stage, r, Direction::out)]; };
      const SentBytes of_stage{out(Flow::ids) + out(Flow::direct_ids), out(Flow::rows) + out(Flow::direct_rows),
                               out(Flow::gradients) + out(Flow::direct_gradients), out(Flow::up) + out(Flow::down)};
      sent.add(of_stage, 1);
      cost.sent_by_stage[static_cast<size_t>(stage) - 1].add(of_stage, weight);
      const int a = tree.ancestor(r, stage);
      const double peers = static_cast<double>(tree.peers(a));
      const double others = static_cast<double>(tree.ranks_in(tree.domain(a).parent) - tree.ranks_in(a));
      const auto is_on = [&](int index) { return on[index] ? 1.0 : 0.0; };
      messages += 3 * peers * is_on(switches.staged(stage)) + 3 * others * is_on(switches.direct(stage)) +
                  2 * peers * is_on(switches.reduce(stage));
    }
    cost.sent_mean.add(sent, weight);
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
      StoreCost store{site, tree.site_name(site), quantities[model.quantities().memory(site)], model.reserved(site),
                      static_cast<double>(tree.store(site).capacity_bytes)};
      const double needed = store.used_bytes + store.reserved_bytes;
      if (needed > store.capacity_bytes * (1 + 1e-9) + 1e-6 && cost.infeasible.empty())
        cost.infeasible = fmt::format("{} needs {:.0f} bytes ({:.0f} for rows, {:.0f} for buffers) and has {:.0f}",
                                      store.name, needed, store.used_bytes, store.reserved_bytes, store.capacity_bytes);
      if (!tree.is_device(site)) {
        store.read_bytes = quantities[model.quantities().store_read(site)];
        store.written_bytes = quantities[model.quantities().store_write(site)];
      }
      cost.stores.push_back(std::move(store));
    }
}

std::vector<StageCost> cost_of_steps(const TimeModel& time, const std::vector<double>& quantities,
                                     const std::vector<bool>& on) {
  std::vector<StageCost> steps;
  for (const Step& step : time.steps) steps.push_back({step.phase, step.name, 0, 0, {}, 0});
  for (const TimeRow& row : time.rows) {
    const Timed timed = seconds_of(row, quantities, on);
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
    if (time.steps[i].lane != Lane::sequential || steps[i].seconds == 0) continue;
    cost.sequential_seconds += steps[i].seconds;
    cost.seconds_by_phase[static_cast<size_t>(steps[i].phase)] += steps[i].seconds;
    if (steps[i].seconds > longest) {
      longest = steps[i].seconds;
      cost.bottleneck = steps[i].bottleneck;
    }
    cost.stages.push_back(steps[i]);
  }
}

/// The overlapped iteration; what limits it: the lane or the resource of the longer part.
std::string overlap(const TimeModel& time, const std::vector<StageCost>& steps, const std::vector<double>& quantities,
                    const std::vector<bool>& on, Cost& cost) {
  double seconds[3] = {0, 0, 0};  // beside, behind, whole
  std::string limit[3] = {"exchange beside compute", "exchange of dirty rows", ""};
  for (size_t i = 0; i < steps.size(); ++i) {
    if (time.steps[i].lane == Lane::beside) seconds[0] += steps[i].seconds;
    if (time.steps[i].lane == Lane::behind) seconds[1] += steps[i].seconds;
  }
  cost.critical_path_seconds =
      time.compute_seconds - time.compute_behind_seconds + std::max(seconds[1], time.dense_seconds);
  for (const SharedRow& shared : time.shared) {
    const auto part = static_cast<size_t>(shared.part);
    const double busy = seconds_of(shared.row, quantities, on).seconds;
    if (busy <= seconds[part]) continue;
    seconds[part] = busy;
    limit[part] = shared.row.resource;
  }
  cost.beside_seconds = seconds[0];
  cost.behind_seconds = seconds[1];
  cost.overlapped_seconds = std::max(seconds[0] + seconds[1], seconds[2]);
  if (seconds[2] > seconds[0] + seconds[1]) return limit[2];
  return seconds[0] >= seconds[1] ? limit[0] : limit[1];
}

}  // namespace

Cost cost_of(const CostModel& model, const std::vector<double>& quantities) {
  const TimeModel& time = model.time();
  std::vector<bool> on(time.switch_quantities.size(), false);
  for (size_t i = 0; i < on.size(); ++i)
    for (int quantity : time.switch_quantities[i])
      if (quantities[quantity] > 0) on[i] = true;

  Cost cost;
  const std::vector<StageCost> steps = cost_of_steps(time, quantities, on);
  sum_steps(time, steps, cost);
  const std::string overlapped_bottleneck = overlap(time, steps, quantities, on, cost);
  for (const TimeRow& row : time.totals) {
    const Timed timed = seconds_of(row, quantities, on);
    const double amount =
        std::isinf(row.amount_per_second) ? 0 : (timed.seconds - timed.latency) * row.amount_per_second;
    cost.resources.push_back({row.resource, amount, timed.seconds});
  }
  const bool overlapped = model.workload().overlapped;
  cost.seconds = overlapped ? cost.overlapped_seconds : cost.sequential_seconds;
  if (overlapped) cost.bottleneck = overlapped_bottleneck;
  cost.samples_per_second =
      cost.seconds > 0 ? static_cast<double>(model.workload().global_batch) / cost.seconds : kInfinity;
  report_bytes(model, quantities, on, cost);
  report_stores(model, quantities, cost);
  return cost;
}

}  // namespace sparrow::placement
