#include "planning/decide.hpp"

#include "base/error.hpp"
#include "config/plan_file.hpp"
#include "placement/cost/cost_model.hpp"

namespace sparrow {

namespace {

using placement::CostModel;

Decision from_file(const CostModel& model, const PlacementOptions& options) {
  Decision decision;
  decision.plan = load_plan(options.plan, model.tree().topology());
  try {
    placement::check(decision.plan, model.tree().topology(), model.workload());
  } catch (const Error& error) {
    fail("{}: {}", options.plan, error.what());
  }
  decision.cost = placement::evaluate(model, decision.plan);
  return decision;
}

Decision from_strategy(const CostModel& model, const PlacementOptions& options) {
  placement::StrategyResult result =
      placement::evaluate_strategy(model, *options.strategy, {options.deduplicate, options.combine});
  if (!result.plan)
    fail("strategy {}: {}", result.name,
         result.cost.infeasible.empty() ? "it has no plan on this topology" : result.cost.infeasible);
  return {std::move(*result.plan), std::move(result.cost), 0, std::nullopt};
}

Decision from_optimiser(const CostModel& model, const PlacementOptions& options) {
  Decision decision;
  decision.optimum =
      placement::solve(model.tree().topology(), model.workload(), solve_options(model.workload(), options.combine));
  decision.plan = decision.optimum->plan;
  decision.cost = decision.optimum->cost;
  // Rates are measured, and no better than this. A plan that promises less over the simplest one is not worth its
  // complexity, and noise of the clock must not choose between plans that are as good as each other.
  constexpr double kRateTolerance = 1.05;
  for (const placement::StrategyResult& other : decision.optimum->strategies)
    if (other.strategy == placement::Strategy::held && other.plan &&
        other.cost.seconds <= kRateTolerance * decision.cost.seconds) {
      decision.plan = *other.plan;
      decision.cost = other.cost;
    }
  return decision;
}

/// Bytes of buffers per type of rank, as `check` takes them.
std::vector<double> reserved_bytes(const CostModel& model) {
  std::vector<double> reserved;
  for (const int rank : model.tree().at_level(model.tree().depth())) reserved.push_back(model.reserved({rank, 0}));
  return reserved;
}

}  // namespace

placement::SolveOptions solve_options(const placement::Workload& workload, bool combine) {
  placement::SolveOptions options;
  options.combine = combine;
  // Where ranks see different data rows differ in more than one way, and more of them in what is best. (15 clients that
  // all differ: gaps of 8.7, 4.8 and 1.3 % with 3,000, 6,000 and 12,000, in 2.6, 6 and 16 s.)
  if (workload.tables.at(0).access.p.size() > 1) options.max_classes *= 2;
  return options;
}

Decision decide(const placement::Topology& topology, const placement::Workload& workload,
                const PlacementOptions& options) {
  const CostModel model(topology, workload);
  Decision decision;
  if (!options.plan.empty()) {
    decision = from_file(model, options);
  } else {
    decision = options.strategy ? from_strategy(model, options) : from_optimiser(model, options);
    const std::vector<double> reserved = reserved_bytes(model);
    placement::check(decision.plan, topology, workload, reserved);
    if (decision.prefers_held()) placement::check(decision.optimum->plan, topology, workload, reserved);
  }
  decision.floor_bytes = decision.optimum ? decision.optimum->floor_bytes : placement::floor_bytes(model);
  return decision;
}

}  // namespace sparrow
