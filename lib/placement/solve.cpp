// Enumerates the sets of stages and stores that pay latency, solves each family, and takes the best of them and of the
// named strategies.
#include "placement/solve.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.hpp"
#include "placement/family.hpp"
#include "placement/model.hpp"
#include "placement/spreading.hpp"

namespace sparrow::placement {
namespace {

/// Throws, naming stores and bytes, unless one copy of every row fits somewhere.
void check_fits(const CostModel& model) {
  const Tree& tree = model.tree();
  for (int r : tree.at_level(tree.depth()))
    if (model.capacity({r, 0}) < 0)
      fail("placement: {} needs {:.0f} bytes for buffers and activations and has {}", tree.site_name({r, 0}),
           model.reserved({r, 0}), tree.store({r, 0}).capacity_bytes);
  double capacity = 0;
  std::string stores;
  for (Site site : tree.sites_in(0)) {
    capacity += model.capacity(site) * static_cast<double>(tree.instances(site.domain));
    stores += fmt::format("{}{} x {} has {:.0f} bytes each for rows", stores.empty() ? "" : ", ",
                          tree.instances(site.domain), tree.site_name(site), model.capacity(site));
  }
  const double needed = stored_bytes(model);
  if (needed > capacity)
    fail("placement: the rows and their optimiser state need {:.0f} bytes, all stores together have {:.0f}: {}", needed,
         capacity, stores);
}

bool has_latency(const CostModel& model) {
  for (const TimeRow& row : model.time().rows)
    if (!row.switch_seconds.empty()) return true;
  return false;
}

/// Whether every domain of the level could hold one copy of everything.
bool level_fits(const CostModel& model, int level, const std::vector<Site>& slow) {
  const Tree& tree = model.tree();
  const double needed = stored_bytes(model);
  for (int d : tree.at_level(level)) {
    double capacity = 0;
    for (Site site : tree.sites_in(d))
      if (tree.is_device(site) || std::find(slow.begin(), slow.end(), site) != slow.end())
        capacity += std::max(0.0, model.capacity(site)) * static_cast<double>(tree.instances_in(site.domain, d));
    if (capacity < needed) return false;
  }
  return true;
}

std::vector<Site> slow_sites(const Tree& tree) {
  std::vector<Site> result;
  for (int d = 0; d < tree.size(); ++d)
    for (int s = 0; s < static_cast<int>(tree.domain(d).stores.size()); ++s)
      if (!tree.is_device({d, s})) result.push_back({d, s});
  return result;
}

/// Subsets of the slower stores: those without latency always, the others by name (host memory, disk), each name in or
/// out.
std::vector<std::vector<Site>> store_subsets(const Tree& tree) {
  std::vector<Site> always;
  std::map<std::string, std::vector<Site>> by_name;
  for (Site site : slow_sites(tree)) {
    if (tree.store(site).latency_s > 0)
      by_name[tree.store(site).name].push_back(site);
    else
      always.push_back(site);
  }
  std::vector<std::vector<Site>> subsets = {always};  // the largest ends up last
  for (const auto& [name, sites] : by_name) {
    const size_t n = subsets.size();
    for (size_t i = 0; i < n; ++i) {
      subsets.push_back(subsets[i]);
      subsets.back().insert(subsets.back().end(), sites.begin(), sites.end());
    }
  }
  std::reverse(subsets.begin(), subsets.end());
  return subsets;
}

class Solver {
 public:
  Solver(const CostModel& model, const SolveOptions& options, Solution& solution)
      : model_(model), options_(options), exploring_(options), solution_(solution) {
    exploring_.target_gap = std::max(options.target_gap, 2e-3);
  }
  void run();

