#include "planning/plan_run.hpp"

#include <map>

#include "comm/collectives.hpp"
#include "config/plan_file.hpp"

namespace sparrow {

placement::Workload make_workload(const PlanningProblem& problem) {
  return make_workload(problem.options, problem.shapes, problem.counts.tables);
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
    planned = {decide(shape.topology, make_workload(problem), problem.options.placement), {}};
    text = write_plan(planned.plan, shape.topology);
  }
  text = broadcast_string(comm, text, 0);
  if (comm.rank() != 0) planned.plan = parse_plan(text, "plan of rank 0", shape.topology);
  planned.resolved = resolve(planned.plan, shape);
  return planned;
}

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
  return text;
}

}  // namespace sparrow
