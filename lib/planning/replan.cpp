#include "planning/replan.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "layout/plan_change.hpp"
#include "placement/cost/cost_model.hpp"
#include "planning/plan_by_position.hpp"

namespace sparrow {

namespace {

/// Time to send copies[source * ranks + destination] rows of `bytes` each, in `moves` parts.
double seconds_to_move(const SystemShape& shape, const std::vector<int64_t>& copies, double bytes, int64_t moves) {
  const placement::Tree tree(shape.topology);
  const size_t ranks = shape.rank_type.size();
  double slowest = 0, latency = 0;
  for (int type = 0; type < tree.size(); ++type)
    for (const std::vector<int>& inside : shape.instances[type]) {
      std::vector<char> is_inside(ranks, 0);
      for (const int rank : inside) is_inside[rank] = 1;
      double out = 0, in = 0;
      for (size_t s = 0; s < ranks; ++s)
        for (size_t d = 0; d < ranks; ++d) {
          if (is_inside[s] && !is_inside[d]) out += bytes * static_cast<double>(copies[s * ranks + d]);
          if (!is_inside[s] && is_inside[d]) in += bytes * static_cast<double>(copies[s * ranks + d]);
        }
      for (const placement::Port& port : tree.domain(type).ports) {
        slowest = std::max({slowest, out / port.out_bytes_per_s, in / port.in_bytes_per_s});
        if (out + in > 0) latency = std::max(latency, port.latency_s);
      }
      if (tree.is_rank(type)) slowest = std::max(slowest, (out + in) / tree.domain(type).work.pack_bytes_per_s);
    }
  return slowest + 2 * latency * static_cast<double>(moves);
}

/// The optimum for the counts of now, by position; nothing, and why, if it does not fit into memory so.
std::optional<placement::Plan> best_plan(const ReplanProblem& problem, const placement::Workload& workload,
                                         std::string& why_not) {
  // Holders follow positions, and rows of one option need not be neighbours there: a rank may get more than its share,
  // and the plan is made again for a little less memory.
  constexpr int kAttempts = 4;
  placement::Topology topology = problem.system.topology;
  PlacementOptions options;  // the optimum, whatever plan the run began with
  options.combine = problem.options.placement.combine;
  const bool local = problem.plan.assignment.local;
  const bool first_use = problem.options.placement.holders == HolderChoice::first_use ||
                         (local && problem.options.placement.holders == HolderChoice::automatic);
  options.assignment = local ? AssignmentChoice::local : AssignmentChoice::contiguous;
  options.holders = first_use ? HolderChoice::first_use : HolderChoice::arithmetic;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    placement::Plan plan = by_position(decide(topology, workload, options).plan, problem.profiles, problem.plan);
    plan.assignment = problem.plan.assignment;
    const placement::CostModel model(problem.system.topology, workload);
    if (placement::fits(model, plan)) return plan;
    for (placement::Domain& domain : topology.domains)
      for (placement::Store& store : domain.stores) store.capacity_bytes -= store.capacity_bytes / 100;
  }
  why_not = "no plan fits the memory of every rank, as rows are unevenly distributed over positions";
  return std::nullopt;
}

/// What moving from one plan to the other costs.
void weigh_move(const ReplanProblem& problem, const placement::Workload& workload, const placement::Cost& now,
                const ResolvedPlan& next, Replan& replan) {
  const PlanChange change(problem.tables, problem.system.hierarchy, resolve(problem.plan, problem.system), next, 1,
                          {true, nullptr});
  const std::vector<int64_t> copies = change.copies_between_ranks();
  const int64_t ranks = problem.system.hierarchy.ranks();
  for (int64_t i = 0; i < ranks * ranks; ++i)
    if (i / ranks != i % ranks) replan.moved_copies += copies[i];
  const int64_t row_bytes = workload.tables[0].row_bytes + workload.tables[0].state_bytes;
  replan.moved_bytes = replan.moved_copies * row_bytes;
  const double exchanged = (now.sent_mean.rows + now.sent_mean.gradients) * static_cast<double>(ranks);
  replan.copies_per_move =
      std::max(ranks, static_cast<int64_t>(kMoveShare * exchanged / static_cast<double>(row_bytes)));
  const int64_t moves = (replan.moved_copies + replan.copies_per_move - 1) / replan.copies_per_move;
  replan.cost_seconds = seconds_to_move(problem.system, copies, static_cast<double>(row_bytes), moves);
  const double gaining = std::max(0.0, static_cast<double>(replan.iterations) - static_cast<double>(moves) / 2);
  replan.gain_seconds = (replan.seconds_now - replan.seconds_next) * gaining;
}

}  // namespace

