#include "planning/decide.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "config/plan_file.hpp"
#include "placement/cost/cost_model.hpp"

namespace sparrow {

namespace {

using placement::CostModel;
using placement::Locality;
using placement::Plan;
using placement::Topology;
using placement::Workload;

bool uses_first_use(const Plan& plan) {
  return std::any_of(plan.tables.begin(), plan.tables.end(),
                     [](const placement::TablePlan& table) { return table.holders.first_use; });
}

Workload with_locality(Workload workload, Locality locality) {
  workload.locality = std::move(locality);
  return workload;
}

Decision from_file(const Topology& topology, const Workload& workload, const PlacementOptions& options) {
  Decision decision;
  decision.plan = load_plan(options.plan, topology);
  decision.locality = locality_for_plan(workload.locality, decision.plan);
  const Workload planned = with_locality(workload, decision.locality);
  const CostModel model(topology, planned);
  try {
    placement::check(decision.plan, topology, planned);
  } catch (const Error& error) {
    fail("{}: {}", options.plan, error.what());
  }
  decision.cost = placement::evaluate(model, decision.plan);
  decision.floor_bytes = placement::floor_bytes(model);
  return decision;
}

Decision from_strategy(const CostModel& model, const PlacementOptions& options) {
  placement::StrategyResult result =
      placement::evaluate_strategy(model, *options.strategy, {options.deduplicate, options.combine});
  if (!result.plan)
    fail("strategy {}: {}", result.name,
         result.cost.infeasible.empty() ? "it has no plan on this topology" : result.cost.infeasible);
  Decision decision;
  decision.plan = std::move(*result.plan);
  decision.cost = std::move(result.cost);
  return decision;
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
  std::vector<placement::StrategyResult> others = decision.optimum->strategies;
  if (model.workload().locality.in_turn())  // those are of contiguous parts
    others = {placement::evaluate_strategy(model, placement::Strategy::held, {options.deduplicate, options.combine})};
  for (placement::StrategyResult& other : others) {
    if (other.strategy != placement::Strategy::held || !other.plan) continue;
    decision.held_seconds = other.cost.seconds;
    if (other.cost.seconds > kRateTolerance * decision.cost.seconds) continue;
    decision.plan = std::move(*other.plan);
    decision.cost = std::move(other.cost);
  }
  return decision;
}

/// Bytes of buffers per type of rank, as `check` takes them.
std::vector<double> reserved_bytes(const CostModel& model) {
  std::vector<double> reserved;
  for (const int rank : model.tree().at_level(model.tree().depth())) reserved.push_back(model.reserved({rank, 0}));
  return reserved;
}

/// Of an iteration, the share of the steps that wait for a link.
double share_of_links(const placement::Cost& cost) {
  double links = 0;
  for (const placement::StageCost& stage : cost.stages)
    if (stage.level > 0 && (stage.phase == Phase::ids || stage.phase == Phase::rows || stage.phase == Phase::gradients))
      links += stage.seconds;
  return cost.sequential_seconds > 0 ? links / cost.sequential_seconds : 0;
}

/// W and passes of a plan whose samples are assigned: as asked for, else as its iteration has time for.
void choose_effort(const CostModel& model, const PlacementOptions& options, Decision& decision) {
  placement::SampleAssignment& assignment = decision.plan.assignment;
  if (!assignment.local) {
    assignment = {};
    return;
  }
  const auto ranks = static_cast<int>(std::min<int64_t>(model.tree().ranks(), INT32_MAX));
  assignment.delay = options.assignment_delay > 0 ? std::min(options.assignment_delay, ranks)
                                                  : placement::delay_of(model, decision.cost.seconds);
  assignment.passes = options.assignment_passes >= 0 ? options.assignment_passes : model.workload().locality.passes;
}

/// The plan where samples are assigned and rows are held as this locality says.
Decision made_for(const Topology& topology, const Workload& workload, const PlacementOptions& options,
                  Locality locality) {
  const Workload planned = with_locality(workload, std::move(locality));
  const CostModel model(topology, planned);
  Decision decision = options.strategy ? from_strategy(model, options) : from_optimiser(model, options);
  const std::vector<double> reserved = reserved_bytes(model);
  placement::check(decision.plan, topology, planned, reserved);
  if (decision.prefers_held()) placement::check(decision.optimum->plan, topology, planned, reserved);
  choose_effort(model, options, decision);
  if (decision.optimum) decision.optimum->plan.assignment = decision.plan.assignment;
  decision.locality = locality_for_plan(planned.locality, decision.plan);
  decision.floor_bytes = decision.optimum ? decision.optimum->floor_bytes : placement::floor_bytes(model);
  return decision;
}

/// The better of both optima; samples go to their rows if that is faster by more than rates are known.
Decision better_of(Decision contiguous, Decision assigned) {
  constexpr double kTolerance = 1.03;
  const auto way = [](const Decision& decision) {
    const placement::Cost& cost = decision.optimum->cost;
    return SamplesDecision::Way{cost.seconds, decision.bound(), cost.sent_mean.rows + cost.sent_mean.gradients};
  };
  const SamplesDecision samples{way(assigned), way(contiguous), ""};
  const double bound = std::min(contiguous.bound(), assigned.bound());
  const double faster = samples.contiguous.seconds / samples.assigned.seconds;
  const bool local = faster > kTolerance;
  Decision decision = local ? std::move(assigned) : std::move(contiguous);
  decision.samples = samples;
  decision.optimum->bound = bound;
  decision.optimum->gap = bound > 0 ? decision.optimum->cost.seconds / bound - 1 : 0;
  if (!local)
    decision.samples.why_not = fmt::format(
        "rows wait for links in {:.0f} % of the iteration, which would be {}", 100 * share_of_links(decision.cost),
        faster >= 1 ? fmt::format("{:.2f} times as fast: no more than rates may be wrong", faster)
                    : fmt::format("{:.2f} times as long, as samples are to be moved and assigned", 1 / faster));
  return decision;
}

}  // namespace

placement::SolveOptions solve_options(const Workload& workload, bool combine) {
  placement::SolveOptions options;
  options.combine = combine;
  // Where ranks see different data rows differ in more than one way, and more of them in what is best. (15 clients that
  // all differ: gaps of 8.7, 4.8 and 1.3 % with 3,000, 6,000 and 12,000, in 2.6, 6 and 16 s.)
  if (workload.tables.at(0).access.p.size() > 1) options.max_classes *= 2;
  return options;
}

Locality locality_for_plan(const Locality& known, bool local, bool first_use) {
  if (!local && !first_use) return {};
  Locality locality = known;
  locality.local = local;
  locality.first_use = first_use;
  if (!first_use) locality.new_holder_bytes = 0;
  if (!local) locality.seconds_per_sample = 0;
  if (local != known.local) {  // measured of something else
    locality.tables.clear();
    locality.busiest = 1;
  } else if (known.first_use && !first_use) {  // holders are not where samples were sent
    locality.busiest = 1;
    for (std::vector<Locality::Bin>& bins : locality.tables)
      for (Locality::Bin& bin : bins) bin.into = bin.distinct;
  }
  return locality;
}

Locality locality_for_plan(const Locality& known, const Plan& plan) {
  return locality_for_plan(known, plan.assignment.local, uses_first_use(plan));
}

Decision decide(const Topology& topology, const Workload& workload, const PlacementOptions& options,
                const std::string& samples_stay) {
  if (!options.plan.empty()) return from_file(topology, workload, options);
  const Locality& known = workload.locality;
  const HolderChoice holders = options.holders.word;
  const bool automatic = options.assignment == AssignmentChoice::automatic;
  const auto assigned = [&] {
    return made_for(topology, workload, options, locality_for_plan(known, true, holders != HolderChoice::arithmetic));
  };
  const auto contiguous = [&](std::string why) {
    const bool first_use = samples_stay.empty() && holders == HolderChoice::first_use;
    Decision decision = made_for(topology, workload, options, locality_for_plan(known, false, first_use));
    if (options.assignment != AssignmentChoice::contiguous) decision.samples.why_not = std::move(why);
    return decision;
  };
  if (options.assignment == AssignmentChoice::contiguous || !samples_stay.empty()) return contiguous(samples_stay);
  if (!automatic) return assigned();
  if (options.strategy)
    return contiguous(
        fmt::format("the strategy {} is run as it is elsewhere", placement::strategy_name(*options.strategy)));
  if (!known.local) return contiguous("it is not known how near their rows samples can be brought");
  return better_of(contiguous(""), assigned());
}

}  // namespace sparrow
