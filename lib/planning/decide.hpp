// The plan for a workload on a topology: the optimum, a named strategy, or a plan file's. Whoever plans decides here.
#pragma once

#include <optional>

#include "placement/options.hpp"
#include "placement/solve/solve.hpp"

namespace sparrow {

struct Decision {
  placement::Plan plan;
  placement::Cost cost;    ///< of the plan
  double floor_bytes = 0;  ///< all ranks together
  /// What the optimiser found: bound, prices, strategies beside it. None: a named strategy, or the plan of a file. The
  /// plan is its own, or held rows alone where they are as good within the error of the rates.
  std::optional<placement::Solution> optimum;

  double bound() const { return optimum ? optimum->bound : 0; }  ///< 0: none is known
  double gap() const { return bound() > 0 ? cost.seconds / bound() - 1 : 0; }
  bool prefers_held() const { return optimum && plan.strategy != optimum->plan.strategy; }
};

/// How the optimiser is asked, here and for what else is to be optimised beside the plan.
placement::SolveOptions solve_options(const placement::Workload& workload, bool combine);

/// options: strategy, plan, deduplicate and combine count; a plan file has the last word. Throws Error for rows that do
/// not fit, and for a file that is no plan for this workload.
Decision decide(const placement::Topology& topology, const placement::Workload& workload,
                const PlacementOptions& options);

}  // namespace sparrow
