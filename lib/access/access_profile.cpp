#include "access/access_profile.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <tuple>

#include "base/error.hpp"

namespace sparrow {

namespace {

/// Counts by access group.
using Counts = std::vector<double>;

/// A range of positions, its lookups, and the rows in it whose own counts are known.
struct CountedRange {
  int64_t first, end;
  Counts lookups;
  std::vector<std::pair<int64_t, Counts>> known;
};

/// Ranges of the head: single rows first, then eight to the octave; cut where `cuts` says.
void append_head_ranges(std::span<const AccessCounter> groups, int table, std::span<const int64_t> cuts,
                        std::vector<CountedRange>& ranges) {
  const auto rows = static_cast<int64_t>(groups[0].head(table).size());
  auto cut = cuts.begin();
  for (int64_t first = 0; first < rows;) {
    cut = std::upper_bound(cut, cuts.end(), first);
    int64_t end = std::min(rows, first + std::max<int64_t>(1, first / 8));
    if (cut != cuts.end()) end = std::min(end, *cut);
    CountedRange range{first, end, Counts(groups.size(), 0), {}};
    for (int64_t i = first; i < end; ++i) {
      Counts& counts = range.known.emplace_back(i, Counts()).second;
      for (size_t g = 0; g < groups.size(); ++g) range.lookups[g] += counts.emplace_back(groups[g].head(table)[i]);
    }
    ranges.push_back(std::move(range));
    first = end;
  }
}

void append_tail_ranges(std::span<const AccessCounter> groups, int table, std::vector<CountedRange>& ranges) {
  std::map<int64_t, Counts> tracked;  // 0 where a group does not track the row
  std::vector<CountedRange> tail;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const auto& [position, count] : groups[g].tracked(table).rows()) {
      Counts& counts = tracked[position];
      counts.resize(groups.size());
      counts[g] = count;
    }
    size_t i = 0;
    for (const AccessCounter::Range& counted : groups[g].ranges(table)) {
      if (g == 0) tail.push_back({counted.first, counted.end, Counts(groups.size(), 0), {}});
      tail[i++].lookups[g] = counted.lookups;
    }
  }
  auto next = tracked.begin();
  for (CountedRange& range : tail) {
    for (; next != tracked.end() && next->first < range.end; ++next) range.known.push_back(*next);
    ranges.push_back(std::move(range));
  }
}

bool deviates(double count, double mean) {
  const double chance = kDeviations * std::sqrt(mean) + kDeviations;
  return std::abs(count - mean) > chance && (count > 2 * mean || count < mean / 2);
}

/// A row that is not like its range in some group.
struct Single {
  int64_t position;
  Counts counts;
  double deviation;
  size_t range;
};

/// The singles of a range, told from the mean counts of its other rows, found in a few rounds.
std::vector<Single> find_singles(const CountedRange& range, size_t number) {
  std::vector<Single> singles;
  if (range.end - range.first == 1) return singles;
  const size_t groups = range.lookups.size();
  Counts mean;
  for (const double lookups : range.lookups) mean.push_back(lookups / static_cast<double>(range.end - range.first));
  for (int round = 0; round < 4; ++round) {
    singles.clear();
    Counts lookups = range.lookups;
    for (const auto& [position, counts] : range.known) {
      bool single = false;
      double deviation = 0;
      for (size_t g = 0; g < groups; ++g) {
        single = single || deviates(counts[g], mean[g]);
        deviation += std::abs(counts[g] - mean[g]);
      }
      if (!single) continue;
      singles.push_back({position, counts, deviation, number});
      for (size_t g = 0; g < groups; ++g) lookups[g] -= counts[g];
    }
    const int64_t left = range.end - range.first - static_cast<int64_t>(singles.size());
    Counts mean_of_left;
    for (const double remaining : lookups)
      mean_of_left.push_back(left > 0 ? std::max(0.0, remaining) / static_cast<double>(left) : 0);
    if (mean_of_left == mean) break;
    mean = std::move(mean_of_left);
  }
  return singles;
}

/// What is added to the mean of rows that were not seen, for they may still come: half a lookup for each range, or, of
/// many groups that each leave most ranges alone, half a lookup for all those that the group has not seen.
Counts unseen_counts(std::span<const CountedRange> ranges, size_t groups) {
  Counts rows(groups, 0);
  for (const CountedRange& range : ranges)
    for (size_t g = 0; g < groups; ++g)
      if (range.lookups[g] == 0) rows[g] += static_cast<double>(range.end - range.first);
  for (double& count : rows) count = count > 0 ? 0.5 / count : 0;
  return rows;
}

