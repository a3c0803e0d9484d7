#include "synthetic/presets.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>

#include "base/error.hpp"
#include "synthetic/criteo_marginals.hpp"

namespace sparrow::placement {
namespace {

constexpr int64_t kCap40M = 40'000'000;
constexpr int64_t kMostRows = int64_t{1} << 40;
constexpr int64_t kMostTables = 10'000;

/// The fitted law of the values that are there, with the missing one among them.
Law law_of(const RankLaw& fitted, double missing) {
  Law law;
  law.head = head_probabilities(fitted);
  for (double& p : law.head) p *= 1 - missing;
  if (missing > 0) law.head.push_back(missing);
  std::sort(law.head.begin(), law.head.end(), std::greater<>());
  law.s1 = fitted.s1;
  law.r1 = fitted.r1;
  law.s2 = fitted.s2;
  return law;
}

template <class Columns, class Rows, class Missing>
std::vector<PresetTable> make_preset(const Columns& laws, const Rows& rows, const Missing& missing, int64_t cap) {
  std::vector<PresetTable> tables;
  for (size_t c = 0; c < kCriteoCategories; ++c)
    tables.push_back({fmt::format("C{}", c + 1), std::min(rows[c], cap), rows[c], law_of(laws[c], missing[c])});
  return tables;
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
  if (name == "criteo-kaggle") return make_preset(kKaggleLaws, kKaggleRows, kKaggleMissing, kMostRows);
  if (name != "criteo-terabyte" && name != "criteo-terabyte-40m") return {};
  auto tables =
      make_preset(kTerabyteLaws, kTerabyteRows, kTerabyteMissing, name == "criteo-terabyte-40m" ? kCap40M : kMostRows);
  for (size_t c = 0; c < tables.size(); ++c) tables[c].multi_hot = kTerabyteBagSizes[c];
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

}  // namespace sparrow::placement
