#include "synthetic/presets.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>

#include "base/error.hpp"
#include "synthetic/criteo_statistics.hpp"

namespace sparrow {

using placement::TableDistribution;

namespace {

constexpr int64_t kCap40M = 40'000'000;
constexpr int64_t kMostRows = int64_t{1} << 40;
constexpr int64_t kMostTables = 10'000;

/// The fitted law of the values that are there, with the missing one among them.
Law law_of(const RankLaw& fitted, double missing) {
  Law law{head_probabilities(fitted), fitted.s1, 0, fitted.r1, fitted.s2};
  for (double& p : law.head) p *= 1 - missing;
  if (missing > 0) law.head.push_back(missing);
  std::sort(law.head.begin(), law.head.end(), std::greater<>());
  return law;
}

int64_t parse_count(std::string_view text, std::string_view whole, int64_t most) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= 1 && value <= static_cast<double>(most)) ||
      value != std::floor(value))
    fail("tables \"{}\": \"{}\" is not a whole number from 1 to {}", whole, text, most);
  return static_cast<int64_t>(value);
}

}  // namespace

std::optional<std::vector<PresetTable>> find_preset(std::string_view name) {
  const bool terabyte = name.starts_with("criteo-terabyte"), capped = name == "criteo-terabyte-40m";
  if (!capped && name != "criteo-terabyte" && name != "criteo-kaggle") return {};
  const CriteoStatistics& criteo = terabyte ? terabyte_statistics() : kaggle_statistics();
  std::vector<PresetTable> tables;
  for (size_t c = 0; c < kCriteoTables; ++c) {
    const std::string column = fmt::format("C{}", c + 1);
    const int64_t rows = criteo.rows[c];
    tables.push_back({column, capped ? std::min(rows, kCap40M) : rows, rows,
                      law_of(criteo.columns[c], missing_rate(criteo, column)),
                      criteo.bag_sizes.empty() ? 1 : criteo.bag_sizes[c]});
  }
  return tables;
}

TableDistribution preset_distribution(const PresetTable& table) {
  const TableDistribution values = from_law(table.law, table.values);
  return table.rows < table.values ? folded(values, table.rows) : values;
}

TableDistribution folded(const TableDistribution& distribution, int64_t rows) {
  if (rows < 1) fail("distribution: folded to {} rows", rows);
  TableDistribution result;
  result.grouping_error = distribution.grouping_error;
  result.p.resize(distribution.p.size());
  std::vector<double> beyond(distribution.p.size(), 0);  // mass of the rows cut off, by group
  int64_t left = rows;
  for (size_t c = 0; c < distribution.classes(); ++c) {
    const int64_t kept = std::min(left, distribution.rows[c]);
    left -= kept;
    if (kept > 0) result.rows.push_back(kept);
    for (size_t g = 0; g < beyond.size(); ++g) {
      if (kept > 0) result.p[g].push_back(distribution.p[g][c]);
      beyond[g] += static_cast<double>(distribution.rows[c] - kept) * distribution.p[g][c];
    }
  }
  for (size_t g = 0; g < beyond.size(); ++g)
    for (double& p : result.p[g]) p = std::min(1.0, p + beyond[g] / static_cast<double>(rows - left));
  return result;
}

std::vector<int64_t> parse_table_rows(std::string_view text) {
  std::vector<int64_t> rows;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view item = text.substr(begin, end - begin);
    const size_t times = item.find('x');
    const int64_t repeated =
        times == std::string_view::npos ? 1 : parse_count(item.substr(0, times), text, kMostTables);
    const int64_t count = parse_count(times == std::string_view::npos ? item : item.substr(times + 1), text, kMostRows);
    if (std::ssize(rows) + repeated > kMostTables) fail("tables \"{}\": more than {}", text, kMostTables);
    rows.insert(rows.end(), repeated, count);
    begin = end + 1;
  }
  return rows;
}

}  // namespace sparrow
