// Solves the linear programme of a family. It starts with few groups of classes and all options, then lets groups,
// options and coupling rows come and go by the prices found: groups split where their classes disagree, groups keep
// their cheapest options, rows that are far from binding leave. None of it costs exactness: the bound is over all
// classes, options and rows, and the rounds go on until it is met.
#include "placement/family.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "placement/interior_point.hpp"
#include "placement/linear_form.hpp"

namespace sparrow::placement {
namespace {

constexpr size_t kKeptVariants = 6;  // options that a group keeps after the first round

struct Group {  // classes first .. last - 1 of a table, as one class of the programme
  int table;
  size_t first, last;
  std::vector<size_t> variants;
};

class FamilyProgram {
 public:
  FamilyProgram(LinearForm& form, const SolveOptions& settings)
      : form_(form), model_(form.model()), settings_(settings) {}
  FamilyResult run(const std::vector<PriceBook>& known, double cutoff);

 private:
  size_t f() const { return form_.features(); }
  void first_groups();
  BlockProgram program() const;
  double greedy_seconds();
  Prices prices_of(const BlockSolution& solution) const;
  bool wake_rows(const Prices& price, const std::vector<double>& x, const std::vector<double>& tau);
  std::vector<double> loads(const std::vector<double>& x) const;
  double refine(const Prices& price, const std::vector<double>& x, double bound);
  Placement round(const Prices& price, const std::vector<double>& x) const;
  void place_group(const Group& g, const double* x, const std::vector<std::vector<double>>& prices,
                   TablePlacement& placed) const;
  void report(const Prices& price, const std::vector<double>& x, FamilyResult& result) const;
  double row_constant(size_t k) const { return form_.rows()[k].constant + form_.pooled_constants()[k]; }

