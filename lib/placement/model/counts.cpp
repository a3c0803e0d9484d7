// Classes from counts: exact, or of a sample with Good-Turing mass for the rows never seen.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/error.hpp"
#include "placement/model/distribution.hpp"
#include "placement/model/good_turing.hpp"

namespace sparrow::placement {
namespace {

constexpr size_t kSmall = size_t{1} << 16, kWays = 4, kTogether = 16;

/// Bins by falling count, equal counts added up, empty ones dropped.
std::vector<CountBin> tidy(std::span<const CountBin> bins) {
  std::map<int64_t, int64_t, std::greater<>> by_count;
  for (const CountBin& bin : bins) {
    if (bin.count < 0 || bin.rows < 0) fail("counts: a bin of count {} with {} rows", bin.count, bin.rows);
    if (bin.rows > 0) by_count[bin.count] += bin.rows;
  }
  std::vector<CountBin> result;
  for (const auto& [count, rows] : by_count) result.push_back({count, rows});
  return result;
}

double lookups_of(const std::vector<CountBin>& bins) {
  double sum = 0;
  for (const CountBin& bin : bins) sum += static_cast<double>(bin.count) * static_cast<double>(bin.rows);
  return sum;
}

}  // namespace

int64_t TableDistribution::total_rows() const {
  return std::accumulate(rows.begin(), rows.end(), int64_t{0});
}

void validate(const TableDistribution& distribution, const std::string& what) {
  if (distribution.rows.empty()) fail("{}: no rows", what);
  if (distribution.p.empty()) fail("{}: no probabilities", what);
  double total = 0;
  for (int64_t n : distribution.rows) {
    if (n < 1) fail("{}: a class of {} rows", what, n);
    total += static_cast<double>(n);
  }
  if (total > 4e18) fail("{}: more rows than fit in 64 bits", what);
  for (size_t g = 0; g < distribution.p.size(); ++g) {
    if (distribution.p[g].size() != distribution.rows.size())
      fail("{}: group {} has {} probabilities for {} classes", what, g, distribution.p[g].size(),
           distribution.rows.size());
    double mass = 0;
    for (size_t c = 0; c < distribution.rows.size(); ++c) {
      const double p = distribution.p[g][c];
      if (!(p >= 0 && p <= 1)) fail("{}: class {} of group {} has probability {}", what, c, g, p);
      mass += static_cast<double>(distribution.rows[c]) * p;
    }
    if (mass > 1 + 1e-6) fail("{}: the probabilities of group {} sum to {}", what, g, mass);
  }
}

void CountHistogram::add(std::span<const int64_t> counts) {
  // Neighbouring rows often have the same count: numbers of their own, so that one need not wait for the other.
  if (small_.empty()) small_.assign(kWays * kSmall, 0);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (i % kTogether == 0 && i + kTogether <= counts.size()) {  // ids are often ranked: long runs of one count
      const int64_t first = counts[i];
      int64_t different = 0;
      for (size_t j = 0; j < kTogether; ++j) different |= counts[i + j] ^ first;
      if (different == 0 && static_cast<uint64_t>(first) < kSmall) {
        small_[first] += kTogether;
        i += kTogether - 1;
        continue;
      }
    }
    const auto count = static_cast<uint64_t>(counts[i]);  // negative ones are large
    if (count < kSmall) {
      ++small_[(i % kWays) * kSmall + count];
      continue;
    }
    if (counts[i] < 0) fail("counts: row {} was used {} times", rows_ + static_cast<int64_t>(i), counts[i]);
    large_.push_back(counts[i]);
  }
  rows_ += static_cast<int64_t>(counts.size());
}

std::vector<CountBin> CountHistogram::bins() const {
  std::vector<CountBin> all;
  for (int64_t count : large_) all.push_back({count, 1});
  for (size_t i = 0; i < small_.size(); ++i)
    if (small_[i] > 0) all.push_back({static_cast<int64_t>(i % kSmall), small_[i]});
  return tidy(all);
}

TableDistribution from_histogram(std::span<const CountBin> bins) {
  const std::vector<CountBin> sorted = tidy(bins);
  if (sorted.empty()) fail("counts: no rows");
  const double lookups = lookups_of(sorted);
  TableDistribution result;
  result.p.resize(1);
  for (const CountBin& bin : sorted) {
    result.rows.push_back(bin.rows);
    result.p[0].push_back(lookups > 0 ? static_cast<double>(bin.count) / lookups : 0);
  }
  return result;
}

