#include "exchange/exchange_bounds.hpp"

#include <algorithm>
#include <numeric>

#include "base/error.hpp"

namespace sparrow {

std::vector<char> densely_reduced(const ResolvedPlan& plan) {
  const std::vector<char> used = plan.options_in_use();
  std::vector<char> dense(plan.options.size(), 0);
  for (size_t o = 0; o < plan.options.size(); ++o) {
    const ResolvedOption& option = plan.options[o];
    const auto same_size = [&](const std::vector<int>& ring) { return ring.size() == option.rings[0].size(); };
    // Domains with rings of different sizes share no row sets that could be summed whole: their rows go by key. So do
    // rows of slower stores, of which a sum over all would drag every one through memory.
    dense[o] = used[o] && option.level > 0 && option.reduction == Reduction::dense &&
               std::all_of(option.rings.begin(), option.rings.end(), same_size) && !option.any_offloaded();
  }
  return dense;
}

namespace {

/// Bounds of one plan, table by table.
class Bounds {
 public:
  Bounds(const Directory& directory, const BatchLimits& limits)
      : directory_(directory), plan_(directory.plan()), hierarchy_(directory.hierarchy()), limits_(limits) {
    SPARROW_CHECK(static_cast<int>(limits.samples.size()) == hierarchy_.ranks() &&
                      static_cast<int>(limits.lookups.size()) == directory.tables().count(),
                  "limits for {} ranks and {} tables", limits.samples.size(), limits.lookups.size());
    find_tables();
  }

  ExchangeBounds make(int64_t wire_bytes_per_value, bool overlapped) const;

 private:
  struct Table {
    int64_t rows, lookups;
    int64_t copied = 0;  ///< positions with copies that are reduced sparsely
    bool by_rows = false, pooled = false, partial = false;
  };
  void find_tables();
  int64_t held() const {
    const SlotRoom held = directory_.most_held();
    return held.device + held.offloaded;
  }
  const std::vector<int>& ranks(int level) const {
    return hierarchy_.members(level, hierarchy_.domain(level, directory_.rank()));
  }
  int64_t samples(int rank) const { return limits_.samples[rank]; }
  int64_t samples_at(int level) const {
    int64_t sum = 0;
    for (const int rank : ranks(level)) sum += samples(rank);
    return sum;
  }
  /// Rows of a table, at most `rows`, that the ranks of this rank's domain look up: each by itself, and distinct.
  int64_t apart(int level, const Table& table, int64_t rows) const {
    int64_t sum = 0;
    for (const int rank : ranks(level)) sum += std::min(rows, samples(rank) * table.lookups);
    return sum;
  }
  int64_t together(int level, const Table& table, int64_t rows) const {
    return std::min(rows, samples_at(level) * table.lookups);
  }
  void bound_rows(ExchangeBounds& bounds) const;
  void bound_copies(ExchangeBounds& bounds) const;
  void bound_pooled(ExchangeBounds& bounds) const;