  LinearForm& form_;
  const CostModel& model_;
  const SolveOptions& settings_;
  std::vector<Group> groups_;
  std::vector<size_t> active_;  // coupling rows in the programme
  double unit_ = 1;             // seconds
};

/// Groups of classes whose probabilities lie within a ratio, the least ratio for which one iteration of the programme
/// stays cheap.
void FamilyProgram::first_groups() {
  size_t most_variants = 1;
  for (int t = 0; t < model_.tables(); ++t) most_variants = std::max(most_variants, form_.variants(t).size());
  constexpr double kOperations = 5e5;  // of one iteration: groups * variants * rows^2 / 2
  const double per_group = static_cast<double>(most_variants * active_.size() * active_.size()) / 2;
  const double least = 10.0 * model_.tables();
  const auto most = static_cast<size_t>(
      std::clamp(kOperations / per_group, least, std::max(least, static_cast<double>(settings_.max_classes))));
  for (double ratio = 1; ratio < 1e15; ratio = ratio < 1.01 ? 1.01 : 1 + (ratio - 1) * 1.5) {
    groups_.clear();
    for (int t = 0; t < model_.tables() && groups_.size() <= most; ++t) {
      std::vector<size_t> every(form_.variants(t).size());
      std::iota(every.begin(), every.end(), size_t{0});
      const TableDistribution& access = model_.table(t).access;
      size_t first = 0;
      for (size_t c = 1; c <= access.classes(); ++c) {
        bool together = c < access.classes() && ratio > 1;
        for (const auto& p : access.p)
          together = together && std::max(p[c], p[first]) <= ratio * std::min(p[c], p[first]);
        if (together) continue;
        groups_.push_back({t, first, c, every});
        first = c;
      }
    }
    if (groups_.size() <= most) return;
  }
}

BlockProgram FamilyProgram::program() const {
  BlockProgram p;
  const auto& rows = form_.rows();
  p.rows = static_cast<int>(active_.size());
  for (size_t i = 0; i < active_.size(); ++i) {
    const CouplingRow& row = rows[active_[i]];
    p.b.push_back(row.is_time() ? -row_constant(active_[i]) / unit_ : 1);
    if (!row.is_time()) continue;
    for (int tau : form_.taus_of(row)) p.links.push_back({static_cast<int>(i), tau, -1});
  }
  p.objective.assign(static_cast<size_t>(form_.taus()), form_.parts() == 0 ? 1 : 0);
  for (int part = 0; part < form_.parts(); ++part) {  // its steps take no longer than it, as one more row
    const int total = form_.part_tau(part);
    p.objective[static_cast<size_t>(total)] = 1;
    for (int step = 0; step < form_.part_tau(0); ++step)
      if (form_.part_of(step) == part) p.links.push_back({p.rows, step, 1});
    p.links.push_back({p.rows, total, -1});
    p.b.push_back(0);
    ++p.rows;
  }
  p.class_start.push_back(0);
  std::vector<double> sums(f());
  for (const Group& g : groups_) {
    std::fill(sums.begin(), sums.end(), 0);
    for (size_t c = g.first; c < g.last; ++c) {
      const double n = static_cast<double>(model_.table(g.table).access.rows[c]);
      const double* features = model_.features_of(g.table, c);
      for (size_t i = 0; i < f(); ++i) sums[i] += n * features[i];
    }
    for (size_t v : g.variants) {
      const Matrix& m = *form_.variants(g.table)[v].matrix;
      for (size_t k : active_) {
        double load = 0;
        for (size_t i = 0; i < f(); ++i) load += m[k * f() + i] * sums[i];
        p.columns.push_back(load / (rows[k].is_time() ? unit_ : rows[k].capacity));
      }
      p.columns.insert(p.columns.end(), static_cast<size_t>(form_.parts()), 0.0);
    }
    p.class_start.push_back(p.class_start.back() + static_cast<int>(g.variants.size()));
  }
  return p;
}

/// Seconds or bytes of every coupling row (without its constant) at x.
std::vector<double> FamilyProgram::loads(const std::vector<double>& x) const {
  std::vector<double> result(form_.rows().size(), 0), sums(f());
  size_t j = 0;
  for (const Group& g : groups_) {
    std::fill(sums.begin(), sums.end(), 0);
    for (size_t c = g.first; c < g.last; ++c)
      for (size_t i = 0; i < f(); ++i)
        sums[i] += static_cast<double>(model_.table(g.table).access.rows[c]) * model_.features_of(g.table, c)[i];
    for (size_t v : g.variants) {
      const double share = x[j++];
      if (share == 0) continue;
      const Matrix& m = *form_.variants(g.table)[v].matrix;
      for (size_t k = 0; k < result.size(); ++k)
        for (size_t i = 0; i < f(); ++i) result[k] += share * m[k * f() + i] * sums[i];
    }
  }
  return result;
}

/// The unit of time of the programme, near its optimum: the longest row when every group takes the option whose own
/// longest row is shortest.
double FamilyProgram::greedy_seconds() {
  std::vector<double> total(form_.rows().size(), 0), sums(f()), load(total.size());
  for (const Group& g : groups_) {
    std::fill(sums.begin(), sums.end(), 0);
    for (size_t c = g.first; c < g.last; ++c)
      for (size_t i = 0; i < f(); ++i)
        sums[i] += static_cast<double>(model_.table(g.table).access.rows[c]) * model_.features_of(g.table, c)[i];
    double shortest = kInfinity;
    std::vector<double> chosen;
    for (size_t v : g.variants) {
      const Matrix& m = *form_.variants(g.table)[v].matrix;
      double longest = 0;
      for (size_t k = 0; k < load.size(); ++k) {
        load[k] = 0;
        for (size_t i = 0; i < f() && form_.rows()[k].is_time(); ++i) load[k] += m[k * f() + i] * sums[i];
        longest = std::max(longest, load[k]);
      }
      if (longest < shortest) shortest = longest, chosen = load;
    }
    for (size_t k = 0; k < load.size(); ++k) total[k] += chosen[k];
  }
  double longest = 0;
  for (size_t k = 0; k < load.size(); ++k)
    if (form_.rows()[k].is_time()) longest = std::max(longest, total[k] + row_constant(k));
  return longest > 0 ? longest : 1;
}

Prices FamilyProgram::prices_of(const BlockSolution& solution) const {
  const auto parts = static_cast<size_t>(form_.parts());
  Prices price(form_.rows().size() + parts, 0);
  for (size_t i = 0; i < active_.size(); ++i) {
    const CouplingRow& row = form_.rows()[active_[i]];
    price[active_[i]] = row.is_time() ? solution.price[i] : solution.price[i] * unit_ / row.capacity;
  }
  for (size_t part = 0; part < parts; ++part) price[form_.rows().size() + part] = solution.price[active_.size() + part];
  return form_.feasible(price);
}

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
      for (int of : form_.taus_of(row)) full += tau[static_cast<size_t>(of)] * unit_;
    const double used = load[k] + (row.is_time() ? row_constant(k) : 0);
    violated = violated || (!was[k] && used > full + 1e-9 * (row.is_time() ? unit_ : row.capacity));
    if (used > 0.6 * full || price[k] > 1e-9 * (row.is_time() ? 1 : unit_ / row.capacity)) active_.push_back(k);
  }
  return violated;
}

