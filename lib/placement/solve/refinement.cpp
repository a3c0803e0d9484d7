// Which groups, variants and coupling rows the next programme of a family has, by the prices of the last.
#include <algorithm>
#include <numeric>

#include "placement/solve/family_program.hpp"

namespace sparrow::placement {
namespace {

constexpr size_t kKeptVariants = 6;     // options that a group keeps after the first round
constexpr size_t kKeptPlacements = 24;  // placements of a table

}  // namespace

/// Makes the programme's rows those that bind or come near it. Returns whether a row outside it is violated.
bool FamilyProgram::wake_rows(const Prices& price, const std::vector<double>& x, const std::vector<double>& tau) {
  const std::vector<double> load = loads(x);
  std::vector<bool> was(load.size(), false);
  for (size_t k : active_) was[k] = true;
  bool violated = false;
  active_.clear();
  for (size_t k = 0; k < load.size(); ++k) {
    const CouplingRow& row = form_.rows()[k];
    double full = row.is_time() ? 0 : row.capacity;
    if (row.is_time())
      for (int step : form_.taus_of(row)) full += tau[step] * unit_;
    const double used = load[k] + (row.is_time() ? row_constant(k) : 0);
    violated = violated || (!was[k] && used > full + 1e-9 * (row.is_time() ? unit_ : row.capacity));
    if (used > 0.6 * full || price[k] > 1e-9 * (row.is_time() ? 1 : unit_ / row.capacity)) active_.push_back(k);
  }
  return violated;
}

/// Splits the groups whose classes disagree about the cheapest option, where it matters, and offers every group its
/// cheapest options, every whole table its cheapest placements. Returns the seconds that better choices of classes
/// would save at these prices.
double FamilyProgram::refine(const Prices& price, const std::vector<double>& x, double bound) {
  std::vector<double> lost(groups_.size(), 0);
  std::vector<std::vector<size_t>> cuts(groups_.size());
  double total = 0;
  size_t column = 0;
  int table = -1;
  std::vector<std::vector<double>> prices;
  for (size_t i = 0; i < groups_.size(); ++i) {
    Group& g = groups_[i];
    if (g.whole()) {
      const size_t before = g.columns();
      keep_cheapest(g, x.data() + column, price);
      column += before;
      continue;
    }
    if (g.table != table) prices = form_.variant_prices(table = g.table, price);
    size_t before = prices.size();
    std::vector<double> paid(prices.size(), 0);
    std::vector<bool> wanted(prices.size(), false);
    for (size_t c = g.first; c < g.last; ++c) {
      const double rows = static_cast<double>(model_.table(g.table).access.rows[c]);
      double cheapest = kInfinity;
      size_t best = 0;
      for (size_t v = 0; v < prices.size(); ++v) {
        const double cost = placement::price_of(prices[v], model_.features_of(g.table, c));
        paid[v] += rows * cost;
        if (cost < cheapest) cheapest = cost, best = v;
      }
      lost[i] -= rows * cheapest;
      wanted[best] = true;
      if (before < prices.size() && best != before) cuts[i].push_back(c);
      before = best;
    }
    for (size_t v : g.variants) {
      lost[i] += x[column] * paid[v];
      if (x[column++] > 1e-9) wanted[v] = true;
    }
    total += lost[i];
    std::vector<size_t> order(prices.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return paid[a] < paid[b]; });
    for (size_t k = 0; k < std::min(kKeptVariants, order.size()); ++k) wanted[order[k]] = true;
    g.variants.clear();
    for (size_t v = 0; v < prices.size(); ++v)
      if (wanted[v]) g.variants.push_back(v);
  }
  split_groups(lost, cuts, bound);
  return total;
}

void FamilyProgram::split_groups(const std::vector<double>& lost, const std::vector<std::vector<size_t>>& cuts,
                                 double bound) {
  std::vector<Group> finer;
  for (size_t i = 0; i < groups_.size(); ++i) {
    Group& g = groups_[i];
    if (g.whole()) {
      finer.push_back(std::move(g));
      continue;
    }
    const size_t classes = g.last - g.first;
    std::vector<size_t> at = {g.first};
    if (classes > 1 && lost[i] > 0.02 * settings_.target_gap * bound) {
      constexpr size_t kPieces = 6;
      for (size_t piece = 1; piece < kPieces; ++piece) at.push_back(g.first + classes * piece / kPieces);
      if (cuts[i].size() < kPieces) at.insert(at.end(), cuts[i].begin(), cuts[i].end());
      std::sort(at.begin(), at.end());
      at.erase(std::unique(at.begin(), at.end()), at.end());
    }
    at.push_back(g.last);
    for (size_t k = 0; k + 1 < at.size(); ++k) finer.push_back({g.table, at[k], at[k + 1], g.variants});
  }
  groups_ = std::move(finer);
}

/// Of a table's placements those in use, the cheapest others, and those that its pricing found.
void FamilyProgram::keep_cheapest(Group& g, const double* x, const Prices& price) const {
  std::vector<double> prices(g.columns(), 0);
  for (size_t i = 0; i < prices.size(); ++i)
    for (size_t k = 0; k < form_.rows().size(); ++k) prices[i] += price[k] * g.loads[i][k];
  std::vector<size_t> order(prices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return prices[a] < prices[b]; });
  std::vector<bool> kept(prices.size(), false);
  for (size_t i = 0; i < order.size(); ++i) kept[order[i]] = i < kKeptPlacements || x[order[i]] > 1e-9;
  Group next{g.table, g.first, g.last, {}};
  for (size_t i = 0; i < kept.size(); ++i) {
    if (!kept[i]) continue;
    next.placements.push_back(std::move(g.placements[i]));
    next.loads.push_back(std::move(g.loads[i]));
  }
  const TableChoices& offered = offered_[g.table];
  for (const TableChoice* choice : {&offered.plain, &offered.pooled})
    if (!choice->column.parts.empty()) add_placement(next, choice->column);
  g = std::move(next);
}

}  // namespace sparrow::placement
