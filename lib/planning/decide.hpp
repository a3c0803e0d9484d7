// The plan for a workload on a topology: the optimum, a named strategy, or a plan file's. Whoever plans decides here: also
// who trains which samples, and whether rows are held where they are used first.
//
//   placement.assignment, .holders   plan
//   contiguous                       samples stay in contiguous parts; holders arithmetic, or first_use where asked for
//   local                            samples go to their rows; holders by first use but where arithmetic is asked for
//   auto                             the faster of both, local if it is by more than the rates' error; never for a named
//                                    strategy, which is what people run today
//   a plan file                      what it says
#pragma once

#include <optional>
#include <string>

#include "placement/options.hpp"
#include "placement/solve/solve.hpp"

namespace sparrow {

/// What sending samples to their rows brings.
struct SamplesDecision {
  /// The best plan of a kind. All 0: none was made.
  struct Way {
    double seconds = 0, bound = 0;  ///< of an iteration
    double row_bytes = 0;           ///< rows and gradients that a rank sends in it, mean
  };
  Way assigned, contiguous;
  std::string why_not;  ///< why samples stay in contiguous parts though it was not asked for
};

struct Decision {
  placement::Plan plan;
  placement::Cost cost;    ///< of the plan
  double floor_bytes = 0;  ///< all ranks together
  /// What the optimiser found: bound, prices, strategies beside it. None: a named strategy, or the plan of a file. The
  /// plan is its own, or held rows alone where they are as good within the error of the rates.
  std::optional<placement::Solution> optimum;
  double held_seconds = 0;  ///< of held rows alone, samples assigned as in the plan; 0: not known, or they do not fit
  SamplesDecision samples;
  placement::Locality locality;  ///< by which the plan was costed

  double bound() const { return optimum ? optimum->bound : 0; }  ///< 0: none is known
  double gap() const { return bound() > 0 ? cost.seconds / bound() - 1 : 0; }
  bool prefers_held() const { return optimum && plan.strategy != optimum->plan.strategy; }
};

/// How the optimiser is asked, here and for what else is to be optimised beside the plan.
placement::SolveOptions solve_options(const placement::Workload& workload, bool combine);

/// What is known of locality, as far as it is true of a plan that assigns samples and holds rows so.
placement::Locality locality_for_plan(const placement::Locality& known, bool local, bool first_use);
placement::Locality locality_for_plan(const placement::Locality& known, const placement::Plan& plan);

/// workload.locality: what is known of assigned samples; by default nothing. samples_stay: why samples may not move to
/// other ranks; empty: they may. A plan file has the last word. Throws Error for rows that do not fit, and for a file
/// that is no plan for this workload.
Decision decide(const placement::Topology& topology, const placement::Workload& workload,
                const PlacementOptions& options, const std::string& samples_stay = "");

}  // namespace sparrow
