// The plans of the named strategies. Whoever holds, holds an equal share per rank as far as memory allows.
#include "placement/baselines/strategies.hpp"

#include <algorithm>
#include <iterator>

#include "base/error.hpp"
#include "placement/baselines/spreading.hpp"

namespace sparrow::placement {
namespace {

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

StrategyResult spread(const CostModel& model, const std::vector<Site>& sites, Transport transport) {
  const double bytes = stored_bytes(model);
  std::optional<StrategyResult> result;
  for (int attempt = 0; attempt < kMargins && (!result || !result->plan); ++attempt) {
    const auto share = water_fill(model, sites, bytes, margin_of(model, attempt));
    if (share.empty()) break;
    result = with_plan(model, to_plan(model, held_at(model, sites, share, transport)));
  }
  return result ? *result : infeasible(too_small(model, sites, bytes));
}

/// Over the device memories of all ranks that hold rows for others.
StrategyResult spread_over_ranks(const CostModel& model, Transport transport) {
  return spread(model, device_sites(model), transport);
}

/// A parameter server: the memories of pure servers and the slower stores, only the fastest of them if that pays.
StrategyResult fetched(const CostModel& model, Transport transport) {
  std::vector<Site> sites;
  for (Site site : model.tree().sites_in(0))
    if (!model.tree().is_device(site) || model.batch_of(site.domain) == 0) sites.push_back(site);
  if (sites.empty()) return infeasible("the topology has neither a slower store nor a rank that only serves rows");
  const auto speed = [&](Site site) {
    return model.tree().is_device(site) ? kInfinity : model.tree().store(site).bytes_per_s;
  };
  std::stable_sort(sites.begin(), sites.end(), [&](Site a, Site b) { return speed(a) > speed(b); });
  std::optional<StrategyResult> best;
  for (size_t n = 1; n <= sites.size(); ++n) {
    StrategyResult result = spread(model, {sites.begin(), sites.begin() + static_cast<std::ptrdiff_t>(n)}, transport);
    const bool fits = result.cost.infeasible.empty();
    if (!best || !best->cost.infeasible.empty() || (fits && result.cost.seconds < best->cost.seconds))
      best = std::move(result);
  }
  return *best;
}

StrategyResult replicated(const CostModel& model, Transport transport) {
  std::optional<StrategyResult> best;
  for (Reduction reduction : {Reduction::dense, Reduction::sparse}) {
    Placement placement;
    Option option{model.tree().depth(), reduction, {}};
    for (int r : model.tree().at_level(model.tree().depth())) option.sites.push_back({r, 0});
    placement.options.push_back(option);
    for (int t = 0; t < model.tables(); ++t) {
      TablePlacement placed{transport, {}};
      for (size_t c = 0; c < model.table(t).access.classes(); ++c)
        placed.shares.push_back({static_cast<int32_t>(c), 0, static_cast<double>(model.table(t).access.rows[c])});
      placement.tables.push_back(std::move(placed));
    }
    StrategyResult result = with_plan(model, to_plan(model, placement));
    if (!best || result.cost.seconds < best->cost.seconds) best = std::move(result);
  }
  return *best;
}

/// A strategy: how its rows commonly travel, what deduplicating them begins from, and the plan it makes.
struct Named {
  const char* name;
  Transport commonly, distinct;
  StrategyResult (*make)(const CostModel& model, Transport transport);
};

/// All of them, the first in the order of Strategy.
constexpr Named kNamed[] = {
    {"held", Transport::direct, Transport::direct, spread_over_ranks},
    {"table_wise", Transport::pooled, Transport::pooled, table_wise},
    {"row_wise", Transport::partial_sums, Transport::partial_sums, spread_over_ranks},
    {"replicated", Transport::direct, Transport::direct, replicated},
    {"fetched", Transport::pooled, Transport::direct, fetched},
    {"hot_cold", Transport::pooled, Transport::pooled, hot_cold},
};

/// Strategies that exchange directly gain stages only where there are levels to combine at.
Transport transport_for(const CostModel& model, const Named& strategy, const StrategyOptions& options) {
  if (!options.deduplicate) return strategy.commonly;
  const bool staged = options.combine && (strategy.distinct != Transport::direct || model.tree().depth() > 1);
  return staged ? Transport::staged : Transport::direct;
}

}  // namespace

const char* strategy_name(Strategy strategy) {
  return kNamed[static_cast<size_t>(strategy)].name;
}

std::vector<Strategy> all_strategies() {
  std::vector<Strategy> all;
  for (size_t i = 0; i < std::size(kNamed); ++i) all.push_back(static_cast<Strategy>(i));
  return all;
}

std::optional<Strategy> parse_strategy(const std::string& name) {
  for (Strategy strategy : all_strategies())
    if (name == strategy_name(strategy)) return strategy;
  return std::nullopt;
}

StrategyResult evaluate_strategy(const CostModel& model, Strategy strategy, const StrategyOptions& options) {
  const Named& named = kNamed[static_cast<size_t>(strategy)];
  StrategyResult result = named.make(model, transport_for(model, named, options));
  result.strategy = strategy;
  result.name = named.name;
  if (result.plan) result.plan->strategy = named.name;
  return result;
}

std::vector<StrategyResult> evaluate_strategies(const CostModel& model) {
  std::vector<StrategyResult> results;
  for (Strategy strategy : all_strategies())
    results.push_back(evaluate_strategy(model, strategy, {strategy == Strategy::fetched, false}));
  results.push_back(evaluate_strategy(model, Strategy::fetched));
  results.back().name = "fetched, undeduplicated";
  if (results.back().plan) results.back().cost = evaluate(model, *results.back().plan, true);
  return results;
}

}  // namespace sparrow::placement
