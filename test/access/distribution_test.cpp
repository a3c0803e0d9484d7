// Classes of rows: laws against direct sums, counts, Good-Turing, bounds of the grouping error.
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <numeric>
#include <random>

#include "access/distributions.hpp"
#include "base/error.hpp"
#include "placement/cost/cost.hpp"
#include "test/placement/support.hpp"

using namespace sparrow;
using namespace sparrow::placement;
using Catch::Matchers::Contains;

namespace {

std::vector<double> direct(const Law& law, int64_t n) {
  std::vector<double> p(law.head.begin(),
                        law.head.begin() + std::min<std::ptrdiff_t>(n, static_cast<std::ptrdiff_t>(law.head.size())));
  const double head = std::accumulate(p.begin(), p.end(), 0.0);
  std::vector<double> tail;
  const double scale = law.r1 > 0 ? std::pow(static_cast<double>(law.r1) + law.shift, law.s2 - law.s1) : 1;
  for (int64_t r = static_cast<int64_t>(p.size()) + 1; r <= n; ++r) {
    const double x = static_cast<double>(r) + law.shift;
    tail.push_back(law.r1 > 0 && r > law.r1 ? scale * std::pow(x, -law.s2) : std::pow(x, -law.s1));
  }
  const double sum = std::accumulate(tail.begin(), tail.end(), 0.0);
  for (double t : tail) p.push_back(t / sum * (1 - head));
  return p;
}

}  // namespace

TEST_CASE("Classes of a law have the rows, mass and distinct rows of the law") {
  const int64_t n = 200000;
  std::vector<Law> laws;
  for (const char* text :
       {"uniform", "zipf:0.3", "zipf:1", "zipf:1.05+20", "zipf:1.4", "two:1.3,5000,2.5", "two:0.9,100,1.2"})
    laws.push_back(parse_law(text));
  laws.push_back({{0.3, 0.1, 0.05, 0.02}, 1.9, 0, 150, 0.97});
  for (const Law& law : laws) {
    CAPTURE(law.s1, law.s2, law.r1, law.shift);
    const TableDistribution d = from_law(law, n);
    const std::vector<double> p = direct(law, n);
    CHECK(d.total_rows() == n);
    CHECK(mass_of(d) == Approx(1).epsilon(1e-12));
    CHECK(d.p[0][0] == Approx(*std::max_element(p.begin(), p.end())).epsilon(1e-6));
    for (double draws : {1.0, 100.0, 1e4, 1e6}) {
      double exact = 0;
      for (double each : p) exact += touched(each, draws);
      const double grouped = distinct_of(d, draws);
      // Concave: a mean overestimates, by no more than the bound. 1e-6: Euler-Maclaurin.
      CHECK(grouped >= exact * (1 - 1e-6));
      CHECK(grouped <= exact * (1 + 1e-6) / (1 - d.grouping_error));
    }
    for (size_t c = 1; c < d.classes(); ++c) CHECK(d.p[0][c] <= d.p[0][c - 1]);
    CHECK(d.grouping_error < 3e-4);
  }
}

TEST_CASE("A table of 300 million rows takes few classes, and its mass is exact") {
  const TableDistribution d = from_law(parse_law("zipf:1.05"), 300000000);
  CHECK(d.total_rows() == 300000000);
  CHECK(d.classes() < 600);
  CHECK(mass_of(d) == Approx(1).epsilon(1e-12));
  // p of the hottest row against the zeta sum: 1 / (zeta(1.05) - tail), the tail by the midpoint rule.
  double sum = 0;
  for (int64_t r = 1000000; r > 0; --r) sum += std::pow(static_cast<double>(r), -1.05);
  const double a = 1e6 + 0.5, b = 3e8 + 0.5;
  sum += (std::pow(a, -0.05) - std::pow(b, -0.05)) / 0.05;
  CHECK(d.p[0][0] == Approx(1 / sum).epsilon(1e-9));
}

TEST_CASE("A head longer than its table is cut and rescaled") {
  const TableDistribution d = from_law({{0.5, 0.2, 0.1, 0.1}, 1, 0, 0, 0}, 2);
  CHECK(d.total_rows() == 2);
  CHECK(d.p[0][0] == Approx(0.5 / 0.7));
  CHECK(mass_of(d) == Approx(1));
}

