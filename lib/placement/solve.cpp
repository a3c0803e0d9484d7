// Enumerates the sets of stages and stores that pay latency, solves each family, and takes the best of them and of the
// named strategies.
#include "placement/solve.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.hpp"
#include "placement/family.hpp"
#include "placement/model.hpp"

namespace sparrow::placement {
namespace {

double stored_bytes(const CostModel& model) {
  double sum = 0;
  for (int t = 0; t < model.tables(); ++t)
    sum += static_cast<double>(model.table(t).access.total_rows()) * model.shape(t).stored_bytes;
  return sum;
}

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
  for (const TimeRow& row : model.time().totals)
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
  Solver(const CostModel& model, const SolveOptions& options) : model_(model), options_(options) {}
  void run(Solution& solution);

 private:
  std::vector<FamilyLimits> families() const;
  void try_family(const FamilyLimits& limits, Solution& solution);
  FamilyResult rounded(FamilyLimits limits, Solution& solution);
  FamilyResult pooled(const FamilyLimits& limits, Solution& solution);
  double seconds_of(const FamilyResult& result) const { return evaluate(model_, result.placement).seconds; }

  std::vector<PriceBook> known_;
  double cutoff_ = kInfinity;  // nothing slower is of interest

  const CostModel& model_;
  const SolveOptions& options_;
};

std::vector<FamilyLimits> Solver::families() const {
  const Tree& tree = model_.tree();
  FamilyLimits base;
  base.most_level = tree.depth();
  base.pooling.assign(static_cast<size_t>(model_.tables()), Pooling::never);
  base.pooled_mass.assign(static_cast<size_t>(model_.tables()), 1);
  for (int t = 0; t < model_.tables(); ++t)
    if (options_.pooling && model_.table(t).lookups > 1) base.pooling[static_cast<size_t>(t)] = Pooling::either;
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
        const bool reductions_free = !latency || model_.workload().dense_bytes > 0;
        for (int most = reductions_free ? tree.depth() : least; most <= tree.depth(); ++most) {
          base.transport = transport;
          base.slow_sites = slow;
          base.least_level = least;
          base.most_level = most;
          result.push_back(base);
        }
      }
  return result;
}

/// Solves a family and makes its rounding fit: a store that a whole-row placement overfills gets that much less in the
/// next attempt.
FamilyResult Solver::rounded(FamilyLimits limits, Solution& solution) {
  const Tree& tree = model_.tree();
  std::vector<std::vector<double>> extra;
  for (int d = 0; d < tree.size(); ++d) extra.emplace_back(tree.domain(d).stores.size(), 0.0);
  FamilyResult result;
  double bound = 0;
  constexpr int kAttempts = 8;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    result = solve_family(model_, options_, limits, extra, attempt == 0 ? known_ : std::vector<PriceBook>{}, cutoff_);
    if (result.relaxed_seconds > 0) ++solution.linear_programmes;
    if (attempt == 0) {
      bound = result.bound;
      if (result.feasible) known_.push_back(result.book);
    }
    if (!result.feasible) break;
    const bool mixed =
        std::any_of(limits.pooling.begin(), limits.pooling.end(), [](Pooling p) { return p == Pooling::either; });
    if (mixed) break;  // a relaxation: not a placement yet
    const Plan plan = to_plan(model_, result.placement, "optimal");
    const auto fullest = fullest_instances(plan, tree, model_.workload());
    bool fits = true;
    for (int d = 0; d < tree.size(); ++d)
      for (size_t s = 0; s < fullest[static_cast<size_t>(d)].size(); ++s) {
        const double over =
            static_cast<double>(fullest[static_cast<size_t>(d)][s]) - model_.capacity({d, static_cast<int>(s)});
        if (fullest[static_cast<size_t>(d)][s] == 0 || over <= 0) continue;
        extra[static_cast<size_t>(d)][s] += over * (1 + attempt);
        fits = false;
      }
    if (fits) break;
    if (attempt + 1 == kAttempts) result.feasible = false;
  }
  result.bound = bound;
  return result;
}

