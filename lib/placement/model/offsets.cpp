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

/// Rows of one table that follow one another, each asked for as much.
struct HotRun {
  int64_t first = 0, rows = 0;  ///< first: modulo the number of holders
  double amount = 0;            ///< bytes asked of the holder of one of them
};

/// What the hottest rows of the tables so far ask of each holder.
class HolderLoads {
 public:
  explicit HolderLoads(int64_t holders) : load_(holders, 0), trial_(holders, 0) {}

  /// What the busiest of their holders would have to give if the runs began at this offset; or, as soon as it is that
  /// much, anything at or above `enough`.
  double peak(const std::vector<HotRun>& runs, int64_t offset, double enough) {
    double peak = 0;
    size_t tried = 0;
    for (; tried < runs.size() && peak < enough; ++tried)
      for_holders(runs[tried], offset, [&](int64_t from, int64_t to) {
        for (int64_t h = from; h < to; ++h) peak = std::max(peak, trial_[h] += runs[tried].amount);
      });
    for (size_t i = 0; i < tried; ++i)
      for_holders(runs[i], offset, [&](int64_t from, int64_t to) {
        for (int64_t h = from; h < to; ++h) trial_[h] = load_[h];
      });
    return peak;
  }
  void add(const std::vector<HotRun>& runs, int64_t offset) {
    for (const HotRun& run : runs)
      for_holders(run, offset, [&](int64_t from, int64_t to) {
        for (int64_t h = from; h < to; ++h) trial_[h] = load_[h] += run.amount;
      });
  }

 private:
  /// action(from, to) for every range of holders that the run deals a row to, in turn. offset: below their number.
  template <class Action>
  void for_holders(const HotRun& run, int64_t offset, Action action) const {
    const auto k = std::ssize(load_);
    int64_t from = run.first + offset < k ? run.first + offset : run.first + offset - k;
    for (int64_t left = run.rows; left > 0; from = 0) {
      const int64_t to = std::min(k, from + left);
      action(from, to);
      left -= to - from;
    }
  }
  std::vector<double> load_, trial_;
};

/// Instances of its first site inside a domain that has a copy.
int64_t holders_of(const Tree& tree, const Option& option) {
  return tree.instances_in(option.sites[0].domain, tree.at_level(option.level)[0]);
}

/// The hottest `considered` rows of a table with k holders.
std::vector<HotRun> hottest_rows(const CostModel& model, const Placement& placement, int t, int64_t k,
                                 int64_t considered) {
  const Tree& tree = model.tree();
  std::vector<HotRun> hot;
  int64_t position = 0;
  for (const Share& share : placement.tables[t].shares) {
    const auto rows = static_cast<int64_t>(share.rows);
    if (rows > 0 && holders_of(tree, placement.options[share.option]) == k) {
      const double* features = model.features_of(t, share.cls);
      double asked = 0;
      for (int r : tree.at_level(tree.depth())) asked += static_cast<double>(tree.instances(r)) * features[Features::v(r)];
      hot.push_back({position % k, std::min(rows, considered), asked * static_cast<double>(model.table(t).wire_bytes)});
      considered -= hot.back().rows;
      if (considered == 0) break;
    }
    position += rows;
  }
  return hot;
}

/// Holders of the option that holds most; 0 where none spreads rows.
int64_t most_common_holders(const CostModel& model, const Placement& placement) {
  std::map<int64_t, double> weight_of;  // by number of holders
  std::vector<double*> weight_by_option;
  for (const Option& option : placement.options) {
    const int64_t holders = holders_of(model.tree(), option);
    weight_by_option.push_back(holders > 1 ? &weight_of[holders] : nullptr);
  }
  for (size_t t = 0; t < placement.tables.size(); ++t)
    for (const Share& share : placement.tables[t].shares)
      if (double* weight = weight_by_option[share.option])
        *weight += share.rows * model.features_of(static_cast<int>(t), share.cls)[Features::v(0)];
  int64_t k = 0;
  double most = 0;
  for (const auto& [holders, weight] : weight_of)
    if (weight > most) most = weight, k = holders;
  return k;
}

/// Chooses each table's offset in turn so that the busiest of k holders stays least busy. Only the hottest held rows
/// count: the many cold ones spread themselves. Candidates are spread over the holders, so that it takes O(tables * 64 *
/// rows considered) at most: one is given up once it is no better than another.
void choose_offsets(const CostModel& model, const Placement& placement, Plan& plan) {
  const int64_t k = most_common_holders(model, placement);
  if (k < 2) return;
  HolderLoads loads(k);
  const int64_t considered = std::min<int64_t>(2 * k, 4096), candidates = std::min<int64_t>(k, 64);
  for (size_t t = 0; t < placement.tables.size(); ++t) {
    const std::vector<HotRun> hot = hottest_rows(model, placement, static_cast<int>(t), k, considered);
    if (hot.empty()) continue;
    int64_t best = 0;
    double best_peak = kInfinity;
    for (int64_t i = 0; i < candidates; ++i) {
      const int64_t offset = (i * k / candidates + static_cast<int64_t>(t)) % k;
      const double peak = loads.peak(hot, offset, best_peak);
      if (peak < best_peak) best_peak = peak, best = offset;
    }
    loads.add(hot, best);
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
  return plan;
}

}  // namespace sparrow::placement
