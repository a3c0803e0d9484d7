// Whole tables on ranks: table-wise, and hot-cold, which replicates the hottest rows. What a table holds of memory, and
// what it makes its rank send and do, are dealt evenly as far as whole tables can be; a table that no rank has room for
// is dealt row by row.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "base/error.hpp"
#include "placement/baselines/spreading.hpp"

namespace sparrow::placement {
namespace {

constexpr int kMeasures = 2;  // traffic and work
using Measures = std::array<double, kMeasures>;

/// Lookups per sample of one row, by table and class, and the most and least there are (0 where no row is used).
struct Uses {
  explicit Uses(const CostModel& model);
  std::vector<std::vector<double>> by_class;
  double highest = 0, lowest = kInfinity;
};

Uses::Uses(const CostModel& model) {
  for (int t = 0; t < model.tables(); ++t) {
    const auto& groups = model.table(t).access.p;
    std::vector<double>& uses = by_class.emplace_back(model.table(t).access.classes(), 0.0);
    for (const auto& group : groups)
      for (size_t c = 0; c < uses.size(); ++c) uses[c] += group[c] / static_cast<double>(groups.size());
    for (double& use : uses) {
      use *= model.table(t).lookups;
      highest = std::max(highest, use);
      if (use > 0) lowest = std::min(lowest, use);
    }
  }
}

/// The rows of a table that are used no more than a threshold.
struct ColdPart {
  double rows = 0, bytes = 0;
  Measures load{};  ///< bytes sent and received by its holder, bytes gathered and updated there
};

ColdPart cold_part(const CostModel& model, const Uses& uses, int t, Transport transport, double threshold) {
  const Tree& tree = model.tree();
  const TableShape shape = model.shape(t);
  ColdPart cold;
  double mass = 0, distinct = 0, updated = 0;
  for (size_t c = 0; c < model.table(t).access.classes(); ++c) {
    const double use = uses.by_class[t][c];
    if (use > threshold) continue;
    const double rows = static_cast<double>(model.table(t).access.rows[c]);
    const double* features = model.features_of(t, c);
    cold.rows += rows;
    mass += rows * use / shape.lookups;
    updated += rows * features[Features::v(0)];
    for (int r : tree.at_level(tree.depth()))
      distinct += rows * static_cast<double>(tree.instances(r)) * features[Features::v(r)];
  }
  cold.bytes = cold.rows * shape.stored_bytes;
  const bool pooled = transport == Transport::pooled;
  const double ids = pooled ? model.batch_of(0) * shape.lookups * mass : distinct;
  const double vectors = pooled ? model.batch_of(0) * touched(std::min(1.0, mass), shape.lookups) : distinct;
  cold.load = {ids * shape.id_bytes + 2 * vectors * shape.wire_bytes,
               ids * shape.row_bytes + updated * shape.stored_bytes};
  return cold;
}

/// Slots of all sites, what is left of their memory, and what is on them and on the domains above.
class Slots {
 public:
  Slots(const CostModel& model, const std::vector<Site>& sites, size_t tables) : tree_(model.tree()) {
    double count = 0;
    for (Site site : sites) count += static_cast<double>(tree_.instances(site.domain));
    const auto considered = static_cast<double>(std::max<size_t>(1024, 4 * tables));
    stride_ = std::max<int64_t>(1, static_cast<int64_t>(count / considered));
    for (size_t i = 0; i < sites.size(); ++i) {
      room.emplace_back(tree_.instances(sites[i].domain), model.capacity(sites[i]));
      domains_.push_back(sites[i].domain);
    }
    load_.resize(tree_.size());
    slots_in_.assign(tree_.size(), 0);
    for (int d = 0; d < tree_.size(); ++d) {
      load_[d].assign(tree_.instances(d), Measures{});
      for (int holder : domains_)
        if (tree_.inside(holder, d)) slots_in_[d] += static_cast<double>(tree_.instances_in(holder, d));
    }
  }

  struct Place {
    size_t site = 0;
    int64_t slot = -1;
  };
  /// Where a table makes the busiest of a slot and the domains around it least busy; of equal ones, where most memory is
  /// left. slot -1: it has room nowhere.
  Place best_for(const ColdPart& table) const {
    Place best;
    double least = kInfinity, most_room = 0;
    for (size_t site = 0; site < domains_.size(); ++site)
      for (int64_t slot = 0; slot < std::ssize(room[site]); slot += stride_) {
        const double left = room[site][slot] - table.bytes;
        if (left < 0) continue;
        const double busy = busiest(domains_[site], slot, table.load);
        if (busy > least * (1 + 1e-9) || (busy >= least * (1 - 1e-9) && left <= most_room)) continue;
        best = {site, slot};
        least = std::min(busy, least), most_room = left;
      }
    return best;
  }
  void put(const ColdPart& table, Place at) {
    room[at.site][at.slot] -= std::max(table.bytes, 1e-3);  // so that empty tables spread too
    for (int d = domains_[at.site]; d >= 0; d = tree_.domain(d).parent)
      for (int m = 0; m < kMeasures; ++m) load_[d][instance(at.site, at.slot, d)][m] += table.load[m];
  }
  std::vector<std::vector<double>> room;  ///< bytes left, by site and slot