  const Directory& directory_;
  const ResolvedPlan& plan_;
  const Hierarchy& hierarchy_;
  const BatchLimits& limits_;
  std::vector<Table> tables_;
};

void Bounds::find_tables() {
  const std::vector<char> dense = densely_reduced(plan_);
  const bool alone = hierarchy_.depth() == 0;  // then nothing is pooled elsewhere
  for (int t = 0; t < directory_.tables().count(); ++t) {
    const ResolvedTable& resolved = plan_.tables[t];
    Table table{directory_.tables().rows(t), limits_.lookups[t]};
    for (const ResolvedInterval& interval : resolved.intervals) {
      const auto option = static_cast<size_t>(interval.option);
      const Transport transport = resolved.rules[interval.rule].transport;
      const bool one_copy = plan_.options[option].level == 0;
      if (!one_copy && !dense[option]) table.copied += interval.last - interval.first;
      if (one_copy && is_pooled(transport)) table.pooled = true;
      if (alone || !one_copy || !is_pooled(transport)) table.by_rows = true;
    }
    table.partial = resolved.travels(Transport::partial_sums);
    table.pooled = table.pooled || table.partial;
    tables_.push_back(table);
  }
}

void Bounds::bound_rows(ExchangeBounds& bounds) const {
  const int depth = hierarchy_.depth();
  bounds.lists.resize(static_cast<size_t>(depth) + 1);
  for (int level = depth; level >= 0; --level) {
    ListBounds& list = bounds.lists[level];
    for (const Table& table : tables_) {
      if (!table.by_rows) continue;
      list.requests += level == depth ? bounds.samples * table.lookups : apart(level, table, table.rows);
      list.count += together(level, table, table.rows);
    }
    if (level == 0) list.count = std::min(list.count, held());
    list.here = std::min(list.count, held());
  }
  for (int stage = 0; stage < depth; ++stage) {
    bounds.asked.push_back(bounds.lists[static_cast<size_t>(stage) + 1].count);
    bounds.requested.push_back(bounds.lists[stage].requests);
  }
}

void Bounds::bound_copies(ExchangeBounds& bounds) const {
  const int depth = hierarchy_.depth();
  const bool any = std::any_of(tables_.begin(), tables_.end(), [](const Table& t) { return t.copied > 0; });
  const std::vector<char> used = plan_.options_in_use(), dense = densely_reduced(plan_);
  bool needed = any;  // also where rows are still to come
  for (size_t o = 0; o < used.size(); ++o) needed = needed || (used[o] && plan_.options[o].level > 0 && !dense[o]);
  if (!needed) return;
  bounds.copies.levels.resize(static_cast<size_t>(depth) + 1);
  int64_t touched = 0;
  for (const Table& table : tables_) touched += together(0, table, table.copied);
  for (int level = 0; level <= depth; ++level) {
    ExchangeBounds::Copies::Level& at = bounds.copies.levels[level];
    int64_t distinct = 0;
    for (const Table& table : tables_) {
      if (level < depth) at.requested += apart(level, table, table.copied);
      distinct += together(level, table, table.copied);
    }
    at.own = std::min(bounds.lists[level].here, distinct);
    at.merged = {at.requested + at.own, distinct, 0};
    at.delivered = touched;
    at.final_count = std::min(touched, held());
    if (level < depth) {
      const auto& children = hierarchy_.children(level, hierarchy_.domain(level, directory_.rank()));
      at.sent = touched * static_cast<int64_t>(children.size());
    }
  }
}

void Bounds::bound_pooled(ExchangeBounds& bounds) const {
  bounds.pooled.any =
      hierarchy_.depth() > 0 && (plan_.any_travels(Transport::pooled) || plan_.any_travels(Transport::partial_sums));
  if (!bounds.pooled.any) return;
  const int64_t ranks = hierarchy_.ranks();
  for (const Table& table : tables_) {
    if (!table.pooled) continue;
    bounds.pooled.asked += bounds.samples * (table.partial ? ranks : std::min(ranks, table.lookups));
    bounds.pooled.requested += samples_at(0);
    bounds.pooled.rows.requests += samples_at(0) * table.lookups;
    bounds.pooled.rows.count += together(0, table, table.rows);
  }
  bounds.pooled.rows.count = bounds.pooled.rows.here = std::min(bounds.pooled.rows.count, held());
  bounds.pooled.bag_of_part = ranks * bounds.bags;
}

ExchangeBounds Bounds::make(int64_t wire_bytes_per_value, bool overlapped) const {
  ExchangeBounds bounds;
  bounds.dim = directory_.tables().dim();
  bounds.row_bytes = bounds.dim * wire_bytes_per_value;
  bounds.samples = samples(directory_.rank());
  bounds.bags = bounds.samples * directory_.tables().count();
  bounds.lookups = bounds.samples * std::accumulate(limits_.lookups.begin(), limits_.lookups.end(), int64_t{0});
  bounds.with_offsets = limits_.with_offsets;
  bounds.with_offloaded = directory_.offloaded_slots() > 0;
  bounds.overlapped = overlapped;
  bound_rows(bounds);
  bound_copies(bounds);
  bound_pooled(bounds);
  return bounds;
}

}  // namespace

int64_t ExchangeBounds::most_requests() const {
  int64_t most = pooled.rows.requests;
  for (const ListBounds& list : lists) most = std::max(most, list.requests);
  for (const Copies::Level& level : copies.levels) most = std::max(most, level.merged.requests);
  return most;
}

TransferBounds bound_transfer(const ExchangeBounds& bounds) {
  const bool converted = bounds.row_bytes < 4 * bounds.dim;  // else blocks of rows are sent and received in place
  int64_t send = 0, recv = 0;
  for (size_t stage = 0; stage < bounds.asked.size(); ++stage)
    send = recv = std::max({send, bounds.requested[stage], converted ? bounds.asked[stage] : 0});
  for (const ExchangeBounds::Copies::Level& level : bounds.copies.levels) {
    send = std::max({send, level.sent, converted ? level.merged.count : 0});
    if (converted) recv = std::max({recv, level.requested, level.delivered});
  }
  const int64_t pooled = std::max(bounds.pooled.asked, bounds.pooled.requested);
  return {std::max(send, pooled) * bounds.row_bytes, std::max(recv, pooled) * bounds.row_bytes};
}

int64_t bound_lookups(const BatchLimits& limits) {
  return std::accumulate(limits.samples.begin(), limits.samples.end(), int64_t{0}) *
         std::accumulate(limits.lookups.begin(), limits.lookups.end(), int64_t{0});
}

ExchangeBounds bound_exchange(const Directory& directory, const BatchLimits& limits, int64_t wire_bytes_per_value,
                              bool overlapped) {
  return Bounds(directory, limits).make(wire_bytes_per_value, overlapped);
}

}  // namespace sparrow