TEST_CASE("Texts of laws are read, or refused with the text") {
  CHECK(parse_law("zipf:1.05").s1 == 1.05);
  CHECK(parse_law("zipf:1.05+2.5").shift == 2.5);
  CHECK(parse_law("two:1,300,2").r1 == 300);
  for (const char* text : {"", "zipf", "zipf:", "zipf:-1", "zipf:1+", "zipf:nan", "zipf:1e999", "two:1,2", "two:1,0,2",
                           "pareto:1", "uniform "})
    CHECK_THROWS_WITH(parse_law(text), Contains(std::string("\"") + text + "\""));
  CHECK_THROWS(from_law({}, 0));
  CHECK_THROWS(from_law({{0.6, 0.6}, 1, 0, 0, 0}, 10));
}

TEST_CASE("A histogram streamed in pieces equals the counts it came from") {
  std::mt19937_64 random(1);
  std::vector<int64_t> counts;
  for (int i = 0; i < 5000; ++i)
    counts.push_back(integer(random, 0, 9) * integer(random, 0, 1 << integer(random, 0, 18)));
  std::fill_n(counts.begin() + 100, 300, 7);  // runs of equal counts, small and large
  std::fill_n(counts.begin() + 3000, 200, 70000);
  CountHistogram histogram;
  histogram.add(std::span<const int64_t>(counts).first(1234));
  histogram.add(std::span<const int64_t>(counts).subspan(1234));
  const TableDistribution d = from_histogram(histogram.bins());
  CHECK(histogram.rows() == 5000);
  CHECK(d.total_rows() == 5000);
  std::sort(counts.rbegin(), counts.rend());
  const double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  size_t row = 0;
  for (size_t c = 0; c < d.classes(); ++c)
    for (int64_t i = 0; i < d.rows[c]; ++i) CHECK(d.p[0][c] == static_cast<double>(counts[row++]) / total);
  const std::vector<int64_t> negative = {1, -2};
  CHECK_THROWS_WITH(histogram.add(negative), Contains("row 5001"));
}

TEST_CASE("A sample keeps mass for the rows it did not see, and finds their number's worth") {
  // 20,000 rows by a Zipf law, 30,000 lookups: the mass of unseen rows is known from the law.
  const int64_t n = 20000;
  const std::vector<double> p = direct(parse_law("zipf:1.1"), n);
  std::vector<double> cumulative(p.size());
  std::partial_sum(p.begin(), p.end(), cumulative.begin());
  std::mt19937_64 random(7);
  std::vector<int64_t> counts(p.size(), 0);
  for (int i = 0; i < 30000; ++i)
    ++counts[std::upper_bound(cumulative.begin(), cumulative.end() - 1, uniform(random, 0, 1)) - cumulative.begin()];
  CountHistogram histogram;
  histogram.add(counts);
  double unseen_mass = 0, exact = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (counts[i] == 0) unseen_mass += p[i];
    exact += touched(p[i], 30000);
  }
  const TableDistribution d = from_sample(histogram.bins(), n);
  CHECK(d.total_rows() == n);
  CHECK(mass_of(d) == Approx(1).epsilon(1e-12));
  const double estimated = static_cast<double>(d.rows.back()) * d.p[0].back();
  CHECK(estimated == Approx(unseen_mass).epsilon(0.1));
  // A naive estimate would take the sample for the law: distinct rows of the next 30,000 lookups come out 25 % low.
  const TableDistribution naive = from_histogram(histogram.bins());
  // Unseen rows share their mass equally, which a concave count exaggerates: 13 % here.
  CHECK(distinct_of(d, 30000) > exact);
  CHECK(distinct_of(d, 30000) < 1.2 * exact);
  CHECK(distinct_of(naive, 30000) < 0.8 * exact);
  for (size_t c = 1; c < d.classes(); ++c) CHECK(d.p[0][c] <= d.p[0][c - 1] * (1 + 1e-12));
  CHECK_THROWS_WITH(from_sample(histogram.bins(), 10), Contains("in a table of 10"));
  const Histogram nothing;
  CHECK(from_sample(nothing, 5).p[0][0] == Approx(0.2));
}