 private:
  std::vector<FamilyLimits> families() const;
  void add_with_pooling(const FamilyLimits& plain, std::vector<FamilyLimits>& result) const;
  FamilyResult rounded(const FamilyLimits& limits);
  bool make_room(const Placement& placement, int attempt, std::vector<std::vector<double>>& extra) const;
  double decide_pooling(const FamilyLimits& limits);
  bool try_choice(FamilyLimits limits, const std::vector<Pooling>& choice);
  void keep_if_best(const FamilyLimits& limits, const FamilyResult& result);
  std::vector<std::vector<double>> no_extra() const;
  std::vector<PriceBook> recent(size_t from = 0) const;

  const CostModel& model_;
  const SolveOptions& options_;
  SolveOptions exploring_;  // of families with pooled tables, of which many are tried
  Solution& solution_;
  std::vector<PriceBook> known_;
  double best_ = kInfinity, relaxed_ = kInfinity;
};

std::vector<FamilyLimits> Solver::families() const {
  const Tree& tree = model_.tree();
  FamilyLimits base;
  base.pooling.assign(static_cast<size_t>(model_.tables()), Pooling::never);
  base.pooled_mass.resize(static_cast<size_t>(model_.tables()));
  std::vector<Transport> transports;
  if (options_.combine) transports.push_back(Transport::staged);
  // With one stage, staged and direct are the same.
  if (!options_.combine || (options_.direct && tree.depth() > 1)) transports.push_back(Transport::direct);
  std::vector<FamilyLimits> result;
  const bool latency = has_latency(model_);
  for (Transport transport : transports)
    for (const auto& slow : latency ? store_subsets(tree) : std::vector<std::vector<Site>>{slow_sites(tree)})
      for (int least = 0; least <= (latency ? tree.depth() : 0); ++least) {
        if (!level_fits(model_, least, slow)) continue;
        // Sequential, rows are reduced together with the dense parameters, which pay the latency anyway.
        const bool reductions_free = !latency || (model_.workload().dense_bytes > 0 && !model_.workload().overlapped);
        for (int most = reductions_free ? tree.depth() : least; most <= tree.depth(); ++most) {
          base.transport = transport;
          base.slow_sites = slow;
          base.least_level = least;
          base.most_level = most;
          result.push_back(base);
          add_with_pooling(base, result);
        }
      }
  return result;
}

/// The family in which tables with bags may be pooled as well. Where rows travel in stages, the one in which nothing
/// does is another: it does not pay their latency.
void Solver::add_with_pooling(const FamilyLimits& plain, std::vector<FamilyLimits>& result) const {
  if (!options_.pooling || plain.least_level == model_.tree().depth()) return;
  FamilyLimits pooled = plain, only = plain;
  bool any = false;
  for (int t = 0; t < model_.tables(); ++t)
    if (model_.table(t).lookups > 1) {
      any = true;
      pooled.pooling[static_cast<size_t>(t)] = Pooling::either;
      only.pooling[static_cast<size_t>(t)] = Pooling::always;
    }
  if (!any) return;
  result.push_back(pooled);
  if (plain.transport != Transport::staged) return;
  only.pay_staged = false;
  only.others_local = true;
  result.push_back(only);
}

std::vector<std::vector<double>> Solver::no_extra() const {
  std::vector<std::vector<double>> extra;
  for (int d = 0; d < model_.tree().size(); ++d) extra.emplace_back(model_.tree().domain(d).stores.size(), 0.0);
  return extra;
}

/// The last few price books, none before number `from`: the older ones are of families less like the next.
std::vector<PriceBook> Solver::recent(size_t from) const {
  constexpr size_t kRecent = 6;
  from = std::max(from, known_.size() > kRecent ? known_.size() - kRecent : 0);
  return {known_.begin() + static_cast<std::ptrdiff_t>(from), known_.end()};
}

/// Whether whole rows fit on every instance; if not, takes what is too much (and more each time) from the capacities of
/// the next attempt.
bool Solver::make_room(const Placement& placement, int attempt, std::vector<std::vector<double>>& extra) const {
  const auto fullest = fullest_instances(to_plan(model_, placement, "optimal"), model_.tree(), model_.workload());
  double largest_row = 0;  // only whole rows free anything
  for (int t = 0; t < model_.tables(); ++t) largest_row = std::max(largest_row, model_.shape(t).stored_bytes);
  bool fits = true;
  for (int d = 0; d < model_.tree().size(); ++d)
    for (size_t s = 0; s < fullest[static_cast<size_t>(d)].size(); ++s) {
      const auto used = static_cast<double>(fullest[static_cast<size_t>(d)][s]);
      const double over = used - model_.capacity({d, static_cast<int>(s)});
      if (used == 0 || over <= 0) continue;
      extra[static_cast<size_t>(d)][s] += (over + largest_row) * (1 + attempt);
      fits = false;
    }
  return fits;
}

/// Solves a family and makes its rounding fit. The bound is that of the true capacities.
FamilyResult Solver::rounded(const FamilyLimits& limits) {
  std::vector<std::vector<double>> extra = no_extra();
  const bool pooled =
      std::any_of(limits.pooling.begin(), limits.pooling.end(), [](Pooling p) { return p != Pooling::never; });
  const SolveOptions& settings = pooled ? exploring_ : options_;
  FamilyResult first = solve_family(model_, settings, limits, extra, recent(), best_);
  if (!first.solved) return first;
  ++solution_.linear_programmes;
  if (!first.feasible) return first;
  known_.push_back(first.book);
  const bool mixed =
      std::any_of(limits.pooling.begin(), limits.pooling.end(), [](Pooling p) { return p == Pooling::either; });
  if (mixed) return first;  // a relaxation: not a placement yet
  relaxed_ = std::min(relaxed_, first.relaxed_seconds);
  FamilyResult result = first;
  constexpr int kAttempts = 8;
  for (int attempt = 0; !make_room(result.placement, attempt, extra); ++attempt) {
    if (attempt == kAttempts || !result.feasible) {
      first.feasible = false;
      return first;
    }
    result = solve_family(model_, settings, limits, extra, {}, kInfinity);
    ++solution_.linear_programmes;
    if (!result.feasible) {
      first.feasible = false;
      return first;
    }
  }
  result.bound = first.bound;
  result.relaxed_seconds = first.relaxed_seconds;
  return result;
}

void Solver::keep_if_best(const FamilyLimits& limits, const FamilyResult& result) {
  Cost cost = evaluate(model_, result.placement);
  if (cost.seconds >= best_) return;
  best_ = cost.seconds;
  solution_.cost = std::move(cost);
  solution_.plan = to_plan(model_, result.placement, "optimal");
  solution_.quantity_prices = result.quantity_price;
  solution_.least_level = limits.least_level;
  solution_.most_level = limits.most_level;
  solution_.slow_sites = limits.slow_sites;
  solution_.prices.clear();
  for (const FamilyPrice& price : result.prices)
    solution_.prices.push_back(
        {price.resource, price.kind, price.kind == "memory" ? price.seconds : price.seconds / 2});
}

/// Solves with every table's pooling fixed: first with the pairs linearised from below, then along their tangent at the
/// mass that was found, while that helps. Returns whether it found a better placement.
bool Solver::try_choice(FamilyLimits limits, const std::vector<Pooling>& choice) {
  const double before = best_;
  limits.pooling = choice;
  constexpr int kTangents = 4;
  for (int iteration = 0; iteration < kTangents; ++iteration) {
    const FamilyResult result = rounded(limits);
    if (!result.feasible) break;
    const double best = best_;
    keep_if_best(limits, result);
    if (iteration > 0 && best_ > best * (1 - 1e-5)) break;
    limits.pooled_mass = result.pooled_mass;
  }
  return best_ < before;
}

/// Tables with bags. A relaxation, in which each row may be pooled or not, tells which tables gain; then tables are
/// decided whole, with their exact cost. Returns a bound: per table the cheaper of pooled and not, at the best prices
/// seen.
double Solver::decide_pooling(const FamilyLimits& limits) {
  const FamilyResult relaxed = rounded(limits);
  if (!relaxed.feasible) return relaxed.bound;
  std::vector<Pooling> best = limits.pooling, all = best;
  std::vector<std::pair<double, size_t>> doubtful;  // tables by what the other choice costs at the relaxation's prices
  for (size_t t = 0; t < best.size(); ++t) {
    if (best[t] == Pooling::never) continue;
    best[t] = relaxed.pooling_costs[t] < 0 ? Pooling::always : Pooling::never;
    all[t] = Pooling::always;
    doubtful.emplace_back(std::abs(relaxed.pooling_costs[t]), t);
  }
  std::stable_sort(doubtful.begin(), doubtful.end());
  constexpr size_t kFlips = 12;
  doubtful.resize(std::min(doubtful.size(), kFlips));
  double proven = relaxed.bound;
  size_t tried = 0;  // price books whose bound is in `proven`
  const auto bound = [&] {
    proven = std::max(proven, solve_family(model_, options_, limits, no_extra(), recent(tried), 0).bound);
    tried = known_.size();
    return proven;
  };
  // The number of pairs is concave, so where its tangents are taken first decides where the rows end up: at the minimum
  // per table at these prices, which prefers one kind of holder for a table; or along the chords, which does not.
  FamilyLimits start = limits;
  start.pooled_mass = relaxed.pooled_mass_then;
  try_choice(start, best);
  try_choice(limits, best);
  if (all != best && try_choice(start, all)) best = all;
  constexpr double kGoodEnough = 1.005;
  for (const auto& [regret, t] : doubtful) {
    if (best_ <= bound() * kGoodEnough) break;
    std::vector<Pooling> flipped = best;
    flipped[t] = flipped[t] == Pooling::always ? Pooling::never : Pooling::always;
    if (try_choice(start, flipped)) best = flipped;
  }
  return bound();
}

void Solver::run() {
  double bound = kInfinity;
  for (const FamilyLimits& limits : families()) {
    const bool mixed =
        std::any_of(limits.pooling.begin(), limits.pooling.end(), [](Pooling p) { return p == Pooling::either; });
    if (mixed) {
      bound = std::min(bound, decide_pooling(limits));
      continue;
    }
    const FamilyResult result = rounded(limits);
    bound = std::min(bound, result.bound);
    if (!result.feasible) continue;
    keep_if_best(limits, result);
    if (limits.others_local) try_choice(limits, limits.pooling);
  }
  solution_.bound = std::min(bound, best_);  // they meet up to rounding of the last bit
  solution_.relaxed_seconds = std::min(relaxed_, best_);
}

}  // namespace

Solution solve(const Topology& topology, const Workload& workload, const SolveOptions& options) {
  const CostModel model(topology, workload);
  check_fits(model);
  Solution solution;
  solution.cost.seconds = kInfinity;
  Solver(model, options, solution).run();
  if (options.compare_strategies) {
    solution.strategies = evaluate_strategies(model);
    for (const StrategyResult& result : solution.strategies) {
      if (!result.cost.infeasible.empty() || result.cost.seconds <= 0) continue;
      solution.bound = std::min(solution.bound, result.cost.seconds);
      if (result.cost.seconds >= solution.cost.seconds || !result.plan) continue;
      solution.cost = result.cost;
      solution.plan = *result.plan;
    }
  }
  if (std::isinf(solution.cost.seconds))
    fail("placement: the rows fit into the stores only without room to round to whole rows on every slot: {:.0f} bytes",
         stored_bytes(model));
  solution.gap = solution.bound > 0 ? solution.cost.seconds / solution.bound - 1 : 0;
  solution.floor_bytes = floor_bytes(model);
  for (const Table& table : workload.tables)
    solution.grouping_error = std::max(solution.grouping_error, table.access.grouping_error);
  std::stable_sort(solution.prices.begin(), solution.prices.end(), [](const Price& a, const Price& b) {
    return a.kind == b.kind ? a.seconds_per_unit > b.seconds_per_unit : a.kind > b.kind;
  });
  return solution;
}

}  // namespace sparrow::placement
