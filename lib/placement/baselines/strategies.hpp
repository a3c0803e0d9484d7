// The named strategies that a plan is compared with, costed under the same model. Balanced as well as could be, so that
// the comparison is fair to them: whoever holds, holds an equal share per rank, as far as memory allows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "placement/cost/cost.hpp"
#include "placement/model/plan.hpp"

namespace sparrow::placement {

enum class Strategy : uint8_t {
  held,        ///< every row on one rank, deduplicated per rank, exchanged directly
  table_wise,  ///< whole tables (columns of them, where ranks outnumber tables), no deduplication: pooled vectors, b w
               ///< per table and rank, each way
  row_wise,    ///< rows spread, partial sums of every bag reduce-scattered, as TorchRec does
  replicated,  ///< every row on every rank, gradients all-reduced: dense or sparse, whichever is faster
  fetched,     ///< every row in slower stores (or on pure servers): the classic parameter server
  hot_cold,    ///< the hottest rows replicated, the rest table-wise (FAE, HugeCTR's hybrid embedding)
};
constexpr int kStrategies = 6;
const char* strategy_name(Strategy strategy);
std::optional<Strategy> parse_strategy(const std::string& name);

struct StrategyResult {
  Strategy strategy{};
  Cost cost;                 ///< cost.infeasible says why it cannot be used, if so
  std::optional<Plan> plan;  ///< when feasible
};

StrategyResult evaluate_strategy(const CostModel& model, Strategy strategy);
std::vector<StrategyResult> evaluate_strategies(const CostModel& model);

/// The cost of a run of a plan that keeps tables whole. `fair` is that of a fair share on every rank, which is as good
/// as whole tables can be dealt; 26 tables on 4 ranks are 7 on some, tables of distinct rows differ more, and all wait
/// for the busiest: gathers and exchanges take longer by the most that one slot (or, at the ports of a domain, its
/// slots) sends over the mean. Other plans, and those on slots of several kinds: `fair` as it is.
Cost cost_as_dealt(const CostModel& model, const Plan& plan, Cost fair);

}  // namespace sparrow::placement