/// Splits the groups whose classes disagree about the cheapest option, where it matters, and offers every group its
/// cheapest options. Returns the seconds that better choices would save at these prices.
double FamilyProgram::refine(const Prices& price, const std::vector<double>& x, double bound) {
  std::vector<double> lost(groups_.size(), 0);
  std::vector<std::vector<size_t>> cuts(groups_.size());
  double total = 0;
  size_t column = 0;
  int table = -1;
  std::vector<std::vector<double>> prices;
  for (size_t i = 0; i < groups_.size(); ++i) {
    Group& g = groups_[i];
    if (g.table != table) prices = form_.variant_prices(table = g.table, price);
    size_t before = prices.size();
    std::vector<double> paid(prices.size(), 0);
    std::vector<bool> wanted(prices.size(), false);
    for (size_t c = g.first; c < g.last; ++c) {
      const double rows = static_cast<double>(model_.table(g.table).access.rows[c]);
      double cheapest = kInfinity;
      size_t best = 0;
      for (size_t v = 0; v < prices.size(); ++v) {
        const double cost = price_of(prices[v], model_.features_of(g.table, c));
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
  std::vector<Group> finer;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const Group& g = groups_[i];
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
  return total;
}

/// Whole rows of one group: the options whose price rises least with use take the hottest rows.
void FamilyProgram::place_group(const Group& g, const double* x, const std::vector<std::vector<double>>& prices,
                                TablePlacement& placed) const {
  const auto& rows = model_.table(g.table).access.rows;
  std::vector<std::pair<double, size_t>> taken;  // (rise of the price from the coldest to the hottest class, index)
  for (size_t i = 0; i < g.variants.size(); ++i)
    if (x[i] > 0)
      taken.emplace_back(price_of(prices[g.variants[i]], model_.features_of(g.table, g.first)) -
                             price_of(prices[g.variants[i]], model_.features_of(g.table, g.last - 1)),
                         i);
  std::sort(taken.begin(), taken.end());
  double total = 0;
  for (size_t c = g.first; c < g.last; ++c) total += static_cast<double>(rows[c]);
  double share = 0, given = 0;
  size_t c = g.first;
  double left = static_cast<double>(rows[c]);
  for (size_t i = 0; i < taken.size(); ++i) {
    share += x[taken[i].second];
    double want = (i + 1 == taken.size() ? total : std::min(total, std::round(share * total))) - given;
    given += std::max(0.0, want);
    while (want > 0) {
      const double some = std::min(want, left);
      const int option = form_.variants(g.table)[g.variants[taken[i].second]].option;
      if (some > 0) placed.shares.push_back({static_cast<int32_t>(c), option, some});
      want -= some;
      left -= some;
      if (left <= 0 && c + 1 < g.last) left = static_cast<double>(rows[++c]);
    }
  }
}

Placement FamilyProgram::round(const Prices& price, const std::vector<double>& x) const {
  Placement placement;
  placement.options = form_.options();
  placement.tables.resize(static_cast<size_t>(model_.tables()));
  size_t column = 0;
  int table = -1;
  std::vector<std::vector<double>> prices;
  for (const Group& g : groups_) {
    if (g.table != table) prices = form_.variant_prices(table = g.table, price);
    TablePlacement& placed = placement.tables[static_cast<size_t>(g.table)];
    const bool pooled = form_.limits().pooling[static_cast<size_t>(g.table)] == Pooling::always;
    placed.transport = pooled ? Transport::pooled : form_.limits().transport;
    place_group(g, x.data() + column, prices, placed);
    column += g.variants.size();
  }
  return placement;
}

void FamilyProgram::report(const Prices& price, const std::vector<double>& x, FamilyResult& result) const {
  result.pooled_mass.assign(static_cast<size_t>(model_.tables()), std::vector<double>(form_.options().size(), 0));
  size_t j = 0;
  for (const Group& g : groups_)
    for (size_t v : g.variants) {
      const Variant& variant = form_.variants(g.table)[v];
      const double share = x[j++];
      if (share == 0 || !variant.pooled) continue;
      double mass = 0;
      for (size_t c = g.first; c < g.last; ++c)
        for (const auto& p : model_.table(g.table).access.p)
          mass += static_cast<double>(model_.table(g.table).access.rows[c]) * p[c] / model_.features().groups;
      result.pooled_mass[static_cast<size_t>(g.table)][static_cast<size_t>(variant.option)] += share * mass;
    }
  for (int t = 0; t < model_.tables(); ++t) {
    const bool either = form_.limits().pooling[static_cast<size_t>(t)] == Pooling::either;
    result.pooled_mass_then.emplace_back();
    if (either)
      result.pooling_costs.push_back(form_.least_price(t, true, price, &result.pooled_mass_then.back()) -
                                     form_.least_price(t, false, price));
    else
      result.pooling_costs.push_back(0);
  }

  const std::vector<double> load = loads(x);
  std::map<std::pair<std::string, std::string>, double> by_resource;
  result.quantity_price.assign(static_cast<size_t>(model_.quantities().size()), 0);
  for (size_t k = 0; k < form_.rows().size(); ++k) {
    const CouplingRow& row = form_.rows()[k];
    if (price[k] > 0) result.book[row.number] = price[k];
    double spent = load[k];
    for (const auto& [quantity, per_unit] : row.terms) {
      result.quantity_price[static_cast<size_t>(quantity)] += price[k] * per_unit;
      spent += per_unit * model_.base()[static_cast<size_t>(quantity)];
    }
    by_resource[{row.resource, row.kind}] += row.is_time() ? price[k] * spent : price[k];
  }
  for (int part = 0; part < form_.parts(); ++part)
    result.book[number_of_part(part)] = price[form_.rows().size() + static_cast<size_t>(part)];
  for (const auto& [name, seconds] : by_resource)
    if (seconds > 0) result.prices.push_back({name.first, name.second, seconds});
}

FamilyResult FamilyProgram::run(const std::vector<PriceBook>& known, double cutoff) {
  FamilyResult result;
  if (form_.options().empty()) {
    result.bound = kInfinity;
    return result;
  }
  for (const PriceBook& book : known) result.bound = std::max(result.bound, form_.bound(form_.from_book(book)));
  if (result.bound >= cutoff) return result;
  result.solved = true;
  form_.drop_dominated();
  active_.resize(form_.rows().size());
  std::iota(active_.begin(), active_.end(), size_t{0});
  first_groups();
  constexpr int kRounds = 8;
  for (int round = 0;; ++round) {
    unit_ = greedy_seconds();
    const BlockProgram p = program();
    BlockSolution solution = solve(p);
    Prices price = prices_of(solution);
    result.bound = std::max(result.bound, form_.bound(price));
    result.relaxed_seconds = solution.objective * unit_ + form_.fixed_seconds();
    result.feasible = solution.relative_gap < 1e-4;
    if (!result.feasible) {  // prices of memory then grow without bound: follow them, as far as they prove anything
      for (int i = 0; i < 12; ++i) {
        for (size_t k = 0; k < form_.rows().size(); ++k)
          if (!form_.rows()[k].is_time()) price[k] *= 4;
        result.bound = std::max(result.bound, form_.bound(price));
      }
      return result;
    }
    to_vertex(p, solution.x);
    const std::vector<Group> groups = groups_;
    const std::vector<size_t> active = active_;
    const bool violated = wake_rows(price, solution.x, solution.tau);
    const double lost = refine(price, solution.x, result.bound);
    const size_t columns = static_cast<size_t>(p.column_count());
    size_t next_columns = 0;
    for (const Group& g : groups_) next_columns += g.variants.size();
    const bool same = groups_.size() == groups.size() && next_columns <= columns;
    const bool close = lost <= settings_.target_gap * result.bound || same;
    if (round + 1 < kRounds && (violated || (!close && groups_.size() <= static_cast<size_t>(settings_.max_classes))))
      continue;
    groups_ = groups;
    result.placement = this->round(price, solution.x);
    report(price, solution.x, result);
    return result;
  }
}

}  // namespace

FamilyResult solve_family(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits,
                          const std::vector<std::vector<double>>& extra_bytes, const std::vector<PriceBook>& known,
                          double cutoff) {
  LinearForm form(model, options, limits, extra_bytes);
  return FamilyProgram(form, options).run(known, cutoff);
}

}  // namespace sparrow::placement