Replan decide(const ReplanProblem& problem, int64_t iterations) {
  Replan replan;
  replan.iterations = iterations;
  std::vector<placement::TableDistribution> access;
  for (const AccessProfile& profile : problem.profiles) access.push_back(profile.distribution);
  placement::Workload workload = make_workload(problem.options, problem.shapes, std::move(access));
  workload.locality = locality_for_plan(problem.locality, problem.plan);
  const placement::CostModel model(problem.system.topology, workload);
  const placement::Cost now = placement::evaluate(model, placement_by_class(problem.plan, problem.profiles));
  replan.seconds_now = replan.seconds_next = now.seconds;
  replan.bytes_now = replan.bytes_next = now.sent_mean.total();
  std::optional<placement::Plan> plan = best_plan(problem, workload, replan.why_not);
  if (!plan) return replan;

  PlannedRun next;
  next.plan = *std::move(plan);
  next.cost = placement::evaluate(model, placement_by_class(next.plan, problem.profiles));
  next.floor_bytes = placement::floor_bytes(model);
  next.resolved = resolve(next.plan, problem.system);
  replan.seconds_next = next.cost.seconds;
  replan.bytes_next = next.cost.sent_mean.total();
  weigh_move(problem, workload, now, next.resolved, replan);
  if (replan.seconds_next > (1 - kLeastGain) * replan.seconds_now)
    replan.why_not = "no plan is better by more than the sampling error of the counts";
  else if (replan.gain_seconds <= replan.cost_seconds)
    replan.why_not = "migration would cost more than it gains";
  else
    replan.changes = true;
  if (replan.changes) replan.next = std::move(next);
  return replan;
}

std::string describe(const Replan& replan) {
  std::string text = fmt::format(
      "re-planning: {:.3f} ms per iteration expected with the present plan, {:.3f} ms with the best plan for current "
      "counts ({:.0f} and {:.0f} bytes sent per rank); gain {:.2f} s over {} iterations, cost {:.2f} s ({} rows, "
      "{:.1f} MB)",
      replan.seconds_now * 1e3, replan.seconds_next * 1e3, replan.bytes_now, replan.bytes_next, replan.gain_seconds,
      replan.iterations, replan.cost_seconds, replan.moved_copies, static_cast<double>(replan.moved_bytes) / 1e6);
  return text + (replan.changes ? fmt::format(": new plan, {} rows move before each step", replan.copies_per_move)
                                : ": plan kept, " + replan.why_not);
}

std::string to_json(const Replan& replan, int64_t step, int64_t samples) {
  nlohmann::json record{{"changes", replan.changes},
                        {"seconds_per_iteration", {{"now", replan.seconds_now}, {"next", replan.seconds_next}}},
                        {"bytes_per_iteration",
                         {{"counted", replan.bytes_counted}, {"now", replan.bytes_now}, {"next", replan.bytes_next}}},
                        {"iterations", replan.iterations},
                        {"gain_seconds", replan.gain_seconds},
                        {"cost_seconds", replan.cost_seconds},
                        {"moved_rows", replan.moved_copies},
                        {"moved_bytes", replan.moved_bytes}};
  if (!replan.changes) record["why_not"] = replan.why_not;
  return nlohmann::json{{"step", step}, {"samples", samples}, {"replan", record}}.dump();
}

}  // namespace sparrow
