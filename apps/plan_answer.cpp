// From a request to its answer: the iteration, the machine, the decision.
#include <algorithm>

#include "base/error.hpp"
#include "data/criteo.hpp"
#include "placement/cost/cost_model.hpp"
#include "plan_request.hpp"
#include "planning/workload.hpp"

namespace sparrow {
namespace {

Iteration iteration_of(const PlanRequest& request, const PlanTables& tables) {
  Iteration iteration;
  iteration.model = ModelShape(request.model, kCriteoDense, std::ssize(tables.access));
  iteration.optimizer = request.optimizer;
  iteration.wire = request.wire;
  iteration.overlapped = request.overlapped;
  iteration.global_batch = request.batch;
  iteration.names = tables.names;
  iteration.access = tables.access;
  iteration.bag_sizes = request.bag_sizes.empty() ? tables.lookups : request.bag_sizes;
  if (request.bag_sizes.size() == 1) iteration.bag_sizes.assign(tables.access.size(), request.bag_sizes[0]);
  if (iteration.bag_sizes.size() != tables.access.size())
    fail("--bag-sizes: {} numbers for {} tables", iteration.bag_sizes.size(), tables.access.size());
  return iteration;
}

/// The ranks' memory and their parts of the batch.
void adapt(const PlanRequest& request, const placement::SolveOptions& options, PlanAnswer& result) {
  std::vector<placement::Domain*> ranks;
  const placement::Tree tree(result.topology);
  for (const int rank : tree.at_level(tree.depth())) ranks.push_back(&result.topology.domains[rank]);
  for (placement::Domain* rank : ranks)
    if (request.device_memory && rank->batch_weight > 0) rank->stores[0].capacity_bytes = *request.device_memory;
  if (!request.planned_shares) return;
  const auto weights = placement::plan_batch_weights(result.topology, result.workload, options);
  for (size_t i = 0; i < ranks.size(); ++i) ranks[i]->batch_weight = weights[i];
}

/// Nothing is known of samples that go to their rows, or they are not to.
void stay(PlacementOptions& asked) {
  asked.assignment = AssignmentChoice::contiguous;
  asked.holders = HolderChoice::arithmetic;
}

/// What a profile says of assigned samples here; the plan decides.
void know_locality(const PlanRequest& request, const placement::LocalityProfile& profile, PlanAnswer& result) {
  placement::LocalityQuestion question;
  question.dense_features = static_cast<double>(kCriteoDense);
  placement::LocalityAnswer known = placement::locality_for(profile, result.topology, result.workload, question);
  result.workload.locality = std::move(known.locality);
  result.workload.locality.threads = std::max(1, request.assign_threads);
  result.workload.locality.on_own_cores = request.assign_threads > 0;
  result.locality_notes = std::move(known.notes);
}

}  // namespace

PlanAnswer answer(const PlanRequest& request, const PlanTables& tables, const placement::Topology& topology) {
  PlanAnswer result{topology, make_workload(iteration_of(request, tables)), {}, {}, {}, {}, 0};
  const placement::SolveOptions options = solve_options(result.workload, request.combine);
  adapt(request, options, result);
  if (request.optimize_batch) {
    const int64_t least = std::max<int64_t>(1, request.batch / 16), most = request.batch * 16;
    result.workload.global_batch =
        placement::optimize_batch(result.topology, result.workload, least, most, options).global_batch;
  }
  PlacementOptions asked;
  asked.combine = request.combine;
  if (tables.locality)
    know_locality(request, *tables.locality, result);
  else
    stay(asked);
  result.decision = decide(result.topology, result.workload, asked);
  result.workload.locality = result.decision.locality;
  result.plan = result.optimum().plan;
  result.cost = result.optimum().cost;
  if (request.strategy) {
    asked.strategy = request.strategy;
    asked.deduplicate = request.deduplicate || request.strategy == placement::Strategy::fetched;  // as it is listed
    asked.combine = request.combine && request.deduplicate;
    stay(asked);
    Decision strategy = decide(result.topology, result.workload, asked);
    result.plan = std::move(strategy.plan);
    result.cost = std::move(strategy.cost);
  }
  const placement::CostModel model(result.topology, result.workload);
  result.dense_bytes_sent = placement::cost_of(model, model.base()).sent_mean.allreduce;
  return result;
}

}  // namespace sparrow