TableDistribution from_sample(std::span<const CountBin> bins, int64_t total_rows) {
  std::vector<CountBin> sorted = tidy(bins);
  if (!sorted.empty() && sorted.back().count == 0) sorted.pop_back();
  int64_t seen = 0;
  for (const CountBin& bin : sorted) seen += bin.rows;
  if (total_rows < 1 || seen > total_rows) fail("counts: {} rows were seen in a table of {}", seen, total_rows);
  const int64_t unseen = total_rows - seen;
  TableDistribution result;
  result.p.resize(1);
  const double lookups = lookups_of(sorted);
  double unseen_mass = 0;
  if (unseen > 0) {  // N_1 / n, kept off 0 and 1 by half a lookup: a finite sample proves neither
    const double singles = !sorted.empty() && sorted.back().count == 1 ? static_cast<double>(sorted.back().rows) : 0;
    unseen_mass = seen == 0 ? 1 : std::clamp(singles / lookups, 0.5 / lookups, 1 - 0.5 / lookups);
  }
  const std::vector<double> adjusted = adjusted_counts(sorted);
  double sum = 0;
  for (size_t i = 0; i < sorted.size(); ++i) sum += adjusted[i] * static_cast<double>(sorted[i].rows);
  for (size_t i = 0; i < sorted.size(); ++i) {
    result.rows.push_back(sorted[i].rows);
    result.p[0].push_back((1 - unseen_mass) * adjusted[i] / sum);
  }
  if (unseen > 0) {
    result.rows.push_back(unseen);
    result.p[0].push_back(unseen_mass / static_cast<double>(unseen));
  }
  make_monotone(result.rows, result.p[0]);
  return result;
}

TableDistribution from_groups(std::span<const std::vector<double>> rows, std::span<const double> weights) {
  if (rows.empty() || rows.size() != weights.size())
    fail("distribution: {} groups with {} weights", rows.size(), weights.size());
  const size_t n = rows[0].size();
  for (const auto& group : rows)
    if (group.size() != n) fail("distribution: groups of {} and {} rows", n, group.size());
  std::map<std::pair<double, std::vector<double>>, int64_t, std::greater<>> classes;  // (mean, vector) -> rows
  for (size_t i = 0; i < n; ++i) {
    std::vector<double> p(rows.size());
    double mean = 0;
    for (size_t g = 0; g < rows.size(); ++g) mean += weights[g] * (p[g] = rows[g][i]);
    ++classes[{mean, std::move(p)}];
  }
  TableDistribution result;
  result.p.resize(rows.size());
  for (const auto& [key, count] : classes) {
    result.rows.push_back(count);
    for (size_t g = 0; g < rows.size(); ++g) result.p[g].push_back(key.second[g]);
  }
  return result;
}

TableDistribution merged(const TableDistribution& distribution, double ratio) {
  if (!(ratio >= 1)) fail("distribution: merging within a ratio of {}", ratio);
  TableDistribution result;
  const size_t groups = distribution.p.size();
  result.p.resize(groups);
  std::vector<double> low(groups), high(groups), mass(groups);
  int64_t rows = 0;
  double worst = 1;
  const auto flush = [&] {
    if (rows == 0) return;
    result.rows.push_back(rows);
    for (size_t g = 0; g < groups; ++g) {
      result.p[g].push_back(mass[g] / static_cast<double>(rows));
      if (low[g] > 0) worst = std::max(worst, high[g] / low[g]);
    }
    rows = 0;
  };
  for (size_t c = 0; c < distribution.classes(); ++c) {
    bool fits = rows > 0;
    for (size_t g = 0; g < groups && fits; ++g) {
      const double p = distribution.p[g][c];
      fits = std::max(high[g], p) <= ratio * std::min(low[g], p);
    }
    if (!fits) flush();
    for (size_t g = 0; g < groups; ++g) {
      const double p = distribution.p[g][c];
      low[g] = rows == 0 ? p : std::min(low[g], p);
      high[g] = rows == 0 ? p : std::max(high[g], p);
      mass[g] = (rows == 0 ? 0 : mass[g]) + p * static_cast<double>(distribution.rows[c]);
    }
    rows += distribution.rows[c];
  }
  flush();
  // Errors of successive merges add up: the mean of a merged class is itself a value at a mean.
  result.grouping_error = distribution.grouping_error + grouping_error_of(worst);
  return result;
}

}  // namespace sparrow::placement
