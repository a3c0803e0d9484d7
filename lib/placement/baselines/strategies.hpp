// The named strategies that a plan is compared with: each makes a plan, costed as any other. Balanced as well as could
// be, so that the comparison is fair to them: whoever holds, holds an equal share per rank, as far as memory allows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "placement/cost/cost.hpp"
#include "placement/model/plan.hpp"

namespace sparrow::placement {

/// A strategy by its place in the list of strategies.cpp, to which a new one is added; these are named in code as well.
enum class Strategy : uint8_t {
  held,        ///< every row on one rank, deduplicated per rank, exchanged directly
  table_wise,  ///< whole tables (but for those that no rank has room for), no deduplication: pooled vectors, b w per
               ///< table and rank, each way
  row_wise,    ///< rows spread, partial sums of every bag reduce-scattered, as TorchRec does
  replicated,  ///< every row on every rank, gradients all-reduced: dense or sparse, whichever is faster
  fetched,     ///< every row in slower stores (or on pure servers): the classic parameter server
  hot_cold,    ///< the hottest rows replicated, the rest table-wise (FAE, HugeCTR's hybrid embedding)
};
/// All strategies, and the names that configurations and plans have for them.
std::vector<Strategy> all_strategies();
const char* strategy_name(Strategy strategy);
std::optional<Strategy> parse_strategy(const std::string& name);

/// How the rows of a strategy travel: as is common (above; of slower stores pooled vectors), or
/// as distinct rows, directly or combined at every level.
struct StrategyOptions {
  bool deduplicate = false;
  bool combine = false;  ///< only where rows are deduplicated
};

struct StrategyResult {
  Strategy strategy{};
  std::string name;
  Cost cost;                 ///< cost.infeasible says why it cannot be used, if so
  std::optional<Plan> plan;  ///< when feasible
};

/// The plan of a strategy, and what a run of it costs.
StrategyResult evaluate_strategy(const CostModel& model, Strategy strategy, const StrategyOptions& options = {});
/// All of them, as described above; rows of slower stores deduplicated, and, last, as "fetched, undeduplicated", not:
/// there the store reads a row for every lookup, which the trainer does not.
std::vector<StrategyResult> evaluate_strategies(const CostModel& model);

}  // namespace sparrow::placement
