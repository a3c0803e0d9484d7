// Plans inside a run: from what was counted and measured to the plan that its ranks obey.
#pragma once

#include <string>
#include <vector>

#include "access/training_data.hpp"
#include "comm/comm.hpp"
#include "config/options.hpp"
#include "data/vocabulary.hpp"
#include "layout/resolved_plan.hpp"
#include "layout/system_shape.hpp"
#include "planning/decide.hpp"
#include "planning/workload.hpp"

namespace sparrow {

/// What is decided, and the same in terms of the run's ranks. Ranks other than 0 know the plan alone.
struct PlannedRun : Decision {
  ResolvedPlan resolved;
};

/// What planning is about.
struct PlanningProblem {
  RunOptions options;
  const TableShapes& shapes;
  const AccessCounts& counts;
  placement::Locality locality = {};  ///< of assigned samples, if it is known (training_locality.hpp); rank 0's
};

/// The workload of one iteration of the run, with what is known of assigned samples.
placement::Workload make_workload(const PlanningProblem& problem);
/// The same with these distributions of accesses, one per table.
placement::Workload make_workload(const RunOptions& options, const TableShapes& shapes,
                                  std::vector<placement::TableDistribution> access);

/// Decides on rank 0 and sends the plan to all, which check it. Collective. The counts are rank 0's.
PlannedRun plan_run(Comm& comm, const SystemShape& shape, const PlanningProblem& problem);

/// Why no sample of the run may go to another rank than the one that reads it; empty: they may.
std::string why_samples_stay(const RunOptions& options, int ranks);

/// A table for people: rows per option, memory, predicted time, what assigned samples bring.
std::string describe_plan(const Decision& decision, const placement::Topology& topology);

}  // namespace sparrow