/// Tables with bags: a relaxation in which every row chooses (a chord from below bounds the pairs), then tables decided
/// one by one with their exact cost, re-linearised at the mass they really hold.
FamilyResult Solver::pooled(const FamilyLimits& limits, Solution& solution) {
  const FamilyResult relaxed = rounded(limits, solution);
  if (!relaxed.feasible) return relaxed;
  FamilyResult best;
  double best_seconds = kInfinity;
  std::vector<Pooling> best_choice;
  const auto attempt = [&](const std::vector<Pooling>& choice, const std::vector<double>& mass) {
    FamilyLimits fixed = limits;
    fixed.pooling = choice;
    fixed.pooled_mass = mass;
    for (int iteration = 0; iteration < 3; ++iteration) {
      FamilyResult result = rounded(fixed, solution);
      if (!result.feasible) return false;
      const double seconds = seconds_of(result);
      bool settled = true;
      for (size_t t = 0; t < choice.size(); ++t) {
        if (choice[t] != Pooling::always || result.pooled_mass[t] <= 0) continue;
        const double held = std::min(1.0, result.pooled_mass[t]);
        settled = settled && std::abs(held - fixed.pooled_mass[t]) < 0.02;
        fixed.pooled_mass[t] = held;
      }
      const bool better = seconds < best_seconds * (1 - 1e-9);
      if (better) {
        best_seconds = seconds;
        best_choice = choice;
        best = std::move(result);
      }
      if (settled) return better;
    }
    return false;
  };
  std::vector<Pooling> majority = limits.pooling, none = majority, all = majority;
  std::vector<double> mass(majority.size(), 1);
  for (size_t t = 0; t < majority.size(); ++t) {
    if (majority[t] != Pooling::either) continue;
    majority[t] = relaxed.pooled_mass[t] > relaxed.other_mass[t] ? Pooling::always : Pooling::never;
    if (relaxed.pooled_mass[t] > 0) mass[t] = std::min(1.0, relaxed.pooled_mass[t]);
    none[t] = Pooling::never;
    all[t] = Pooling::always;
  }
  attempt(majority, mass);
  if (none != majority) attempt(none, mass);
  if (all != majority) attempt(all, std::vector<double>(mass.size(), 1));
  for (size_t t = 0; t < limits.pooling.size() && !best_choice.empty(); ++t) {
    if (best_seconds <= relaxed.bound * 1.005) break;
    if (limits.pooling[t] != Pooling::either) continue;
    std::vector<Pooling> flipped = best_choice;
    flipped[t] = flipped[t] == Pooling::always ? Pooling::never : Pooling::always;
    attempt(flipped, mass);
  }
  best.bound = relaxed.bound;
  best.relaxed_seconds = relaxed.relaxed_seconds;
  return best;
}

void Solver::run(Solution& solution) {
  std::vector<FamilyLimits> all = families();
  double bound = kInfinity, best = kInfinity, relaxed = kInfinity;
  for (const FamilyLimits& limits : all) {
    const bool bags =
        std::any_of(limits.pooling.begin(), limits.pooling.end(), [](Pooling p) { return p == Pooling::either; });
    FamilyResult result = bags ? pooled(limits, solution) : rounded(limits, solution);
    bound = std::min(bound, result.bound);
    if (!result.feasible) continue;
    relaxed = std::min(relaxed, result.relaxed_seconds);
    Cost cost = evaluate(model_, result.placement);
    if (cost.seconds >= best) continue;
    best = cutoff_ = cost.seconds;
    solution.cost = std::move(cost);
    solution.plan = to_plan(model_, result.placement, "optimal");
    solution.quantity_prices = std::move(result.quantity_price);
    solution.prices.clear();
    for (const FamilyPrice& price : result.prices)
      solution.prices.push_back(
          {price.resource, price.kind, price.kind == "memory" ? price.seconds : price.seconds / 2});
  }
  solution.bound = std::min(bound, best);  // they meet up to rounding of the last bit
  solution.relaxed_seconds = std::min(relaxed, best);
}

}  // namespace

Solution solve(const Topology& topology, const Workload& workload, const SolveOptions& options) {
  const CostModel model(topology, workload);
  check_fits(model);
  Solution solution;
  solution.cost.seconds = kInfinity;
  Solver(model, options).run(solution);
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

std::string describe(const Option& option, const Tree& tree) {
  std::string sites;
  for (Site site : option.sites) sites += (sites.empty() ? "" : ", ") + tree.site_name(site);
  const char* reduction = option.reduction == Reduction::dense ? "dense" : "sparse";
  if (option.level == 0) return (tree.is_device(option.sites[0]) ? "held in " : "fetched from ") + sites;
  if (option.level == tree.depth()) return fmt::format("replicated ({}) in {}", reduction, sites);
  return fmt::format("a copy per {} ({}) in {}", tree.domain(tree.at_level(option.level)[0]).name, reduction, sites);
}

std::vector<ExplainedOption> explain(const Topology& topology, const Workload& workload, const SolveOptions& options,
                                     const Solution& solution, int table, int64_t position) {
  const CostModel model(topology, workload);
  if (table < 0 || table >= model.tables()) fail("explain: table {} of {}", table, model.tables());
  const TablePlan& plan = solution.plan.tables[static_cast<size_t>(table)];
  if (position < 0 || position >= plan.rows)
    fail("explain: position {} of table {} with {} rows", position, plan.name, plan.rows);
  size_t c = 0;
  for (int64_t end = workload.tables[static_cast<size_t>(table)].access.rows[0]; end <= position;)
    end += workload.tables[static_cast<size_t>(table)].access.rows[++c];
  FamilyLimits limits;
  limits.most_level = model.tree().depth();
  limits.slow_sites = slow_sites(model.tree());
  std::vector<ExplainedOption> result;
  const Option& chosen = solution.plan.options[static_cast<size_t>(option_at(plan, position))];
  const double* features = model.features_of(table, c);
  for (const Option& option : family_options(model, options, limits)) {
    double factor = 1;
    if (plan.transport == Transport::pooled)
      factor = pooled_pairs(1, pooled_holders(model.tree(), option), model.table(table).lookups);
    double seconds = 0;
    for (const Coefficient& of : coefficients(model, option, plan.transport, model.shape(table), factor))
      if (!solution.quantity_prices.empty())
        seconds += solution.quantity_prices[static_cast<size_t>(of.quantity)] * of.value * features[of.feature];
    result.push_back({describe(option, model.tree()), seconds, option == chosen});
  }
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  return result;
}

}  // namespace sparrow::placement
