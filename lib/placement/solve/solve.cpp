// The best of all families of placements and of the named strategies.
#include "placement/solve/solve.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "placement/baselines/spreading.hpp"
#include "placement/cost/cost_model.hpp"
#include "placement/solve/search.hpp"

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

/// As they are run elsewhere: each rank trains its part of a batch.
std::vector<StrategyResult> evaluate_contiguous(const CostModel& model) {
  if (!model.workload().locality.in_turn()) return evaluate_strategies(model);
  Workload contiguous = model.workload();
  contiguous.locality = {};
  return evaluate_strategies(CostModel(model.tree().topology(), contiguous));
}

}  // namespace

int delay_of(const CostModel& model, double seconds) {
  const Locality& locality = model.workload().locality;
  if (!locality.local || !(seconds > 0)) return 1;
  const double assigning = locality.assigning_seconds(static_cast<double>(model.workload().global_batch));
  return static_cast<int>(std::clamp(std::ceil(assigning / seconds), 1.0, static_cast<double>(model.tree().ranks())));
}

Solution solve(const Topology& topology, const Workload& workload, const SolveOptions& options) {
  const CostModel model(topology, workload);
  check_fits(model);
  Solution solution;
  solution.cost.seconds = kInfinity;
  Search(model, options, solution).run();
  solution.even_seconds = solution.cost.seconds;
  if (!solution.plan.tables.empty()) solution.cost = evaluate(model, solution.plan);
  solution.plan.assignment.delay = delay_of(model, solution.cost.seconds);
  if (options.compare_strategies) {
    solution.strategies = evaluate_contiguous(model);
    for (const StrategyResult& result : solution.strategies) {
      if (!result.cost.infeasible.empty() || result.cost.seconds <= 0 || workload.locality.in_turn()) continue;
      solution.bound = std::min(solution.bound, result.cost.seconds);
      if (result.cost.seconds >= solution.cost.seconds || !result.plan) continue;
      solution.cost = result.cost;
      solution.plan = *result.plan;
    }
  }
  solution.bound = std::min(solution.bound, solution.cost.seconds);  // lumps of pooled mass make fewer pairs
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