/// The cells of a range, given its singles (by position).
void append_cells(const CountedRange& range, std::span<const Single> singles, const Counts& unseen,
                  std::vector<AccessCell>& cells) {
  Counts mean = range.lookups;
  const int64_t left = range.end - range.first - static_cast<int64_t>(singles.size());
  for (size_t g = 0; g < mean.size(); ++g) {
    for (const Single& single : singles) mean[g] -= single.counts[g];
    const double more = mean.size() == 1 ? 0.5 : range.lookups[g] == 0 ? unseen[g] * static_cast<double>(left) : 0;
    mean[g] = left > 0 ? (std::max(0.0, mean[g]) + more) / static_cast<double>(left) : 0;
  }
  int64_t from = range.first;
  for (const Single& single : singles) {
    if (from < single.position) cells.push_back({from, single.position, mean});
    cells.push_back({single.position, single.position + 1, single.counts});
    for (size_t g = 0; g < mean.size(); ++g) cells.back().p[g] = std::max(single.counts[g], mean[g] * 1e-3);
    from = single.position + 1;
  }
  if (from < range.end) cells.push_back({from, range.end, mean});
}

/// Cells of the same probabilities, in the order of classes: by who uses a row, then by falling use, as positions are
/// made (access/group_counts.hpp).
struct ClassKey {
  uint64_t users = 0;
  double use = 0;
  Counts p;

  explicit ClassKey(Counts probabilities) : p(std::move(probabilities)) {
    constexpr double kUses = 4;
    const double most = *std::max_element(p.begin(), p.end());
    for (const double one : p) {
      users = 2 * users + (kUses * one >= most ? 1 : 0);
      use += one;
    }
  }
  bool operator<(const ClassKey& other) const {
    const int here = std::popcount(users), there = std::popcount(other.users);
    return std::tie(there, other.users, other.use, other.p) < std::tie(here, users, use, p);
  }
};

/// Makes probabilities of the counts of the cells, and classes of those.
void make_classes(AccessProfile& profile, size_t groups) {
  Counts sum(groups, 0);
  for (const AccessCell& cell : profile.cells)
    for (size_t g = 0; g < groups; ++g) sum[g] += cell.p[g] * static_cast<double>(cell.end - cell.first);
  std::map<ClassKey, std::vector<int>> classes;
  for (size_t c = 0; c < profile.cells.size(); ++c) {
    for (size_t g = 0; g < groups; ++g) profile.cells[c].p[g] /= sum[g];
    classes[ClassKey(profile.cells[c].p)].push_back(static_cast<int>(c));
  }
  profile.distribution.p.resize(groups);
  for (auto& [key, cells] : classes) {
    int64_t of_class = 0;
    for (const int c : cells) of_class += profile.cells[c].end - profile.cells[c].first;
    profile.distribution.rows.push_back(of_class);
    for (size_t g = 0; g < groups; ++g) profile.distribution.p[g].push_back(key.p[g]);
    profile.cells_of_class.push_back(std::move(cells));
  }
}

}  // namespace

AccessProfile make_profile(std::span<const AccessCounter> groups, int table, int64_t rows,
                           std::span<const int64_t> cuts) {
  SPARROW_CHECK(!groups.empty() && groups.size() <= 64, "counts of {} access groups", groups.size());
  std::vector<CountedRange> ranges;
  append_head_ranges(groups, table, cuts, ranges);
  append_tail_ranges(groups, table, ranges);
  std::vector<Single> singles;
  for (size_t i = 0; i < ranges.size(); ++i)
    for (Single& single : find_singles(ranges[i], i)) singles.push_back(std::move(single));
  if (singles.size() > kMostSingleCells) {
    std::stable_sort(singles.begin(), singles.end(),
                     [](const Single& a, const Single& b) { return a.deviation > b.deviation; });
    singles.erase(singles.begin() + kMostSingleCells, singles.end());
    std::sort(singles.begin(), singles.end(), [](const Single& a, const Single& b) { return a.position < b.position; });
  }
  AccessProfile profile;
  const Counts unseen = unseen_counts(ranges, groups.size());
  size_t next = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const size_t begin = next;
    while (next < singles.size() && singles[next].range == i) ++next;
    append_cells(ranges[i], std::span(singles).subspan(begin, next - begin), unseen, profile.cells);
  }
  SPARROW_CHECK(!profile.cells.empty() && profile.cells.back().end == rows);
  make_classes(profile, groups.size());
  return profile;
}

}  // namespace sparrow
