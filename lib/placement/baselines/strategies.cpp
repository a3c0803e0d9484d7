// The named strategies, under the same cost model. Whoever holds, holds an equal share per rank as far as memory
// allows.
#include "placement/baselines/strategies.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "placement/baselines/spreading.hpp"

namespace sparrow::placement {
namespace {

constexpr std::array<const char*, kStrategies> kNames = {"held",       "table_wise", "row_wise",
                                                         "replicated", "fetched",    "hot_cold"};

/// Every row held (level 0), spread over the sites with the given shares of one instance.
Placement held_at(const CostModel& model, const std::vector<Site>& sites, const std::vector<double>& share,
                  Transport transport) {
  Placement placement;
  for (Site site : sites) placement.options.push_back({0, Reduction::sparse, {site}});
  for (int t = 0; t < model.tables(); ++t) {
    TablePlacement placed{transport, {}};
    Dealer dealer(model, sites, share);
    const auto& rows = model.table(t).access.rows;
    for (size_t c = 0; c < rows.size(); ++c) dealer.deal(c, static_cast<double>(rows[c]), placed);
    placement.tables.push_back(std::move(placed));
  }
  return placement;
}

/// Costs a placement; keeps its plan when it fits row by row.
StrategyResult from_placement(const CostModel& model, Strategy strategy, const Placement& placement) {
  StrategyResult result{strategy, evaluate(model, placement), std::nullopt};
  Plan plan = to_plan(model, placement, strategy_name(strategy));
  if (result.cost.infeasible.empty() && !fits(model, plan))
    result.cost.infeasible = "no room to round to whole rows on every slot: " +
                             too_small(model, model.tree().sites_in(0), stored_bytes(model));
  if (result.cost.infeasible.empty()) result.plan = std::move(plan);
  return result;
}

StrategyResult spread(const CostModel& model, Strategy strategy, const std::vector<Site>& sites) {
  const double bytes = stored_bytes(model);
  std::optional<StrategyResult> result;
  for (int attempt = 0; attempt < kMargins && (!result || !result->plan); ++attempt) {
    const auto share = pour(model, sites, bytes, margin_of(model, attempt));
    if (share.empty()) break;
    result = from_placement(model, strategy, held_at(model, sites, share, Transport::direct));
  }
  return result ? *result : infeasible(strategy, too_small(model, sites, bytes));
}

StrategyResult held(const CostModel& model) {
  return spread(model, Strategy::held, device_sites(model));
}

/// A parameter server: the memories of pure servers and the slower stores, only the fastest of them if that pays.
StrategyResult fetched(const CostModel& model) {
  std::vector<Site> sites;
  for (Site site : model.tree().sites_in(0))
    if (!model.tree().is_device(site) || model.batch_of(site.domain) == 0) sites.push_back(site);
  if (sites.empty())
    return infeasible(Strategy::fetched, "the topology has neither a slower store nor a rank that only serves rows");
  const auto speed = [&](Site site) {
    return model.tree().is_device(site) ? kInfinity : model.tree().store(site).bytes_per_s;
  };
  std::stable_sort(sites.begin(), sites.end(), [&](Site a, Site b) { return speed(a) > speed(b); });
  std::optional<StrategyResult> best;
  for (size_t n = 1; n <= sites.size(); ++n) {
    StrategyResult result =
        spread(model, Strategy::fetched, {sites.begin(), sites.begin() + static_cast<std::ptrdiff_t>(n)});
    const bool fits = result.cost.infeasible.empty();
    if (!best || !best->cost.infeasible.empty() || (fits && result.cost.seconds < best->cost.seconds))
      best = std::move(result);
  }
  return *best;
}

StrategyResult replicated(const CostModel& model) {
  std::optional<StrategyResult> best;
  for (Reduction reduction : {Reduction::dense, Reduction::sparse}) {
    Placement placement;
    Option option{model.tree().depth(), reduction, {}};
    for (int r : model.tree().at_level(model.tree().depth())) option.sites.push_back({r, 0});
    placement.options.push_back(option);
    for (int t = 0; t < model.tables(); ++t) {
      TablePlacement placed{Transport::direct, {}};
      for (size_t c = 0; c < model.table(t).access.classes(); ++c)
        placed.shares.push_back({static_cast<int32_t>(c), 0, static_cast<double>(model.table(t).access.rows[c])});
      placement.tables.push_back(std::move(placed));
    }
    StrategyResult result = from_placement(model, Strategy::replicated, placement);
    if (!best || result.cost.seconds < best->cost.seconds) best = std::move(result);
  }
  return *best;
}

}  // namespace

const char* strategy_name(Strategy strategy) {
  return kNames[static_cast<size_t>(strategy)];
}

std::optional<Strategy> parse_strategy(const std::string& name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (name == kNames[i]) return static_cast<Strategy>(i);
  return std::nullopt;
}

StrategyResult evaluate_strategy(const CostModel& model, Strategy strategy) {
  switch (strategy) {
    case Strategy::held:
      return held(model);
    case Strategy::table_wise:
    case Strategy::row_wise:
    case Strategy::hot_cold:
      return evaluate_undeduplicated(model, strategy);
    case Strategy::replicated:
      return replicated(model);
    case Strategy::fetched:
      return fetched(model);
  }
  fail("strategy {}", static_cast<int>(strategy));
}

std::vector<StrategyResult> evaluate_strategies(const CostModel& model) {
  std::vector<StrategyResult> results;
  for (int i = 0; i < kStrategies; ++i) results.push_back(evaluate_strategy(model, static_cast<Strategy>(i)));
  return results;
}

}  // namespace sparrow::placement
