// Plans inside a run: from what was counted and measured to the plan that the run applies, and its predicted cost.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "access/training_data.hpp"
#include "comm/comm.hpp"
#include "config/options.hpp"
#include "data/vocabulary.hpp"
#include "layout/directory.hpp"
#include "layout/system_shape.hpp"
#include "placement/solve/solve.hpp"

namespace sparrow {

/// A plan and what the theory says of it.
struct PlannedRun {
  placement::Plan plan;
  ResolvedPlan resolved;
  placement::Cost predicted;
  double bound = 0, gap = 0;  ///< of the optimiser; 0 where only a strategy was costed
  double floor_bytes = 0;     ///< all ranks together
  std::string topology_yaml;
};

/// What planning is about.
struct PlanningProblem {
  RunOptions options;
  const TableShapes& shapes;
  const AccessCounts& counts;
};

/// The workload of one iteration of the run.
placement::Workload make_workload(const PlanningProblem& problem);
/// The same with these distributions of accesses, one per table.
placement::Workload make_workload(const RunOptions& options, const TableShapes& shapes,
                                  std::vector<placement::TableDistribution> access);

/// The optimum of a run; the simplest plan, held rows alone, where it is as good within the error of the rates.
placement::Solution solve_run(const placement::Topology& topology, const placement::Workload& workload,
                              const RunOptions& options);

/// How many rows the memories of a rank of the run can hold beside its buffers, at most all. Nothing for the slower
/// store where the topology has none.
SlotRoom room_for_rows(const SystemShape& shape, const placement::Workload& workload, int rank);

/// Solves on rank 0 (or reads placement.plan), sends the plan to all, which check it. Collective. The counts are rank
/// 0's.
PlannedRun plan_run(Comm& comm, const SystemShape& shape, const PlanningProblem& problem);

/// A table for people: rows per option and table group, memory, predicted time and bytes.
std::string describe_plan(const PlannedRun& planned, const SystemShape& shape);

}  // namespace sparrow
