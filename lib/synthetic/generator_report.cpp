#include "synthetic/generator_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/text_file.hpp"

namespace sparrow {
namespace {

constexpr int64_t kBatch = 2048;
constexpr int64_t kLeastForIntegers = 2000;

uint64_t pair_of(size_t column, uint32_t value) {
  return static_cast<uint64_t>(column) << 32 | value;
}

/// `found` may be off by 5 % of what was measured.
ReportRow within_5_percent(std::string name, double measured, double found) {
  return {std::move(name), measured, found, 0.05 * measured};
}

/// Four standard errors of the difference of two shares near p, from n and m samples.
double four_errors(double p, int64_t n, int64_t m) {
  return 4 * std::sqrt(p * (1 - p) * (1 / static_cast<double>(n) + 1 / static_cast<double>(m)));
}

void compare_batches(const RawSamples& samples, const MeasuredFigures& measured, std::vector<ReportRow>& rows) {
  const int64_t batches = samples.size() / kBatch;
  if (batches < 2) return;
  double distinct = 0, hits = 0;
  std::unordered_set<uint64_t> before, now;
  for (int64_t b = 0; b < batches; ++b) {
    std::swap(before, now);
    now.clear();
    for (size_t c = 0; c < kCriteoTables; ++c) {
      for (int64_t i = b * kBatch; i < (b + 1) * kBatch; ++i) {
        const uint64_t pair = pair_of(c, samples.categories[c][i]);
        now.insert(pair);
        hits += static_cast<double>(before.contains(pair));
      }
    }
    distinct += static_cast<double>(now.size());
  }
  const double accesses = static_cast<double>(kBatch * kCriteoTables);
  distinct /= accesses * static_cast<double>(batches);
  hits /= accesses * static_cast<double>(batches - 1);
  rows.push_back(within_5_percent("distinct / total, batch 2,048", measured.distinct_over_total, distinct));
  rows.push_back(within_5_percent("accesses that the batch before had", measured.hits_in_previous, hits));
}

/// The profile and the held-out samples have to be as many as when it was measured: the share grows with the profile.
void compare_top_shares(const RawSamples& samples, const MeasuredFigures& measured, std::vector<ReportRow>& rows) {
  const int64_t n = std::min(samples.size(), measured.rows);
  if (n < measured.rows * 95 / 100) return;
  std::unordered_map<uint64_t, int64_t> counts;
  for (size_t c = 0; c < kCriteoTables; ++c)
    for (int64_t i = 0; i < n; i += 2) ++counts[pair_of(c, samples.categories[c][i])];
  std::vector<std::pair<int64_t, uint64_t>> order;
  for (const auto& [pair, count] : counts) order.emplace_back(-count, pair);
  std::sort(order.begin(), order.end());
  std::unordered_map<uint64_t, int64_t> place;
  for (size_t i = 0; i < order.size(); ++i) place[order[i].second] = static_cast<int64_t>(i);

  constexpr std::array<int64_t, 3> kTop{100, 1000, 10000};
  std::array<int64_t, 3> hits{};
  for (size_t c = 0; c < kCriteoTables; ++c) {
    for (int64_t i = 1; i < n; i += 2) {
      const auto found = place.find(pair_of(c, samples.categories[c][i]));
      for (size_t k = 0; k < kTop.size(); ++k) hits[k] += found != place.end() && found->second < kTop[k];
    }
  }
  for (size_t k = 0; k < kTop.size(); ++k) {
    if (measured.top_shares[k] == 0) continue;
    const double share = static_cast<double>(hits[k]) / static_cast<double>(n / 2 * kCriteoTables);
    rows.push_back(within_5_percent(fmt::format("share of the top {}", kTop[k]), measured.top_shares[k], share));
  }
}

/// A missing value is a value here: a chain's columns are missing together.
void compare_functions(const RawSamples& samples, const CriteoStatistics& statistics, std::vector<ReportRow>& rows) {
  for (const ColumnFunction& f : statistics.functions) {
    const auto& fine = samples.categories[column_index(f.fine)];
    const auto& coarse = samples.categories[column_index(f.coarse)];
    std::unordered_map<uint32_t, uint32_t> value;
    int64_t contradictions = 0;
    for (size_t i = 0; i < fine.size(); ++i)
      contradictions += value.try_emplace(fine[i], coarse[i]).first->second != coarse[i];
    const double exceptions = f.exceptions * static_cast<double>(fine.size());
    rows.push_back({fmt::format("{} -> {}: contradictions", f.fine, f.coarse), exceptions,
                    static_cast<double>(contradictions), 2 * exceptions});
  }
}

void compare_rates(const RawSamples& samples, const CriteoStatistics& statistics, std::vector<ReportRow>& rows) {
  const auto n = samples.size();
  const auto share = [n](int64_t count) { return static_cast<double>(count) / static_cast<double>(n); };
  const double clicks = share(std::accumulate(samples.labels.begin(), samples.labels.end(), int64_t{0}));
  rows.push_back({"clicks", statistics.clicks, clicks,
                  0.05 * statistics.clicks + four_errors(statistics.clicks, n, statistics.measured.rows)});
  for (const MissingGroup& group : statistics.missing) {
    // The columns of a group are missing together, so a sample with some of them is one too many.
    double worst = group.rate;
    for (const std::string_view name : words_of(group.columns)) {
      const auto column = static_cast<size_t>(column_index(name));
      int64_t missing = 0;
      if (name[0] == 'C') missing = std::ranges::count(samples.categories[column], 0u);
      if (name[0] == 'I') {
        if (!samples.has_integers) continue;
        for (const uint16_t bits : samples.missing_integers) missing += bits >> column & 1;
      }
      if (std::abs(share(missing) - group.rate) >= std::abs(worst - group.rate)) worst = share(missing);
    }
    if (group.columns[0] == 'I' && !samples.has_integers) continue;
    rows.push_back({fmt::format("{} missing", group.columns), group.rate, worst,
                    0.03 * group.rate + four_errors(group.rate, n, statistics.measured.rows)});
  }
}

/// How far a measured quantile at `level` is off, as a share of the sorted values; 0 if equal values reach across the
/// level.
double distance(const std::vector<int64_t>& sorted, double quantile, double level) {
  const auto [low, high] = std::equal_range(sorted.begin(), sorted.end(), quantile, [](auto a, auto b) {
    return static_cast<double>(a) < static_cast<double>(b);
  });
  const double n = static_cast<double>(sorted.size());
  const double below = static_cast<double>(low - sorted.begin()) / n,
               up_to = static_cast<double>(high - sorted.begin()) / n;
  return std::max({0.0, below - level, level - up_to});
}

void compare_quantiles(const RawSamples& samples, const CriteoStatistics& statistics, std::vector<ReportRow>& rows) {
  const MeasuredFigures& measured = statistics.measured;
  for (size_t i = 0; i < kCriteoDense; ++i) {
    const std::string name = fmt::format("I{}", i + 1);
    std::vector<int64_t> present;
    for (size_t k = 0; k < samples.missing_integers.size(); ++k)
      if ((samples.missing_integers[k] >> i & 1) == 0) present.push_back(samples.integers[i][k]);
    if (std::ssize(present) < kLeastForIntegers) continue;
    std::sort(present.begin(), present.end());
    double worst = 0;
    for (size_t q = 0; q < kQuantileLevels.size(); ++q)
      worst = std::max(worst, distance(present, measured.quantiles[i][q], kQuantileLevels[q]));
    const auto of_measured =
        static_cast<int64_t>(static_cast<double>(measured.rows) * (1 - missing_rate(statistics, name)));
    rows.push_back(
        {name + " quantiles, worst distance", 0, worst, 0.01 + four_errors(0.5, std::ssize(present), of_measured)});
  }
}

/// Ranks of the values, equal ones with the mean of theirs.
std::vector<double> ranks_of(const std::vector<int64_t>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t first = 0, last = 0; first < order.size(); first = last) {
    while (last < order.size() && values[order[last]] == values[order[first]]) ++last;
    for (size_t k = first; k < last; ++k) ranks[order[k]] = static_cast<double>(first + last - 1) / 2;
  }
  return ranks;
}

double spearman(const RawSamples& samples, size_t i, size_t j) {
  std::vector<int64_t> a, b;
  for (size_t k = 0; k < samples.missing_integers.size(); ++k) {
    if ((samples.missing_integers[k] & (1u << i | 1u << j)) != 0) continue;
    a.push_back(samples.integers[i][k]);
    b.push_back(samples.integers[j][k]);
  }
  if (std::ssize(a) < kLeastForIntegers) return std::nan("");
  const std::vector<double> ra = ranks_of(a), rb = ranks_of(b);
  const double mean = static_cast<double>(a.size() - 1) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (size_t k = 0; k < ra.size(); ++k) {
    ab += (ra[k] - mean) * (rb[k] - mean);
    aa += (ra[k] - mean) * (ra[k] - mean);
    bb += (rb[k] - mean) * (rb[k] - mean);
  }
  return ab / std::sqrt(aa * bb);
}

void compare_correlations(const RawSamples& samples, const MeasuredFigures& measured, std::vector<ReportRow>& rows) {
  std::optional<ReportRow> worst;
  for (size_t i = 0; i < kCriteoDense; ++i)
    for (size_t j = 0; j < i; ++j) {
      const double expected = measured.spearman[i][j], found = spearman(samples, i, j);
      if (!std::isnan(found) && (!worst || std::abs(found - expected) > std::abs(worst->found - worst->measured)))
        worst = {fmt::format("worst rank correlation (I{}, I{})", j + 1, i + 1), expected, found, 0.06};
    }
  if (worst) rows.push_back(*worst);
}

}  // namespace

