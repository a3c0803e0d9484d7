// The strategies that move every lookup: table-wise, row-wise, and hot-cold, which replicates the hottest rows. Their
// costs are those of a fair share per rank; their plans deal whole tables, column slices or rows.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "placement/baselines/spreading.hpp"

namespace sparrow::placement {
namespace {

/// Rows at or beyond a threshold of use; the rest is held without deduplication.
struct Split {
  double threshold;  ///< lookups per sample of one row; rows above are replicated
  int finer = 1;     ///< times as many column slices as a fair share asks for, so that they can be packed
};

double use_of(const CostModel& model, int t, size_t c) {
  double p = 0;
  for (const auto& group : model.table(t).access.p) p += group[c] / static_cast<double>(model.table(t).access.p.size());
  return p * model.table(t).lookups;
}

/// Column slices of each table, for whole tables: as many as its share of the bytes is worth in ranks, of at least one
/// number each.
std::vector<int64_t> slices_of(const CostModel& model, const std::vector<double>& cold_rows, int finer) {
  double bytes = 0, ranks = 0;
  for (Site site : device_sites(model)) ranks += static_cast<double>(model.tree().instances(site.domain));
  for (int t = 0; t < model.tables(); ++t) bytes += cold_rows[t] * model.shape(t).stored_bytes;
  std::vector<int64_t> slices;
  for (int t = 0; t < model.tables(); ++t) {
    const double worth = bytes > 0 ? ranks * cold_rows[t] * model.shape(t).stored_bytes / bytes : 1;
    const double most = std::min(ranks, std::max(1.0, std::floor(model.shape(t).row_bytes / 4)));
    slices.push_back(static_cast<int64_t>(std::clamp(std::ceil(worth - 1e-9) * finer, 1.0, most)));
  }
  return slices;
}

/// Rows of each table at or below the threshold.
std::vector<double> cold_rows_of(const CostModel& model, const Split& split) {
  std::vector<double> rows(model.tables(), 0);
  for (int t = 0; t < model.tables(); ++t)
    for (size_t c = 0; c < model.table(t).access.classes(); ++c)
      if (use_of(model, t, c) <= split.threshold) rows[t] += static_cast<double>(model.table(t).access.rows[c]);
  return rows;
}

/// Rows above the threshold replicated with a dense all-reduce, the rest held and moved without deduplication, as
/// pooled vectors or as partial sums of every sample.
StrategyResult undeduplicated(const CostModel& model, Strategy strategy, const Split& split) {
  const Tree& tree = model.tree();
  const Quantities& q = model.quantities();
  const auto n = static_cast<size_t>(tree.size());
  std::vector<double> quantities = model.base();
  Option replicated{tree.depth(), Reduction::dense, {}};
  for (int r : tree.at_level(tree.depth())) replicated.sites.push_back({r, 0});

  const std::vector<double> cold_rows = cold_rows_of(model, split);
  std::vector<int64_t> slices = slices_of(model, cold_rows, split.finer);
  if (strategy == Strategy::row_wise) slices.assign(slices.size(), 1);
  double cold_bytes = 0, updated = 0, ids = 0, lookups = 0, vectors = 0, gathered = 0;  // ids, ...: per sample
  for (int t = 0; t < model.tables(); ++t) {
    const TableShape shape = model.shape(t);
    std::vector<double> hot(model.features().size(), 0);
    double cold_mass = 0;
    for (size_t c = 0; c < model.table(t).access.classes(); ++c) {
      const double rows = static_cast<double>(model.table(t).access.rows[c]);
      const double* features = model.features_of(t, c);
      if (use_of(model, t, c) > split.threshold) {
        for (size_t i = 0; i < hot.size(); ++i) hot[i] += rows * features[i];
        continue;
      }
      cold_mass += rows * use_of(model, t, c) / shape.lookups;
      updated += rows * features[Features::v(0)] * shape.stored_bytes;
    }
    // Every slice has ids and optimiser state of its own.
    const auto copies = static_cast<double>(slices[t]);
    cold_bytes += cold_rows[t] * (shape.stored_bytes + (copies - 1) * static_cast<double>(model.table(t).state_bytes));
    if (hot[Features::one()] > 0)
      for (const Coefficient& c : coefficients(model, replicated, Transport::direct, shape))
        quantities[c.quantity] += c.value * hot[c.feature];
    lookups += copies * shape.lookups * cold_mass;
    ids += copies * shape.lookups * cold_mass * shape.id_bytes;
    gathered += shape.lookups * cold_mass * shape.row_bytes;
    // A sample whose bag is all hot sends nothing for this table; partial sums are sent whatever is in them.
    vectors += strategy == Strategy::hot_cold ? touched(std::min(1.0, cold_mass), shape.lookups) * shape.wire_bytes
                                              : shape.wire_bytes;
  }

  const auto sites = device_sites(model);
  std::vector<double> share(n, 0), id_bytes(n, 0), vector_bytes(n, 0);
  const auto poured = pour(model, sites, cold_bytes);
  if (poured.empty()) return infeasible(strategy, too_small(model, sites, cold_bytes));
  for (size_t i = 0; i < sites.size(); ++i) share[sites[i].domain] = poured[i];
  for (int r : tree.at_level(tree.depth())) {
    const auto i = static_cast<size_t>(r);
    id_bytes[i] = model.batch_of(r) * ids;
    vector_bytes[i] = strategy == Strategy::row_wise ? 0 : model.batch_of(r) * vectors;
    quantities[q.memory({r, 0})] += share[i] * cold_bytes;
    quantities[q.listed(r)] += (model.batch_of(r) + share[i] * model.batch_of(0)) * lookups;
    // Pooled vectors wait for all their rows: nothing moves ahead but ids.
    for (int quantity : {q.gather(r), q.dirty_gather(r)})
      quantities[quantity] += share[i] * model.batch_of(0) * gathered;
    for (int quantity : {q.update(r), q.dirty_update(r)}) quantities[quantity] += share[i] * updated;
  }
  add_direct(model, share, id_bytes, vector_bytes, quantities);
  if (strategy == Strategy::row_wise) add_partial_sums(model, vectors, quantities);
  return {strategy, cost_of(model, quantities), std::nullopt};
}

/// Free bytes of every instance of the sites.
using Room = std::vector<std::vector<double>>;

/// Puts the slices of a table, each on the emptiest slot of one site in turn; the site where most is left then. Empty:
/// they fit nowhere.
struct Dealt {
  size_t site = 0;
  std::vector<int64_t> slots;
};
Dealt deal_table(double slice_bytes, int64_t slices, Room& room) {
  Dealt best;
  double most_left = -1;
  std::vector<double> best_room;
  for (size_t site = 0; site < room.size(); ++site) {
    std::vector<double> left = room[site];
    Dealt trial{site, {}};
    double least = kInfinity;
    for (int64_t i = 0; i < slices; ++i) {
      const auto emptiest = std::max_element(left.begin(), left.end());
      *emptiest -= std::max(slice_bytes, 1e-3);  // so that empty tables spread too
      least = std::min(least, *emptiest);
      trial.slots.push_back(emptiest - left.begin());
    }
    if (least < -1 || least <= most_left) continue;
    most_left = least;
    best = std::move(trial);
    best_room = std::move(left);
  }
  if (!best.slots.empty()) room[best.site] = std::move(best_room);
  return best;
}

/// Options of a split: one per site, and the last: replicated.
Placement split_options(const CostModel& model, const std::vector<Site>& sites) {
  Placement placement;
  for (Site site : sites) placement.options.push_back({0, Reduction::sparse, {site}});
  placement.options.push_back({model.tree().depth(), Reduction::dense, {}});
  for (int r : model.tree().at_level(model.tree().depth())) placement.options.back().sites.push_back({r, 0});
  return placement;
}

Plan undeduplicated_plan(const CostModel& model, Strategy strategy, const Placement& placement) {
  Plan plan = to_plan(model, placement, strategy_name(strategy));
  for (TablePlan& table : plan.tables)
    if (strategy == Strategy::row_wise) table.transport = Transport::partial_sums;
  return plan;
}

/// Rows above the threshold replicated, the rest in whole tables or slices of their columns, largest first.
std::optional<Plan> whole_table_plan(const CostModel& model, Strategy strategy, const Split& split) {
  const auto sites = device_sites(model);
  const std::vector<double> cold = cold_rows_of(model, split);
  const std::vector<int64_t> slices = slices_of(model, cold, split.finer);
  Room room;
  double hot_bytes = 0;
  std::vector<std::pair<double, int>> order;  // (bytes, table)
  for (int t = 0; t < model.tables(); ++t) {
    const TableShape shape = model.shape(t);
    hot_bytes += (static_cast<double>(model.table(t).access.total_rows()) - cold[t]) * shape.stored_bytes;
    order.emplace_back(cold[t] * shape.stored_bytes, t);
  }
  for (Site site : sites) room.emplace_back(model.tree().instances(site.domain), model.capacity(site) - hot_bytes);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Dealt> dealt(order.size());
  for (const auto& [bytes, t] : order) {
    const auto i = static_cast<size_t>(t);
    const Table& table = model.table(t);
    const int64_t width = (table.row_bytes + slices[i] - 1) / slices[i] + table.state_bytes;
    dealt[i] = deal_table(cold[i] * static_cast<double>(width), slices[i], room);
    if (dealt[i].slots.empty()) return std::nullopt;
  }
  Placement placement = split_options(model, sites);
  for (int t = 0; t < model.tables(); ++t) {
    TablePlacement placed{Transport::pooled, {}};
    for (size_t c = 0; c < model.table(t).access.classes(); ++c) {
      const bool hot = use_of(model, t, c) > split.threshold;
      placed.shares.push_back({static_cast<int32_t>(c), static_cast<int32_t>(hot ? sites.size() : dealt[t].site),
                               static_cast<double>(model.table(t).access.rows[c])});
    }
    placement.tables.push_back(std::move(placed));
  }
  Plan plan = undeduplicated_plan(model, strategy, placement);
  for (size_t t = 0; t < dealt.size(); ++t) plan.tables[t].holders.fixed = dealt[t].slots[0];
  if (!fits(model, plan)) return std::nullopt;
  return plan;
}

/// Rows above the threshold replicated, the rest dealt row by row.
std::optional<Plan> row_plan(const CostModel& model, Strategy strategy, const Split& split) {
  const auto sites = device_sites(model);
  const std::vector<double> cold = cold_rows_of(model, split);
  double bytes = 0;
  for (int t = 0; t < model.tables(); ++t) bytes += cold[t] * model.shape(t).stored_bytes;
  for (int attempt = 0; attempt < kMargins; ++attempt) {
    const auto share = pour(model, sites, bytes, margin_of(model, attempt));
    if (share.empty()) return std::nullopt;
    Placement placement = split_options(model, sites);
    for (int t = 0; t < model.tables(); ++t) {
      TablePlacement placed{Transport::pooled, {}};
      Dealer dealer(model, sites, share);
      for (size_t c = 0; c < model.table(t).access.classes(); ++c) {
        const auto rows = static_cast<double>(model.table(t).access.rows[c]);
        if (use_of(model, t, c) > split.threshold)
          placed.shares.push_back({static_cast<int32_t>(c), static_cast<int32_t>(sites.size()), rows});
        else
          dealer.deal(c, rows, placed);
      }
      placement.tables.push_back(std::move(placed));
    }
    Plan plan = undeduplicated_plan(model, strategy, placement);
    if (fits(model, plan)) return plan;
  }
  return std::nullopt;
}

/// The cost of a split, and its plan: whole tables, in finer slices where those of a fair share cannot be packed; row
/// by row for row-wise, and where every bag has one lookup (one vector per lookup either way).
StrategyResult with_plan(const CostModel& model, Strategy strategy, Split split) {
  StrategyResult fair = undeduplicated(model, strategy, split);
  if (!fair.cost.infeasible.empty()) return fair;
  for (split.finer = 1; split.finer <= 8 && strategy != Strategy::row_wise; split.finer *= 2) {
    StrategyResult result = undeduplicated(model, strategy, split);
    if (!result.cost.infeasible.empty()) break;
    result.plan = whole_table_plan(model, strategy, split);
    if (result.plan) return result;
  }
  const bool bags = std::any_of(model.workload().tables.begin(), model.workload().tables.end(),
                                [](const Table& t) { return t.lookups > 1; });
  if (strategy == Strategy::row_wise || !bags) fair.plan = row_plan(model, strategy, split);
  if (!fair.plan)
    fair.cost.infeasible = "whole tables, or slices of their columns, cannot be packed: " +
                           too_small(model, device_sites(model), stored_bytes(model));
  return fair;
}

/// The best threshold of a geometric scale, from everything cold to everything hot, that fits.
StrategyResult hot_cold(const CostModel& model) {
  double highest = 0, lowest = kInfinity;
  for (int t = 0; t < model.tables(); ++t)
    for (size_t c = 0; c < model.table(t).access.classes(); ++c) {
      const double use = use_of(model, t, c);
      highest = std::max(highest, use);
      if (use > 0) lowest = std::min(lowest, use);
    }
  constexpr int kThresholds = 32;
  StrategyResult best = undeduplicated(model, Strategy::hot_cold, {highest});
  Split best_split{highest};
  for (int i = 1; i <= kThresholds && highest > 0; ++i) {
    const Split split{highest * std::pow(lowest / highest * 0.99, i / static_cast<double>(kThresholds))};
    StrategyResult result = undeduplicated(model, Strategy::hot_cold, split);
    if (!result.cost.infeasible.empty()) break;  // ever more copies
    if (result.cost.seconds >= best.cost.seconds) continue;
    best = std::move(result);
    best_split = split;
  }
  return best.cost.infeasible.empty() ? with_plan(model, Strategy::hot_cold, best_split) : best;
}

}  // namespace

StrategyResult evaluate_undeduplicated(const CostModel& model, Strategy strategy) {
  return strategy == Strategy::hot_cold ? hot_cold(model) : with_plan(model, strategy, {kInfinity});
}

}  // namespace sparrow::placement