TEST_CASE("Groups of ranks with different data keep their own probabilities") {
  const TableDistribution d{{2, 2}, {{0.5, 0}, {0, 0.5}}, 0};
  Topology topology = flat(2, 1000);
  topology.domains.push_back(topology.domains[1]);
  topology.domains[2].access_group = 1;
  const Workload w = workload({table("t", d)}, 8);
  const CostModel model(topology, w);
  CHECK(model.features_of(0, 0)[Features::v(1)] == Approx(touched(0.5, 2)));
  CHECK(model.features_of(0, 0)[Features::v(2)] == 0);
  CHECK(model.features_of(0, 0)[Features::v(0)] == Approx(touched(0.5, 4)));
}

namespace {

/// Expected distinct rows of `draws` lookups of each of these groups, together.
double distinct_of_groups(const TableDistribution& d, const std::vector<size_t>& groups, double draws) {
  double sum = 0;
  for (size_t c = 0; c < d.classes(); ++c) {
    double untouched = 1;
    for (const size_t g : groups) untouched *= 1 - touched(d.p[g][c], draws);
    sum += static_cast<double>(d.rows[c]) * (1 - untouched);
  }
  return sum;
}

/// Rows with the same counts, by falling lexicographic order.
std::vector<GroupCountBin> bins_of(const std::vector<std::vector<int64_t>>& counts) {
  std::map<std::vector<int64_t>, int64_t, std::greater<>> rows;
  for (size_t i = 0; i < counts[0].size(); ++i) {
    std::vector<int64_t> key;
    for (const auto& group : counts) key.push_back(group[i]);
    ++rows[key];
  }
  std::vector<GroupCountBin> bins;
  for (const auto& [key, n] : rows) {
    bins.push_back({n, key});
    for (int64_t& lookups : bins.back().lookups) lookups *= n;
  }
  return bins;
}

}  // namespace

TEST_CASE("Counts by group become classes in their order, each group with its own probabilities") {
  const std::vector<GroupCountBin> bins = {{2, {8, 0, 0}}, {4, {0, 2, 0}}, {1, {2, 2, 0}}};
  const TableDistribution d = from_group_counts(bins, false);
  CHECK(d.rows == std::vector<int64_t>{2, 4, 1});
  CHECK(d.p[0] == std::vector<double>{0.4, 0, 0.2});
  CHECK(d.p[1] == std::vector<double>{0, 0.125, 0.5});
  CHECK(d.p[2][0] == Approx(8.0 / 14 / 2));  // without lookups: as all together
  CHECK(d.p[2][2] == Approx(4.0 / 14));
  validate(from_group_counts(bins, true), "sampled");
}

TEST_CASE("One group of counts is what its histogram is") {
  std::mt19937_64 random(5);
  const std::vector<double> p = direct(parse_law("zipf:1.1"), 5000);
  std::discrete_distribution<size_t> draw(p.begin(), p.end());
  std::vector<int64_t> counts(p.size(), 0);
  for (int i = 0; i < 8000; ++i) ++counts[draw(random)];
  CountHistogram histogram;
  histogram.add(counts);
  for (const bool sampled : {false, true}) {
    const TableDistribution expected = sampled ? from_sample(histogram.bins(), 5000) : from_histogram(histogram.bins());
    const TableDistribution found = from_group_counts(bins_of({counts}), sampled);
    REQUIRE(found.rows == expected.rows);
    for (size_t c = 0; c < found.classes(); ++c) CHECK(found.p[0][c] == Approx(expected.p[0][c]).epsilon(1e-9));
  }
}

