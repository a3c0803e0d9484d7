// From a placement by classes to a plan by positions, with offsets that spread hot rows over the holders.
#include <algorithm>
#include <map>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"
#include "placement/model/plan.hpp"

namespace sparrow::placement {
namespace {

std::vector<Interval> intervals_of(const TablePlacement& placed, const std::vector<int>& renumbered) {
  std::vector<Interval> intervals;
  int64_t next = 0;
  for (const Share& share : placed.shares) {
    const auto rows = static_cast<int64_t>(share.rows);
    SPARROW_CHECK(static_cast<double>(rows) == share.rows && rows >= 0, "a plan of {} rows", share.rows);
    const int option = renumbered[share.option];
    if (rows == 0) continue;
    if (!intervals.empty() && intervals.back().option == option)
      intervals.back().last += rows;
    else
      intervals.push_back({next, next + rows, option});
    next += rows;
  }
  return intervals;
}

/// Chooses each table's offset in turn so that the busiest of k holders stays least busy. Only the hottest held rows
/// count: the many cold ones spread themselves. Candidates are spread over the holders, so that it takes O(tables * 64 *
/// rows considered).
void choose_offsets(const CostModel& model, const Placement& placement, Plan& plan) {
  int64_t k = 0;  // holders of the option that holds most
  std::map<int64_t, double> weight_of;
  for (size_t t = 0; t < placement.tables.size(); ++t)
    for (const Share& share : placement.tables[t].shares) {
      const Option& option = placement.options[share.option];
      const int64_t holders = model.tree().instances_in(option.sites[0].domain, model.tree().at_level(option.level)[0]);
      if (holders > 1)
        weight_of[holders] += share.rows * model.features_of(static_cast<int>(t), share.cls)[Features::v(0)];
    }
  double most = 0;
  for (const auto& [holders, weight] : weight_of)
    if (weight > most) most = weight, k = holders;
  if (k < 2) return;
  std::vector<double> load(k, 0);
  const int64_t considered = std::min<int64_t>(2 * k, 4096), candidates = std::min<int64_t>(k, 64);
  for (size_t t = 0; t < placement.tables.size(); ++t) {
    std::vector<std::pair<int64_t, double>> hot;  // (position, load)
    int64_t position = 0;
    for (const Share& share : placement.tables[t].shares) {
      const Option& option = placement.options[share.option];
      const int64_t holders = model.tree().instances_in(option.sites[0].domain, model.tree().at_level(option.level)[0]);
      const auto rows = static_cast<int64_t>(share.rows);
      const double* features = model.features_of(static_cast<int>(t), share.cls);
      double asked = 0;
      for (int r : model.tree().at_level(model.tree().depth()))
        asked += static_cast<double>(model.tree().instances(r)) * features[Features::v(r)];
      for (int64_t i = 0; i < rows && holders == k && static_cast<int64_t>(hot.size()) < considered; ++i)
        hot.emplace_back(position + i, asked * static_cast<double>(model.table(static_cast<int>(t)).wire_bytes));
      position += rows;
    }
    if (hot.empty()) continue;
    int64_t best = 0;
    double best_peak = kInfinity;
    for (int64_t i = 0; i < candidates; ++i) {
      const int64_t offset = (i * k / candidates + static_cast<int64_t>(t)) % k;
      double peak = 0;
      std::vector<double> trial = load;
      for (const auto& [at, amount] : hot) peak = std::max(peak, trial[HolderRule{offset}.holder(at, k)] += amount);
      if (peak < best_peak) best_peak = peak, best = offset;
    }
    for (const auto& [at, amount] : hot) load[HolderRule{best}.holder(at, k)] += amount;
    plan.tables[t].holders.offset = best;
  }
}

/// Chooses offsets so that what is left over when positions are dealt to holders (fewer rows than holders per interval)
/// piles up nowhere: for budgets so tight that a row more on one holder does not fit.
void balance_memory(const CostModel& model, Plan& plan) {
  const Tree& tree = model.tree();
  std::vector<std::vector<double>> load;  // by option and holder
  for (const Option& option : plan.options)
    load.emplace_back(tree.instances_in(option.sites[0].domain, tree.at_level(option.level)[0]), 0.0);
  size_t most = 1;
  for (const auto& holders : load) most = std::max(most, holders.size());
  constexpr size_t kCandidates = 256;
  for (size_t t = 0; t < plan.tables.size(); ++t) {
    const double row = model.shape(static_cast<int>(t)).stored_bytes;
    // Adds the leftovers of every interval; returns the sum over options of the fullest holder.
    const auto deal = [&](int64_t offset, std::vector<std::vector<double>>& holders) {
      for (const Interval& interval : plan.tables[t].intervals) {
        auto& loads = holders[interval.option];
        const auto k = static_cast<int64_t>(loads.size());
        for (int64_t i = 0; i < (interval.last - interval.first) % k; ++i)
          loads[HolderRule{offset}.holder(interval.first + i, k)] += row;
      }
      double peak = 0;
      for (const auto& loads : holders) peak += *std::max_element(loads.begin(), loads.end());
      return peak;
    };
    double best_peak = kInfinity;
    for (size_t i = 0; i < std::min(most, kCandidates); ++i) {
      const auto offset = static_cast<int64_t>(i * most / std::min(most, kCandidates));
      std::vector<std::vector<double>> trial = load;
      const double peak = deal(offset, trial);
      if (peak < best_peak) best_peak = peak, plan.tables[t].holders.offset = offset;
    }
    deal(plan.tables[t].holders.offset, load);
  }
}

/// As the workload says that samples are assigned and rows are held.
void assign_samples(const CostModel& model, Plan& plan) {
  const Locality& locality = model.workload().locality;
  plan.assignment = {locality.local, 1, locality.passes};
  for (TablePlan& table : plan.tables)
    table.holders.first_use =
        locality.first_use && table.transport <= Transport::direct && table.holders.fixed < 0 &&
        std::any_of(table.intervals.begin(), table.intervals.end(),
                    [&](const Interval& interval) { return held_by_use(model, plan.options[interval.option]); });
}

}  // namespace

bool fits(const CostModel& model, const Plan& plan) {
  const auto fullest = fullest_instances(plan, model.tree(), model.workload());
  for (int d = 0; d < model.tree().size(); ++d)
    for (size_t s = 0; s < fullest[d].size(); ++s) {
      const auto bytes = static_cast<double>(fullest[d][s]);
      if (bytes > 0 && bytes > model.capacity({d, static_cast<int>(s)})) return false;
    }
  return true;
}

Plan to_plan(const CostModel& model, const Placement& placement, const std::string& strategy) {
  Plan plan;
  plan.strategy = strategy;
  plan.topology = model.tree().topology().name;
  plan.global_batch = model.workload().global_batch;
  for (int r : model.tree().at_level(model.tree().depth())) plan.batch_shares.push_back(model.tree().batch_share(r));
  std::vector<int> renumbered(placement.options.size(), -1);
  for (const TablePlacement& table : placement.tables)
    for (const Share& share : table.shares)
      if (share.rows > 0) renumbered[share.option] = 0;
  for (size_t o = 0; o < renumbered.size(); ++o)
    if (renumbered[o] == 0) {
      renumbered[o] = static_cast<int>(plan.options.size());
      plan.options.push_back(placement.options[o]);
    }
  for (int t = 0; t < model.tables(); ++t) {
    const TablePlacement& placed = placement.tables[t];
    TablePlan table;
    table.name = model.table(t).name;
    table.rows = model.table(t).access.total_rows();
    table.transport = placed.transport;
    table.holders.offset = t;
    table.intervals = intervals_of(placed, renumbered);
    plan.tables.push_back(std::move(table));
  }
  choose_offsets(model, placement, plan);
  if (!fits(model, plan)) balance_memory(model, plan);
  assign_samples(model, plan);
  return plan;
}

}  // namespace sparrow::placement