std::vector<ReportRow> compare(const RawSamples& samples, const CriteoStatistics& statistics) {
  std::vector<ReportRow> rows;
  compare_batches(samples, statistics.measured, rows);
  compare_top_shares(samples, statistics.measured, rows);
  compare_functions(samples, statistics, rows);
  compare_rates(samples, statistics, rows);
  if (samples.has_integers) {
    compare_quantiles(samples, statistics, rows);
    compare_correlations(samples, statistics.measured, rows);
  }
  return rows;
}

std::string format_report(const std::vector<ReportRow>& rows) {
  std::string text = fmt::format("{:<38} {:>9} {:>9} {:>10} {:>9}\n", "", "measured", "found", "deviation", "allowed");
  for (const ReportRow& row : rows)
    text += fmt::format("{:<38} {:>9.4f} {:>9.4f} {:>+10.4f} {:>9.4f}{}\n", row.name, row.measured, row.found,
                        row.found - row.measured, row.allowed, row.holds() ? "" : "  too far");
  return text;
}

void write_report(const std::vector<ReportRow>& rows, int64_t samples, std::string_view like, const std::string& path) {
  nlohmann::ordered_json lines = nlohmann::ordered_json::array();
  for (const ReportRow& row : rows)
    lines.push_back({{"name", row.name},
                     {"measured", row.measured},
                     {"found", row.found},
                     {"allowed", row.allowed},
                     {"holds", row.holds()}});
  const nlohmann::ordered_json report{{"like", like}, {"samples", samples}, {"rows", lines}};
  write_text_file(path, report.dump(1) + "\n");
}

}  // namespace sparrow
