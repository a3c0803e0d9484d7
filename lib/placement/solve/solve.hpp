// Finds the placement of least time and proves how good it is. Deterministic: no clock, no hash order, no threads.
// Method: placement.hpp, section "The optimiser".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "placement/baselines/strategies.hpp"
#include "placement/cost/cost.hpp"
#include "placement/model/plan.hpp"

namespace sparrow::placement {

struct SolveOptions {
  bool combine = true;           ///< allow staged transport (else direct only)
  bool direct = true;            ///< allow direct transport
  bool sparse_reduction = true;  ///< allow copies kept equal by touched rows only
  bool dense_reduction = true;
  bool pooling = true;             ///< allow pooled transport for tables with more than one lookup
  bool copies_between = true;      ///< allow copy levels other than 0 and L
  bool branching = true;           ///< of tables with bags, after the first plan of every family (search.hpp)
  bool compare_strategies = true;  ///< take the best of the family and of the named strategies
  double target_gap = 1e-4;        ///< classes are refined until the gap of the linear programme is below
  int max_classes = 3000;          ///< of the linear programme; finer classes are merged (exactly: loads stay right)
};

/// What one more unit of a limit would save, to first order.
struct Price {
  std::string resource;  ///< "cluster/node/gpu:device", "cluster/node nic out", "compute", ...
  std::string kind;      ///< "memory" | "bandwidth" | "work"
  double seconds_per_unit =
      0;  ///< memory: saved per byte more on every instance; bandwidth, work: saved if the rate doubled (at most)
};

struct Solution {
  Plan plan;
  Cost cost;
  double bound = 0;            ///< no member of the family and (but where samples are assigned) no strategy is faster
  double gap = 0;              ///< cost.seconds / bound - 1: what the search leaves open, and what slots are uneven
  double even_seconds = 0;     ///< T of the family's best placement if every slot had its fair share
  double relaxed_seconds = 0;  ///< before rounding to whole rows: optimum of the linear programme
  std::vector<Price> prices;   ///< those above zero, by falling saving
  std::vector<StrategyResult> strategies;
  double floor_bytes = 0;
  double grouping_error = 0;            ///< the worst of the tables
  int linear_programmes = 0;            ///< how many were solved
  int least_level = 0, most_level = 0;  ///< of the family that the plan is from: copy levels, and slower stores in use
  std::vector<Site> slow_sites;
  std::vector<double> quantity_prices;  ///< for `explain`: seconds per unit of each quantity of the cost model
};

/// W of a plan (SampleAssignment): 1 where an iteration takes longer than an assignment, at most the ranks.
int delay_of(const CostModel& model, double seconds);

/// Where the workload says that samples are assigned, the plan is the best with which they are; the named strategies are
/// listed beside it as they are run elsewhere, with contiguous parts of batches, and bound nothing.
/// Throws Error naming the store, what is needed and what is there when the rows do not fit.
Solution solve(const Topology& topology, const Workload& workload, const SolveOptions& options = {});

/// The cost of every option for one row, at the optimum's prices. Options whose latency rules them out for all rows
/// (the exchange of a stage, a slower store that is not used) are not listed.
struct ExplainedOption {
  std::string option;  ///< "held in cluster/node/gpu:device", "copy per node (dense) in ...", ...
  double seconds = 0;  ///< price of placing one row so
  bool chosen = false;
};
/// Why `position` of `table` is where it is. `solution` came from the same topology, workload and options.
std::vector<ExplainedOption> explain(const Topology& topology, const Workload& workload, const SolveOptions& options,
                                     const Solution& solution, int table, int64_t position);

/// The name of an option for people.
std::string describe(const Option& option, const Tree& tree);

struct BatchChoice {
  int64_t global_batch = 0;
  Solution solution;
  double seconds_per_sample = 0;
};
/// The joint optimum of batch and placement: least seconds per sample over global batches from `least` to `most`
/// (powers of two times `least`, then refined between the neighbours of the best). Batches whose buffers leave too
/// little memory are passed over.
BatchChoice optimize_batch(const Topology& topology, const Workload& workload, int64_t least, int64_t most,
                           const SolveOptions& options = {});

/// Batch weights of the rank types (Tree::at_level(L)) that lower T, starting from those of the topology: iterated
/// towards equal finishing times, the best kept. Equal ranks: returned unchanged.
std::vector<double> plan_batch_weights(const Topology& topology, const Workload& workload,
                                       const SolveOptions& options = {});

}  // namespace sparrow::placement
