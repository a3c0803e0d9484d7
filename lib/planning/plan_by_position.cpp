#include "planning/plan_by_position.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace sparrow {

namespace {

/// Calls action(first, end, option) for the parts of [first, end) under `intervals`.
template <class Action>
void for_parts(const std::vector<placement::Interval>& intervals, int64_t first, int64_t end, const Action& action) {
  auto at = std::partition_point(intervals.begin(), intervals.end(),
                                 [&](const placement::Interval& i) { return i.last <= first; });
  for (; at != intervals.end() && at->first < end; ++at)
    action(std::max(first, at->first), std::min(end, at->last), at->option);
}

}  // namespace

placement::Placement placement_by_class(const placement::Plan& plan, const std::vector<AccessProfile>& profiles) {
  SPARROW_CHECK(plan.tables.size() == profiles.size());
  placement::Placement placed;
  placed.options = plan.options;
  for (size_t t = 0; t < profiles.size(); ++t) {
    placement::TablePlacement table;
    table.transport = plan.tables[t].transport;
    const std::vector<placement::Interval>& intervals = plan.tables[t].intervals;
    for (size_t c = 0; c < profiles[t].cells_of_class.size(); ++c) {
      std::vector<double> rows(plan.options.size());
      for (const int cell : profiles[t].cells_of_class[c])
        for_parts(intervals, profiles[t].cells[cell].first, profiles[t].cells[cell].end,
                  [&](int64_t first, int64_t end, int option) { rows[option] += static_cast<double>(end - first); });
      for (size_t o = 0; o < rows.size(); ++o)
        if (rows[o] > 0) table.shares.push_back({static_cast<int32_t>(c), static_cast<int32_t>(o), rows[o]});
    }
    placed.tables.push_back(std::move(table));
  }
  return placed;
}

namespace {

/// Shares out the rows of one class: `quota` rows of each option of the new plan, first to rows that have it.
void assign_class(const std::vector<placement::Interval>& parts, const std::vector<int>& same_option,
                  std::vector<int64_t> quota, std::vector<placement::Interval>& result) {
  std::vector<placement::Interval> rest;
  for (const placement::Interval& part : parts) {
    const int same = same_option[part.option];
    const int64_t kept = same < 0 ? 0 : std::min(quota[same], part.last - part.first);
    if (kept > 0) {
      result.push_back({part.first, part.first + kept, same});
      quota[same] -= kept;
    }
    if (part.first + kept < part.last) rest.push_back({part.first + kept, part.last, -1});
  }
  size_t option = 0;
  for (placement::Interval part : rest)
    while (part.first < part.last) {
      while (quota[option] == 0) ++option;
      const int64_t n = std::min(quota[option], part.last - part.first);
      result.push_back({part.first, part.first + n, static_cast<int>(option)});
      quota[option] -= n;
      part.first += n;
    }
}

}  // namespace

placement::Plan by_position(const placement::Plan& ranked, const std::vector<AccessProfile>& profiles,
                            const placement::Plan& current) {
  SPARROW_CHECK(ranked.tables.size() == profiles.size() && current.tables.size() == profiles.size());
  std::vector<int> same_option;  // of the current plan's options in the new one
  for (const placement::Option& option : current.options) {
    const auto found = std::find(ranked.options.begin(), ranked.options.end(), option);
    same_option.push_back(found == ranked.options.end() ? -1 : static_cast<int>(found - ranked.options.begin()));
  }
  placement::Plan plan = ranked;
  for (size_t t = 0; t < profiles.size(); ++t) {
    const AccessProfile& profile = profiles[t];
    const std::vector<placement::Interval>& before = current.tables[t].intervals;
    const std::vector<placement::Interval>& wanted = ranked.tables[t].intervals;
    std::vector<placement::Interval> result;
    int64_t rank = 0;
    for (size_t c = 0; c < profile.cells_of_class.size(); ++c) {
      std::vector<int64_t> quota(ranked.options.size());
      for_parts(wanted, rank, rank + profile.distribution.rows[c],
                [&](int64_t first, int64_t end, int option) { quota[option] += end - first; });
      rank += profile.distribution.rows[c];
      std::vector<placement::Interval> parts;
      for (const int cell : profile.cells_of_class[c])
        for_parts(before, profile.cells[cell].first, profile.cells[cell].end,
                  [&](int64_t first, int64_t end, int option) {
                    parts.push_back({first, end, option});
                  });
      assign_class(parts, same_option, std::move(quota), result);
    }
    std::sort(result.begin(), result.end(),
              [](const placement::Interval& a, const placement::Interval& b) { return a.first < b.first; });
    placement::TablePlan& table = plan.tables[t];
    table.intervals.clear();
    for (const placement::Interval& interval : result) {
      if (!table.intervals.empty() && table.intervals.back().option == interval.option)
        table.intervals.back().last = interval.last;
      else
        table.intervals.push_back(interval);
    }
    const placement::HolderRule& now = current.tables[t].holders;
    if (table.holders.fixed < 0 && now.fixed < 0) table.holders = now;
  }
  return plan;
}

}  // namespace sparrow
