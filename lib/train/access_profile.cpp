#include "train/access_profile.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "base/error.hpp"

namespace sparrow {

namespace {

/// A range of positions, its lookups, and the rows in it whose own counts are known.
struct CountedRange {
  int64_t first, end;
  double lookups;
  std::vector<std::pair<int64_t, double>> known;
};

/// Ranges of the head: single rows first, then eight to the octave.
std::vector<CountedRange> head_ranges(const AccessCounter& counter, int table) {
  const auto head = counter.head(table);
  const auto rows = static_cast<int64_t>(head.size());
  std::vector<CountedRange> ranges;
  for (int64_t first = 0; first < rows;) {
    const int64_t end = std::min(rows, first + std::max<int64_t>(1, first / 8));
    CountedRange range{first, end, 0, {}};
    for (int64_t i = first; i < end; ++i) {
      range.lookups += head[static_cast<size_t>(i)];
      range.known.emplace_back(i, head[static_cast<size_t>(i)]);
    }
    ranges.push_back(std::move(range));
    first = end;
  }
  return ranges;
}

std::vector<CountedRange> tail_ranges(const AccessCounter& counter, int table) {
  std::vector<CountedRange> ranges;
  const auto tracked = counter.tracked(table).rows();
  auto next = tracked.begin();
  for (const AccessCounter::Range& of : counter.ranges(table)) {
    CountedRange range{of.first, of.end, of.lookups, {}};
    for (; next != tracked.end() && next->first < of.end; ++next) range.known.push_back(*next);
    ranges.push_back(std::move(range));
  }
  return ranges;
}

bool deviates(double count, double mean) {
  const double chance = kDeviations * std::sqrt(mean) + kDeviations;
  return std::abs(count - mean) > chance && (count > 2 * mean || count < mean / 2);
}

/// A row that is not like its range.
struct Single {
  int64_t position;
  double count, deviation;
  size_t range;
};

/// The mean count of a range's other rows, and its singles: the mean is of those left, found in a few rounds.
std::vector<Single> find_singles(const CountedRange& range, size_t number) {
  std::vector<Single> singles;
  double mean = range.lookups / static_cast<double>(range.end - range.first);
  if (range.end - range.first == 1) return singles;
  for (int round = 0; round < 4; ++round) {
    singles.clear();
    double lookups = range.lookups;
    for (const auto& [position, count] : range.known)
      if (deviates(count, mean)) {
        singles.push_back({position, count, std::abs(count - mean), number});
        lookups -= count;
      }
    const int64_t left = range.end - range.first - static_cast<int64_t>(singles.size());
    const double mean_of_left = left > 0 ? std::max(0.0, lookups) / static_cast<double>(left) : 0;
    if (mean_of_left == mean) break;
    mean = mean_of_left;
  }
  return singles;
}

/// The cells of a range, given its singles (by position).
void append_cells(const CountedRange& range, std::span<const Single> singles, std::vector<AccessCell>& cells) {
  double lookups = range.lookups;
  for (const Single& single : singles) lookups -= single.count;
  const int64_t left = range.end - range.first - static_cast<int64_t>(singles.size());
  // Half a lookup more: a row that was not seen in so many lookups may still come.
  const double mean = left > 0 ? (std::max(0.0, lookups) + 0.5) / static_cast<double>(left) : 0;
  int64_t from = range.first;
  for (const Single& single : singles) {
    if (from < single.position) cells.push_back({from, single.position, mean});
    cells.push_back({single.position, single.position + 1, std::max(single.count, mean * 1e-3)});
    from = single.position + 1;
  }
  if (from < range.end) cells.push_back({from, range.end, mean});
}

}  // namespace

AccessProfile make_profile(const AccessCounter& counter, int table, int64_t rows) {
  std::vector<CountedRange> ranges = head_ranges(counter, table);
  for (CountedRange& range : tail_ranges(counter, table)) ranges.push_back(std::move(range));
  std::vector<Single> singles;
  for (size_t i = 0; i < ranges.size(); ++i)
    for (const Single& single : find_singles(ranges[i], i)) singles.push_back(single);
  if (singles.size() > kMostSingleCells) {
    std::stable_sort(singles.begin(), singles.end(),
                     [](const Single& a, const Single& b) { return a.deviation > b.deviation; });
    singles.resize(kMostSingleCells);
    std::sort(singles.begin(), singles.end(), [](const Single& a, const Single& b) { return a.position < b.position; });
  }
  AccessProfile profile;
  size_t next = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const size_t begin = next;
    while (next < singles.size() && singles[next].range == i) ++next;
    append_cells(ranges[i], std::span(singles).subspan(begin, next - begin), profile.cells);
  }
  SPARROW_CHECK(!profile.cells.empty() && profile.cells.back().end == rows);

