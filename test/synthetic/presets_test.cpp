// Built-in table sets: the published numbers of rows, laws that sum to one, and the shares of distinct rows that were
// measured on real batches.
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.hpp"
#include "placement/cost/cost.hpp"
#include "synthetic/presets.hpp"
#include "test/placement/support.hpp"

namespace sparrow::placement {
namespace {

int64_t total_rows(const std::vector<PresetTable>& tables) {
  return std::accumulate(tables.begin(), tables.end(), int64_t{0},
                         [](int64_t sum, const PresetTable& t) { return sum + t.rows; });
}

std::vector<PresetTable> preset(const char* name) {
  auto tables = find_preset(name);
  REQUIRE(tables.has_value());
  return std::move(*tables);
}

}  // namespace

TEST_CASE("Presets have the published numbers of rows") {
  CHECK(total_rows(preset("criteo-terabyte")) == 882'774'559);
  CHECK(total_rows(preset("criteo-terabyte-40m")) == 204'184'588);
  CHECK(total_rows(preset("criteo-kaggle")) == 33'762'577);
  CHECK_FALSE(find_preset("criteo").has_value());
}

TEST_CASE("Distributions of presets are whole: every row and all of the mass") {
  for (const char* name : {"criteo-terabyte", "criteo-terabyte-40m", "criteo-kaggle"})
    for (const PresetTable& table : preset(name)) {
      const TableDistribution d = preset_distribution(table);
      INFO(name << " " << table.name);
      validate(d, table.name);
      CHECK(d.total_rows() == table.rows);
      CHECK(mass_of(d) == Approx(1).epsilon(1e-6));  // Euler-Maclaurin sums: 1e-7 each
    }
}

TEST_CASE("The fitted marginals give the measured number of distinct rows in a batch") {
  // Measured: distinct (column, value) pairs in 2,048 samples over 26 * 2,048. Terabyte's samples follow each other in
  // time and so repeat more than independent ones; the law was fitted to those very samples. 10 %: the fit's residual.
  const auto share = [](const char* name) {
    double sum = 0;
    for (const PresetTable& table : preset(name)) sum += distinct_of(preset_distribution(table), 2048);
    return sum / (26 * 2048);
  };
  CHECK(share("criteo-terabyte") == Approx(0.187).epsilon(0.10));
  CHECK(share("criteo-kaggle") == Approx(0.264).epsilon(0.10));
}

TEST_CASE("Folding keeps the mass and spreads what is cut evenly") {
  const TableDistribution whole{{1, 2, 4}, {{0.4, 0.2, 0.05}}, 0};
  const TableDistribution half = folded(whole, 2);
  // 1 row of 0.2 and 4 of 0.05 are cut: 0.4, so 0.2 more for both rows left.
  REQUIRE(half.rows == std::vector<int64_t>{1, 1});
  CHECK(half.p[0][0] == Approx(0.6));
  CHECK(half.p[0][1] == Approx(0.4));
  CHECK(folded(whole, 7).rows == whole.rows);
  CHECK_THROWS_AS(folded(whole, 0), Error);
}

TEST_CASE("Lists of row counts") {
  CHECK(parse_table_rows("10,1e6,3x20") == std::vector<int64_t>{10, 1'000'000, 20, 20, 20});
  for (const char* wrong : {"", ",", "0", "-5", "1.5", "ten", "5x", "x5", "1e20", "nan", "20000x1"}) {
    INFO(wrong);
    CHECK_THROWS_AS(parse_table_rows(wrong), Error);
  }
}

}  // namespace sparrow::placement