TEST_CASE("Samples of clients that share part of their rows tell what each and what all of them will touch") {
  // 30,000 rows; client g uses 20,000 of them, of which it shares 10,000 with the other (its hottest and its coldest:
  // every second rank of its law), in the same order. 60,000 lookups of each are counted.
  constexpr int64_t kRows = 30000, kOwn = 20000;
  const std::vector<double> law = direct(parse_law("zipf:1.05"), kOwn);
  std::mt19937_64 random(11);
  std::vector<std::vector<double>> p(2, std::vector<double>(kRows, 0));
  std::vector<std::vector<int64_t>> counts(2, std::vector<int64_t>(kRows, 0));
  for (size_t g = 0; g < 2; ++g) {
    for (size_t r = 0; r < kOwn; ++r) p[g][r % 2 == 0 ? r / 2 : 10000 * (g + 1) + r / 2] = law[r];
    std::discrete_distribution<size_t> draw(p[g].begin(), p[g].end());
    for (int i = 0; i < 60000; ++i) ++counts[g][draw(random)];
  }
  const TableDistribution truth{std::vector<int64_t>(p[0].size(), 1), {p.begin(), p.end()}, 0};
  const TableDistribution found = from_group_counts(bins_of(counts), true);
  for (const auto& group : found.p) {
    double mass = 0;
    for (size_t c = 0; c < found.classes(); ++c) mass += static_cast<double>(found.rows[c]) * group[c];
    CHECK(mass == Approx(1).epsilon(1e-9));
  }
  std::vector<GroupCountBin> mixed = bins_of(counts);
  for (GroupCountBin& bin : mixed) bin.lookups = {bin.lookups[0] + bin.lookups[1]};
  const TableDistribution alike = from_group_counts(mixed, true);
  const double draws = 2000;
  // Rows seen equally often are taken to be equally likely, which a concave count exaggerates: as much as for a sample
  // of one group, 2 % here, and the union of two such overestimates is off by no more than both.
  for (const std::vector<size_t>& groups :
       {std::vector<size_t>{0}, std::vector<size_t>{1}, std::vector<size_t>{0, 1}}) {
    const double expected = distinct_of_groups(truth, groups, draws);
    CHECK(distinct_of_groups(found, groups, draws) > 0.98 * expected);
    CHECK(distinct_of_groups(found, groups, draws) < 1.04 * expected);
  }
  for (size_t g = 0; g < 2; ++g) {  // the other group's counts say where unseen rows are, not how many come
    CountHistogram own;
    own.add(counts[g]);
    CHECK(distinct_of_groups(found, {g}, draws) ==
          Approx(distinct_of(from_sample(own.bins(), kRows), draws)).epsilon(0.005));
  }
  // Taken for two that draw alike, each would touch far more rows than it does.
  CHECK(distinct_of_groups(alike, {0}, draws) > 1.06 * distinct_of_groups(found, {0}, draws));
  // Of what a client has not seen, the mass on rows that the other knows is told apart.
  double expected[2] = {0, 0}, estimated[2] = {0, 0};
  for (size_t i = 0; i < kRows; ++i)
    if (counts[0][i] == 0) expected[counts[1][i] > 0 ? 1 : 0] += p[0][i];
  for (size_t c = 0; c < found.classes(); ++c) {
    const std::vector<GroupCountBin> bins = bins_of(counts);
    if (bins[c].lookups[0] == 0)
      estimated[bins[c].lookups[1] > 0 ? 1 : 0] += static_cast<double>(found.rows[c]) * found.p[0][c];
  }
  CHECK(estimated[0] == Approx(expected[0]).epsilon(0.1));
  CHECK(estimated[1] == Approx(expected[1]).epsilon(0.1));
}

TEST_CASE("Counts by group that are none are refused") {
  const std::vector<GroupCountBin> nothing, no_rows = {{0, {1}}}, uneven = {{1, {1, 2}}, {1, {1}}},
                                            negative = {{1, {-1}}};
  CHECK_THROWS_WITH(from_group_counts(nothing, true), Contains("no rows"));
  CHECK_THROWS_WITH(from_group_counts(no_rows, true), Contains("a class of 0 rows"));
  CHECK_THROWS_WITH(from_group_counts(uneven, true), Contains("2 and 1 groups"));
  CHECK_THROWS_WITH(from_group_counts(negative, true), Contains("-1 times"));
}

TEST_CASE("Distributions that are none are refused") {
  CHECK_THROWS_WITH(validate(TableDistribution{{}, {{}}, 0}, "table x"), Contains("table x: no rows"));
  CHECK_THROWS_WITH(validate(TableDistribution{{0}, {{0.5}}, 0}, "x"), Contains("a class of 0 rows"));
  CHECK_THROWS_WITH(validate(TableDistribution{{1}, {{1.5}}, 0}, "x"), Contains("1.5"));
  CHECK_THROWS_WITH(validate(TableDistribution{{10}, {{0.5}}, 0}, "x"), Contains("sum to 5"));
  CHECK_THROWS_WITH(validate(TableDistribution{{1, 2}, {{0.5}}, 0}, "x"), Contains("for 2 classes"));
}
