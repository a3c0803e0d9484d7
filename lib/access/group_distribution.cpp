// Classes from counts by access group.
#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "access/distributions.hpp"
#include "access/good_turing.hpp"
#include "base/error.hpp"

namespace sparrow {
namespace {

int64_t lookups_of(std::span<const GroupCountBin> bins, size_t group) {
  int64_t sum = 0;
  for (const GroupCountBin& bin : bins) sum += bin.lookups[group];
  return sum;
}

void check_bins(std::span<const GroupCountBin> bins) {
  if (bins.empty()) fail("counts by group: no rows");
  for (const GroupCountBin& bin : bins) {
    if (bin.rows < 1) fail("counts by group: a class of {} rows", bin.rows);
    if (bin.lookups.empty() || bin.lookups.size() != bins[0].lookups.size())
      fail("counts by group: {} and {} groups", bins[0].lookups.size(), bin.lookups.size());
    for (const int64_t lookups : bin.lookups)
      if (lookups < 0) fail("counts by group: a class was looked up {} times", lookups);
  }
}

/// Lookups of one row, rounded up from below 1: a class that was seen at all was seen.
int64_t count_of(const GroupCountBin& bin, size_t group) {
  if (bin.lookups[group] == 0) return 0;
  return std::max<int64_t>(1, (bin.lookups[group] + bin.rows / 2) / bin.rows);
}

/// How often other groups saw a row of the bin: 0, 1, 2, 3-4, 5-8, ...
size_t stratum_of(const GroupCountBin& bin, size_t group) {
  int64_t others = 0;
  for (size_t g = 0; g < bin.lookups.size(); ++g)
    if (g != group) others += bin.lookups[g];
  if (others == 0) return 0;
  const auto each = static_cast<uint64_t>(std::max<int64_t>(1, (others + bin.rows / 2) / bin.rows));
  return 1 + static_cast<size_t>(std::bit_width(each - 1));
}

/// Adjusted counts (Good-Turing) by count, falling with it.
std::map<int64_t, double> adjusted_by_count(std::span<const GroupCountBin> bins, size_t group) {
  std::map<int64_t, int64_t, std::greater<>> rows_of;
  for (const GroupCountBin& bin : bins)
    if (bin.lookups[group] > 0) rows_of[count_of(bin, group)] += bin.rows;
  Histogram histogram;
  std::vector<int64_t> rows;
  for (const auto& [count, n] : rows_of) {
    histogram.push_back({count, n});
    rows.push_back(n);
  }
  std::vector<double> adjusted = adjusted_counts(histogram);
  make_monotone(rows, adjusted);
  std::map<int64_t, double> result;
  for (size_t i = 0; i < histogram.size(); ++i) result[histogram[i].count] = adjusted[i];
  return result;
}

/// p of the classes that a group has seen, and of those that it has not, by stratum; sums to 1.
std::vector<double> sampled_group(std::span<const GroupCountBin> bins, size_t group) {
  const auto n = static_cast<double>(lookups_of(bins, group));
  const std::map<int64_t, double> adjusted = adjusted_by_count(bins, group);
  constexpr size_t kStrata = 66;
  std::vector<double> singles(kStrata, 0), unseen(kStrata, 0);  // rows
  for (const GroupCountBin& bin : bins) {
    const int64_t count = count_of(bin, group);
    if (count <= 1) (count == 1 ? singles : unseen)[stratum_of(bin, group)] += static_cast<double>(bin.rows);
  }
  // A row not seen is no likelier than one seen once, and half a lookup is kept for all those of whose kind none was
  // seen once: a finite sample does not prove that they never come.
  double unlikely = 0;  // rows
  for (size_t s = 0; s < kStrata; ++s)
    if (singles[s] == 0) unlikely += unseen[s];
  const double most = adjusted.begin()->first == 1 ? adjusted.begin()->second : 1;
  std::vector<double> unseen_p(kStrata, 0);
  double unseen_mass = 0;
  for (size_t s = 0; s < kStrata; ++s) {
    if (unseen[s] == 0) continue;
    unseen_p[s] = std::min(most, singles[s] > 0 ? singles[s] / unseen[s] : 0.5 / unlikely) / n;
    unseen_mass += unseen_p[s] * unseen[s];
  }
  const double kept = std::min(1.0, (1 - 0.5 / n) / unseen_mass);
  unseen_mass *= kept;

  std::vector<double> p;
  double seen_mass = 0;
  for (const GroupCountBin& bin : bins) {
    const int64_t count = count_of(bin, group);
    if (count == 0) {
      p.push_back(kept * unseen_p[stratum_of(bin, group)]);
      continue;
    }
    const double mean = static_cast<double>(bin.lookups[group]) / static_cast<double>(bin.rows);
    p.push_back(adjusted.at(count) * mean / static_cast<double>(count));
    seen_mass += p.back() * static_cast<double>(bin.rows);
  }
  for (size_t c = 0; c < bins.size(); ++c)
    if (bins[c].lookups[group] > 0) p[c] *= (1 - unseen_mass) / seen_mass;
  return p;
}

std::vector<double> counted_group(std::span<const GroupCountBin> bins, size_t group) {
  const auto n = static_cast<double>(lookups_of(bins, group));
  std::vector<double> p;
  for (const GroupCountBin& bin : bins)
    p.push_back(static_cast<double>(bin.lookups[group]) / n / static_cast<double>(bin.rows));
  return p;
}

}  // namespace

placement::TableDistribution from_group_counts(std::span<const GroupCountBin> bins, bool sampled, double ratio) {
  check_bins(bins);
  const auto probabilities = [&](std::span<const GroupCountBin> list, size_t group) {
    if (lookups_of(list, group) > 0) return sampled ? sampled_group(list, group) : counted_group(list, group);
    double rows = 0;
    for (const GroupCountBin& bin : list) rows += static_cast<double>(bin.rows);
    return std::vector<double>(list.size(), sampled ? 1 / rows : 0.0);
  };
  placement::TableDistribution result;
  result.grouping_error = placement::grouping_error_of(ratio);
  for (const GroupCountBin& bin : bins) result.rows.push_back(bin.rows);
  std::vector<double> together;
  for (size_t g = 0; g < bins[0].lookups.size(); ++g) {
    if (lookups_of(bins, g) > 0) {
      result.p.push_back(probabilities(bins, g));
      continue;
    }
    if (together.empty()) {
      std::vector<GroupCountBin> all;
      for (const GroupCountBin& bin : bins) {
        all.push_back({bin.rows, {0}});
        for (const int64_t lookups : bin.lookups) all.back().lookups[0] += lookups;
      }
      together = probabilities(all, 0);
    }
    result.p.push_back(together);
  }
  return result;
}

}  // namespace sparrow