  double sum = 0;
  for (const AccessCell& cell : profile.cells) sum += cell.p * static_cast<double>(cell.end - cell.first);
  std::map<double, std::vector<int>, std::greater<>> classes;
  for (size_t c = 0; c < profile.cells.size(); ++c) {
    profile.cells[c].p /= sum;
    classes[profile.cells[c].p].push_back(static_cast<int>(c));
  }
  profile.distribution.p.resize(1);
  for (auto& [p, cells] : classes) {
    int64_t of_class = 0;
    for (const int c : cells)
      of_class += profile.cells[static_cast<size_t>(c)].end - profile.cells[static_cast<size_t>(c)].first;
    profile.distribution.rows.push_back(of_class);
    profile.distribution.p[0].push_back(p);
    profile.cells_of_class.push_back(std::move(cells));
  }
  return profile;
}

namespace {

/// The intervals of a table with its exceptions among them.
std::vector<placement::Interval> all_intervals(const placement::TablePlan& table) {
  std::vector<placement::Interval> list;
  size_t next = 0;
  for (const placement::Interval& interval : table.intervals) {
    int64_t from = interval.first;
    for (; next < table.exceptions.size() && table.exceptions[next].position < interval.last; ++next) {
      const placement::Exception& exception = table.exceptions[next];
      if (from < exception.position) list.push_back({from, exception.position, interval.option});
      list.push_back({exception.position, exception.position + 1, exception.option});
      from = exception.position + 1;
    }
    if (from < interval.last) list.push_back({from, interval.last, interval.option});
  }
  return list;
}

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
    const std::vector<placement::Interval> intervals = all_intervals(plan.tables[t]);
    for (size_t c = 0; c < profiles[t].cells_of_class.size(); ++c) {
      std::vector<double> rows(plan.options.size());
      for (const int cell : profiles[t].cells_of_class[c])
        for_parts(intervals, profiles[t].cells[static_cast<size_t>(cell)].first,
                  profiles[t].cells[static_cast<size_t>(cell)].end, [&](int64_t first, int64_t end, int option) {
                    rows[static_cast<size_t>(option)] += static_cast<double>(end - first);
                  });
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
    const int same = same_option[static_cast<size_t>(part.option)];
    const int64_t kept = same < 0 ? 0 : std::min(quota[static_cast<size_t>(same)], part.last - part.first);
    if (kept > 0) {
      result.push_back({part.first, part.first + kept, same});
      quota[static_cast<size_t>(same)] -= kept;
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
    const std::vector<placement::Interval> before = all_intervals(current.tables[t]);
    const std::vector<placement::Interval> wanted = all_intervals(ranked.tables[t]);
    std::vector<placement::Interval> result;
    int64_t rank = 0;
    for (size_t c = 0; c < profile.cells_of_class.size(); ++c) {
      std::vector<int64_t> quota(ranked.options.size());
      for_parts(wanted, rank, rank + profile.distribution.rows[c],
                [&](int64_t first, int64_t end, int option) { quota[static_cast<size_t>(option)] += end - first; });
      rank += profile.distribution.rows[c];
      std::vector<placement::Interval> parts;
      for (const int cell : profile.cells_of_class[c])
        for_parts(before, profile.cells[static_cast<size_t>(cell)].first, profile.cells[static_cast<size_t>(cell)].end,
                  [&](int64_t first, int64_t end, int option) {
                    parts.push_back({first, end, option});
                  });
      assign_class(parts, same_option, std::move(quota), result);
    }
    std::sort(result.begin(), result.end(),
              [](const placement::Interval& a, const placement::Interval& b) { return a.first < b.first; });
    placement::TablePlan& table = plan.tables[t];
    table.intervals.clear();
    table.exceptions.clear();
    for (const placement::Interval& interval : result) {
      if (!table.intervals.empty() && table.intervals.back().option == interval.option)
        table.intervals.back().last = interval.last;
      else
        table.intervals.push_back(interval);
    }
    if (table.holder_slot < 0 && current.tables[t].holder_slot < 0) table.offset = current.tables[t].offset;
  }
  return plan;
}

}  // namespace sparrow
