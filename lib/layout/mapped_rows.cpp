#include "layout/mapped_rows.hpp"

#include <algorithm>
#include <numeric>

#include "base/error.hpp"

namespace sparrow {

bool is_mapped(const ResolvedOption& option, const TableRule& rule) {
  return rule.holders.first_use && rule.holders.fixed < 0 && option.level == 0 && !option.any_offloaded() &&
         !is_pooled(rule.transport);
}

namespace {

/// Calls visit(table, interval, option, rule) for each interval whose rows are mapped.
template <class Visit>
void visit_mapped(const ResolvedPlan& plan, const Visit& visit) {
  for (size_t t = 0; t < plan.tables.size(); ++t)
    for (const ResolvedInterval& interval : plan.tables[t].intervals) {
      const ResolvedOption& option = plan.options[interval.option];
      const TableRule& rule = plan.tables[t].rules[interval.rule];
      if (is_mapped(option, rule)) visit(static_cast<int>(t), interval, option, rule);
    }
}

}  // namespace

std::vector<KeyRange> mapped_keys(const Tables& tables, const ResolvedPlan& plan) {
  std::vector<KeyRange> ranges;
  visit_mapped(plan, [&](int t, const ResolvedInterval& interval, const ResolvedOption&, const TableRule&) {
    const KeyRange range{tables.first_key(t) + interval.first, tables.first_key(t) + interval.last};
    if (!ranges.empty() && ranges.back().end == range.first)
      ranges.back().end = range.end;
    else
      ranges.push_back(range);
  });
  return ranges;
}

std::vector<int64_t> mapped_rows_by_arithmetic(const ResolvedPlan& plan, int ranks) {
  std::vector<int64_t> rows(ranks);
  visit_mapped(plan, [&](int, const ResolvedInterval& interval, const ResolvedOption& option, const TableRule& rule) {
    const Holders holders(rule.holders, option.rings[0]);
    for (int64_t i = 0; i < holders.k(); ++i) rows[holders.ranks[i]] += holders.count(interval.first, interval.last, i);
  });
  return rows;
}

std::vector<KeyRange> united(const std::vector<KeyRange>& a, const std::vector<KeyRange>& b) {
  std::vector<KeyRange> all = a, result;
  all.insert(all.end(), b.begin(), b.end());
  std::sort(all.begin(), all.end(), [](const KeyRange& x, const KeyRange& y) { return x.first < y.first; });
  for (const KeyRange& range : all) {
    if (!result.empty() && range.first <= result.back().end)
      result.back().end = std::max(result.back().end, range.end);
    else
      result.push_back(range);
  }
  return result;
}

std::vector<KeyRange> without(const std::vector<KeyRange>& a, const std::vector<KeyRange>& b) {
  std::vector<KeyRange> result;
  for (const KeyRange& range : a) {
    int64_t from = range.first;
    for (const KeyRange& other : b) {
      if (other.end <= from || other.first >= range.end) continue;
      if (from < other.first) result.push_back({from, other.first});
      from = other.end;
    }
    if (from < range.end) result.push_back({from, range.end});
  }
  return result;
}

bool contains(const std::vector<KeyRange>& ranges, int64_t key) {
  const auto after =
      std::upper_bound(ranges.begin(), ranges.end(), key, [](int64_t k, const KeyRange& r) { return k < r.first; });
  return after != ranges.begin() && key < std::prev(after)->end;
}

std::vector<int64_t> room_of_mapped_rows(const ResolvedPlan& plan, const std::vector<int64_t>& limit) {
  constexpr int64_t kMore = 1024;
  const std::vector<int64_t> rows = mapped_rows_by_arithmetic(plan, static_cast<int>(limit.size()));
  std::vector<int64_t> room(rows.size());
  for (size_t rank = 0; rank < rows.size(); ++rank)
    if (rows[rank] > 0) room[rank] = std::min(rows[rank] + rows[rank] / 10 + kMore, limit[rank]);
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  if (std::accumulate(room.begin(), room.end(), int64_t{0}) < all)
    fail("{} rows are to be held by the ranks that use them first, which have room for [{}]", all,
         fmt::join(room, ", "));
  return room;
}

void place_by_arithmetic(HolderMap& map, const Tables& tables, const ResolvedPlan& plan,
                         const std::vector<KeyRange>& ranges, bool within_room) {
  constexpr size_t kAtATime = 1 << 16;
  if (!map.leader()) return;
  std::vector<HolderMap::NewHolder> rows;
  const auto place = [&] {
    map.place(rows, within_room);
    rows.clear();
  };
  visit_mapped(plan, [&](int t, const ResolvedInterval& interval, const ResolvedOption& option, const TableRule& rule) {
    const Holders holders(rule.holders, option.rings[0]);
    const int64_t shift = tables.first_key(t);
    for (const KeyRange& range : ranges) {
      const int64_t end = std::min(range.end - shift, interval.last);
      for (int64_t position = std::max(range.first - shift, interval.first); position < end; ++position) {
        if (map.holder(position + shift) != HolderMap::kNobody) continue;
        rows.push_back({position + shift, holders.rank(position)});
        if (rows.size() == kAtATime) place();
      }
    }
  });
  place();
}

}  // namespace sparrow
