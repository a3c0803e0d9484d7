#include "planning/plan_run.hpp"

#include <algorithm>
#include <map>

#include "comm/collectives.hpp"
#include "config/plan_file.hpp"
#include "placement/model/locality_profile.hpp"

namespace sparrow {

placement::Workload make_workload(const PlanningProblem& problem) {
  placement::Workload workload = make_workload(problem.options, problem.shapes, problem.counts.tables);
  workload.locality = problem.locality;
  if (workload.locality.sample_bytes == 0)  // a plan file may say that they move
    workload.locality.sample_bytes =
        placement::sample_bytes(workload, static_cast<double>(problem.shapes.dense_features));
  return workload;
}

placement::Workload make_workload(const RunOptions& options, const TableShapes& shapes,
                                  std::vector<placement::TableDistribution> access) {
  Iteration iteration;
  iteration.model = ModelShape(options.model, shapes.dense_features, shapes.tables());
  iteration.optimizer = options.optimizer.sparse.kind;
  iteration.wire = options.system.wire;
  iteration.overlapped = options.system.overlapped;
  iteration.global_batch = options.train.global_batch;
  iteration.bag_sizes.assign(shapes.bag_sizes.begin(), shapes.bag_sizes.end());
  iteration.access = std::move(access);
  return make_workload(iteration);
}

PlannedRun plan_run(Comm& comm, const SystemShape& shape, const PlanningProblem& problem) {
  PlannedRun planned;
  std::string text;
  if (comm.rank() == 0) {
    planned = {decide(shape.topology, make_workload(problem), problem.options.placement,
                      why_samples_stay(problem.options, comm.size())),
               {}};
    text = write_plan(planned.plan, shape.topology);
  }
  text = broadcast_string(comm, text, 0);
  if (comm.rank() != 0) planned.plan = parse_plan(text, "plan of rank 0", shape.topology);
  planned.resolved = resolve(planned.plan, shape);
  return planned;
}

std::string why_samples_stay(const RunOptions& options, int ranks) {
  if (ranks == 1) return "there is one rank";
  if (options.data.split == DataSplit::ranks) return "data.split: ranks says that data do not leave their rank";
  return "";
}

namespace {

std::string times(double ratio) {
  return fmt::format("{:.{}f} times", ratio, ratio < 1.1 ? 2 : 1);
}

/// What the assignment of samples brings, and what replicated and offloaded rows bring beside it.
std::string describe_samples(const Decision& decision) {
  const placement::Plan& plan = decision.plan;
  const SamplesDecision& samples = decision.samples;
  std::string text;
  if (plan.assignment.local) {
    text = "  samples go to their rows";
    if (samples.contiguous.seconds > 0)
      text += fmt::format(": {} fewer rows sent, {} faster expected",
                          times(samples.contiguous.row_bytes / samples.assigned.row_bytes),
                          times(samples.contiguous.seconds / samples.assigned.seconds));
    text += fmt::format("; W = {}, {} pass{}\n", plan.assignment.delay, plan.assignment.passes,
                        plan.assignment.passes == 1 ? "" : "es");
    if (decision.held_seconds > 0 && decision.optimum)
      text += fmt::format("  beside it, replicated and offloaded rows bring {}: {:.3f} ms with every row held\n",
                          times(decision.held_seconds / decision.optimum->cost.seconds), decision.held_seconds * 1e3);
  } else if (!samples.why_not.empty()) {
    text = fmt::format("  samples stay in contiguous parts of batches: {}\n", samples.why_not);
  }
  if (decision.locality.in_turn() && plan.assignment.local && decision.locality.tables.empty())
    text += "  how much nearer their rows samples are brought is not known: the times above are without that\n";
  if (decision.locality.first_use) text += "  rows with one copy are held by the rank that uses them first\n";
  return text;
}

}  // namespace

std::string describe_plan(const Decision& decision, const placement::Topology& topology) {
  const placement::Tree tree(topology);
  std::string text =
      fmt::format("plan {}: {:.3f} ms per iteration expected", decision.plan.strategy, decision.cost.seconds * 1e3);
  if (decision.bound() > 0)
    text +=
        fmt::format(" (lower bound {:.3f} ms, optimality gap {:.2f} %)", decision.bound() * 1e3, decision.gap() * 100);
  text += fmt::format("; bottleneck {}\n", decision.cost.bottleneck);
  std::map<int, int64_t> rows_of;
  int64_t total = 0;
  for (const placement::TablePlan& table : decision.plan.tables) {
    for (const placement::Interval& interval : table.intervals)
      rows_of[interval.option] += interval.last - interval.first;
    total += table.rows;
  }
  for (const auto& [option, rows] : rows_of)
    text += fmt::format("  {:>12} rows ({:5.1f} %)  {}\n", rows,
                        100.0 * static_cast<double>(rows) / static_cast<double>(total),
                        placement::describe(decision.plan.options[option], tree));
  for (const placement::StoreCost& store : decision.cost.stores)
    text +=
        fmt::format("  {}: {:.1f} of {:.1f} MB used\n", store.name, store.used_bytes / 1e6, store.capacity_bytes / 1e6);
  return text + describe_samples(decision);
}

}  // namespace sparrow