 private:
  int64_t instance(size_t site, int64_t slot, int d) const { return slot / tree_.instances_in(domains_[site], d); }
  double busiest(int holder, int64_t slot, const Measures& more) const {
    double most = 0;
    for (int d = holder; tree_.domain(d).parent >= 0; d = tree_.domain(d).parent)
      for (int m = 0; m < kMeasures; ++m)
        most = std::max(most, (load_[d][slot / tree_.instances_in(holder, d)][m] + more[m]) / slots_in_[d] /
                                  std::max(total[m], 1e-300));
    return most;
  }
  const Tree& tree_;
  int64_t stride_ = 1;
  std::vector<int> domains_;                 ///< by site
  std::vector<std::vector<Measures>> load_;  ///< by domain and instance
  std::vector<double> slots_in_;

 public:
  Measures total{};  ///< of all tables
};

struct WholeTables {
  std::vector<Slots::Place> places;  ///< by table; slot -1: row by row
  std::vector<double> share;         ///< of the rows of those, on one instance of each site
};

/// Places the largest tables first; those that fail are dealt row by row, and the rest is placed again beside them.
std::optional<WholeTables> deal(const CostModel& model, const std::vector<Site>& sites,
                                const std::vector<ColdPart>& cold, double hot_bytes, double margin) {
  std::vector<bool> by_row(cold.size(), false);
  double bytes = 0;
  Measures total{};
  for (const ColdPart& table : cold) {
    bytes += table.bytes;
    for (int m = 0; m < kMeasures; ++m) total[m] += table.load[m];
  }
  std::vector<std::pair<double, size_t>> order;  // by the most that a table is of anything
  for (size_t t = 0; t < cold.size(); ++t) {
    double size = cold[t].bytes / std::max(bytes, 1e-300);
    for (int m = 0; m < kMeasures; ++m) size = std::max(size, cold[t].load[m] / std::max(total[m], 1e-300));
    order.emplace_back(size, t);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (bool failed = true; failed;) {
    failed = false;
    double spread = 0;
    for (size_t t = 0; t < cold.size(); ++t) spread += by_row[t] ? cold[t].bytes : 0;
    WholeTables result{std::vector<Slots::Place>(cold.size()), water_fill(model, sites, spread, margin + hot_bytes)};
    if (result.share.empty()) return std::nullopt;
    Slots slots(model, sites, cold.size());
    slots.total = total;
    for (size_t site = 0; site < sites.size(); ++site)
      for (double& room : slots.room[site]) room -= hot_bytes + result.share[site] * spread + (spread > 0 ? margin : 0);
    for (const auto& [size, t] : order) {
      if (by_row[t]) continue;
      result.places[t] = slots.best_for(cold[t]);
      if (result.places[t].slot < 0)
        by_row[t] = failed = true;
      else
        slots.put(cold[t], result.places[t]);
    }
    if (!failed) return result;
  }
  return std::nullopt;
}

/// Rows above the threshold replicated, the rest whole tables.
Placement place(const CostModel& model, const Uses& uses, const std::vector<Site>& sites, const WholeTables& whole,
                Transport transport, double threshold) {
  Placement placement;
  for (Site site : sites) placement.options.push_back({0, Reduction::sparse, {site}});
  placement.options.push_back({model.tree().depth(), Reduction::dense, {}});
  for (int r : model.tree().at_level(model.tree().depth())) placement.options.back().sites.push_back({r, 0});
  for (int t = 0; t < model.tables(); ++t) {
    TablePlacement placed{transport, {}};
    Dealer dealer(model, sites, whole.share);
    const auto& at = whole.places[t];
    placed.shares.reserve(model.table(t).access.classes());
    for (size_t c = 0; c < model.table(t).access.classes(); ++c) {
      const auto rows = static_cast<double>(model.table(t).access.rows[c]);
      const bool hot = uses.by_class[t][c] > threshold;
      if (hot || at.slot >= 0)
        placed.shares.push_back({static_cast<int32_t>(c), static_cast<int32_t>(hot ? sites.size() : at.site), rows});
      else
        dealer.deal(c, rows, placed);
    }
    placement.tables.push_back(std::move(placed));
  }
  return placement;
}

/// The plan of a threshold, if there is one that fits.
std::optional<Plan> split_plan(const CostModel& model, const Uses& uses, Transport transport, double threshold) {
  const auto sites = device_sites(model);
  std::vector<ColdPart> cold;
  double hot_bytes = 0;
  for (int t = 0; t < model.tables(); ++t) {
    cold.push_back(cold_part(model, uses, t, transport, threshold));
    hot_bytes += (static_cast<double>(model.table(t).access.total_rows()) - cold[t].rows) * model.shape(t).stored_bytes;
  }
  for (int attempt = 0; attempt < kMargins; ++attempt) {
    const auto whole = deal(model, sites, cold, hot_bytes, margin_of(model, attempt));
    if (!whole) return std::nullopt;
    const Placement placement = place(model, uses, sites, *whole, transport, threshold);
    Plan plan = to_plan(model, placement);
    for (int t = 0; t < model.tables(); ++t) {
      plan.tables[t].holders.fixed = whole->places[t].slot;
      plan.tables[t].holders.first_use = false;
    }
    if (fits(model, plan)) return plan;
  }
  return std::nullopt;
}

/// A geometric scale of thresholds, from everything cold to everything hot.
struct Thresholds {
  static constexpr int kSteps = 32;
  double highest, lowest;
  double at(double step) const {
    return step == 0 ? highest : highest * std::pow(lowest / highest * 0.99, step / static_cast<double>(kSteps));
  }
};

/// Tries thresholds and keeps the best.
class ThresholdSearch {
 public:
  ThresholdSearch(const CostModel& model, const Uses& uses, Thresholds thresholds, Transport transport)
      : model_(model), uses_(uses), thresholds_(thresholds), transport_(transport) {}

  void attempt(int i) {
    if (i < 0 || i > Thresholds::kSteps || tried_[i] || (i > 0 && thresholds_.highest == 0)) return;
    tried_[i] = true;
    StrategyResult result = with_plan(model_, split_plan(model_, uses_, transport_, thresholds_.at(i)));
    if (i > 0 && (!result.plan || result.cost.seconds >= best_.cost.seconds)) return;
    best_ = std::move(result);
    at_ = i;
  }
  /// Coarsely, then near the best.
  void run() {
    for (int i = 0; i <= Thresholds::kSteps; i += 4) attempt(i);
    for (int step : {2, 1}) {
      const int at = at_;
      attempt(at - step), attempt(at + step);
    }
  }
  int at() const { return at_; }
  StrategyResult& best() { return best_; }

 private:
  const CostModel& model_;
  const Uses& uses_;
  const Thresholds thresholds_;
  const Transport transport_;
  std::vector<bool> tried_ = std::vector<bool>(Thresholds::kSteps + 1, false);
  StrategyResult best_ = infeasible("");
  int at_ = 0;
};

/// Classes that follow one another as one of the same rows and mass.
TableDistribution merged(const TableDistribution& all, const std::vector<size_t>& part_of) {
  TableDistribution result;
  result.p.resize(all.p.size());
  for (size_t first = 0, end = 0; first < all.classes(); first = end) {
    while (end < all.classes() && part_of[end] == part_of[first]) ++end;
    int64_t rows = 0;
    std::vector<double> mass(all.p.size(), 0);
    for (size_t c = first; c < end; ++c) {
      rows += all.rows[c];
      for (size_t g = 0; g < mass.size(); ++g) mass[g] += static_cast<double>(all.rows[c]) * all.p[g][c];
    }
    result.rows.push_back(rows);
    for (size_t g = 0; g < mass.size(); ++g) result.p[g].push_back(mass[g] / static_cast<double>(rows));
  }
  return result;
}

/// The threshold to take for so many classes that each attempt counts: the best one for merged classes, each of which is
/// between two thresholds.
int threshold_of_merged(const CostModel& model, const Uses& uses, const Thresholds& thresholds, Transport transport) {
  constexpr int kParts = 8;    // between two thresholds
  std::vector<double> bounds;  // falling
  for (int i = 0; i <= kParts * Thresholds::kSteps; ++i)
    bounds.push_back(thresholds.at(i / static_cast<double>(kParts)));
  Workload workload = model.workload();
  for (int t = 0; t < model.tables(); ++t) {
    std::vector<size_t> part_of;
    for (double use : uses.by_class[t])
      part_of.push_back(std::upper_bound(bounds.begin(), bounds.end(), use, std::greater<>()) - bounds.begin());
    workload.tables[t].access = merged(model.table(t).access, part_of);
  }
  const CostModel of_merged(model.tree().topology(), workload);
  const Uses uses_of_merged(of_merged);
  ThresholdSearch search(of_merged, uses_of_merged, thresholds, transport);
  search.run();
  return search.at();
}

}  // namespace

StrategyResult table_wise(const CostModel& model, Transport transport) {
  return with_plan(model, split_plan(model, Uses(model), transport, kInfinity));
}

/// The best threshold that fits.
StrategyResult hot_cold(const CostModel& model, Transport transport) {
  constexpr size_t kFew = 1000;  // classes of a table
  const Uses uses(model);
  const Thresholds thresholds{uses.highest, uses.lowest};
  size_t classes = 0;
  for (int t = 0; t < model.tables(); ++t) classes += model.table(t).access.classes();
  ThresholdSearch search(model, uses, thresholds, transport);
  if (classes > kFew * model.tables()) {
    const int at = threshold_of_merged(model, uses, thresholds, transport);
    for (int i : {at, at - 1, at + 1}) search.attempt(i);
  }
  if (!search.best().plan) search.run();
  return search.best();
}

}  // namespace sparrow::placement
