// From a placement by classes to a plan by positions, with offsets that spread hot rows over the holders.
#include <algorithm>
#include <array>
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

/// What the hottest rows of one table ask of k holders, those beginning with the one that has the hottest.
class HotRows {
 public:
  explicit HotRows(int64_t k) : k_(k) {}

  /// Rows that follow one another from a position on, the holder of each asked for `amount` bytes.
  void add(int64_t position, int64_t rows, double amount) {
    if (turns_.empty()) first_ = position;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = position - first_ + i;
      if (at / k_ >= std::ssize(turns_)) turns_.resize(at / k_ + 1);
      std::vector<double>& turn = turns_[at / k_];
      if (at % k_ >= std::ssize(turn)) turn.resize(at % k_ + 1, kNone);
      turn[at % k_] = amount;
    }
  }
  bool empty() const { return turns_.empty(); }
  /// Once all are added.
  void finish() {
    const auto longer = [](const auto& a, const auto& b) { return a.size() < b.size(); };
    const size_t asked = std::max_element(turns_.begin(), turns_.end(), longer)->size();
    for (std::vector<double>& turn : turns_) turn.resize(asked, kNone);
    for (size_t i = 0; i < asked; ++i) {
      const bool any = std::any_of(turns_.begin(), turns_.end(), [&](const auto& turn) { return turn[i] != kNone; });
      for (std::vector<double>& turn : turns_)
        if (any && turn[i] == kNone) turn[i] = 0;
    }
  }
  /// The busiest of the holders asked, if they had to give this already and the table began at an offset; or, as soon
  /// as it is that much, anything at or above `enough`. load: of all holders, twice, so that they need not be a ring.
  double peak(const std::vector<double>& load, int64_t offset, double enough) const {
    constexpr size_t kBlock = 64, kLanes = 4;
    const double* from = load.data() + (first_ + offset) % k_;
    std::array<double, kLanes> most{};
    for (size_t first = 0; first < turns_[0].size(); first += kBlock) {
      std::array<double, kBlock> sums{};
      const size_t n = std::min(kBlock, turns_[0].size() - first);
      std::copy_n(from + first, n, sums.begin());
      for (const std::vector<double>& turn : turns_)
        for (size_t i = 0; i < n; ++i) sums[i] += turn[first + i];
      for (size_t i = 0; i < kBlock; i += kLanes)
        for (size_t lane = 0; lane < kLanes; ++lane) most[lane] = std::max(most[lane], sums[i + lane]);
      if (*std::max_element(most.begin(), most.end()) >= enough) break;
    }
    return *std::max_element(most.begin(), most.end());
  }
  /// Adds what they ask to the load of all holders.
  void add_to(std::vector<double>& load, int64_t offset) const {
    for (const std::vector<double>& turn : turns_)
      for (int64_t i = 0; i < std::ssize(turn); ++i) {
        if (turn[i] == kNone) continue;
        const int64_t h = HolderRule{offset}.holder(first_ + i, k_);
        load[h + k_] = load[h] += turn[i];
      }
  }

 private:
  static constexpr double kNone = -kInfinity;  ///< of a holder that none of them is on
  const int64_t k_;
  int64_t first_ = 0;
  std::vector<std::vector<double>> turns_;  ///< the holders from the first on, again and again
};

/// Instances of its first site inside a domain that has a copy.
int64_t holders_of(const Tree& tree, const Option& option) {
  return tree.instances_in(option.sites[0].domain, tree.at_level(option.level)[0]);
}

/// The hottest `considered` rows of a table with k holders.
HotRows hottest_rows(const CostModel& model, const Placement& placement, int t, int64_t k, int64_t considered) {
  const Tree& tree = model.tree();
  HotRows hot(k);
  int64_t position = 0;
  for (const Share& share : placement.tables[t].shares) {
    const auto rows = static_cast<int64_t>(share.rows);
    if (rows > 0 && holders_of(tree, placement.options[share.option]) == k) {
      const double* features = model.features_of(t, share.cls);
      double asked = 0;
      for (int r : tree.at_level(tree.depth()))
        asked += static_cast<double>(tree.instances(r)) * features[Features::v(r)];
      const int64_t taken = std::min(rows, considered);
      hot.add(position, taken, asked * static_cast<double>(model.table(t).wire_bytes));
      considered -= taken;
      if (considered == 0) break;
    }
    position += rows;
  }
  if (!hot.empty()) hot.finish();
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
      if (double* weight = weight_by_option[share.option]) {
        *weight += share.rows * model.features_of(static_cast<int>(t), share.cls)[Features::v(0)];
        if (weight_of.size() == 1 && *weight > 0) return weight_of.begin()->first;
      }
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
  std::vector<double> load(2 * k, 0);
  const int64_t considered = std::min<int64_t>(2 * k, 4096), candidates = std::min<int64_t>(k, 64);
  for (size_t t = 0; t < placement.tables.size(); ++t) {
    const HotRows hot = hottest_rows(model, placement, static_cast<int>(t), k, considered);
    if (hot.empty()) continue;
    int64_t best = 0;
    double best_peak = kInfinity;
    for (int64_t i = 0; i < candidates; ++i) {
      const int64_t offset = (i * k / candidates + static_cast<int64_t>(t)) % k;
      const double peak = hot.peak(load, offset, best_peak);
      if (peak < best_peak) best_peak = peak, best = offset;
    }
    hot.add_to(load, best);
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
                    [&](const Interval& interval) { return held_by_first_use(model, plan.options[interval.option]); });
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
