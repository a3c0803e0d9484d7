// Counts of ranks that see different data: sparse counts, which ranks are alike, which rows are, and their positions.
#include "access/group_counts.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <numeric>
#include <random>

#include "access/counts.hpp"
#include "test/data/support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

namespace {

/// `lookups` draws from a Zipf-like law over `rows` rows, of which id = first + rank.
SeenRows draw(int64_t rows, int64_t first, int64_t lookups, uint64_t seed) {
  std::vector<double> weights;
  for (int64_t r = 1; r <= rows; ++r) weights.push_back(1 / static_cast<double>(r));
  std::mt19937_64 random(seed);
  std::discrete_distribution<int32_t> law(weights.begin(), weights.end());
  std::map<int32_t, int64_t> counts;
  for (int64_t i = 0; i < lookups; ++i) ++counts[static_cast<int32_t>(first) + law(random)];
  SeenRows seen;
  for (const auto& [id, count] : counts) {
    seen.ids.push_back(id);
    seen.counts.push_back(count);
  }
  return seen;
}

SeenCounts client(int64_t first, int64_t lookups, uint64_t seed) {
  return {draw(500, first, lookups, seed), draw(2000, 4 * first, lookups, seed + 100)};
}

}  // namespace

TEST_CASE("Sparse counts are the dense ones, of several ranges and with bags") {
  const TempFolder folder;
  write_file(folder / "data.tsv", text_of(make_samples(1, 3000)));
  const Dataset data = open_dataset({folder / "data.tsv"}, {folder.path(), 0});
  // 40 lookups of 2,500 samples are more than are counted at a time.
  const TableShapes shapes{std::vector<int64_t>(kCriteoTables, 997), std::vector<int>(kCriteoTables, 40)};
  Counts expected = zero_counts(shapes);
  const std::vector<SampleRange> ranges = {{0, 1700}, {1900, 1900}, {2200, 3000}};
  for (const SampleRange range : ranges) count_ids(data, range, shapes, expected);
  const SeenCounts found = count_seen(data, ranges, shapes);
  REQUIRE(found.size() == kCriteoTables);
  for (size_t t = 0; t < found.size(); ++t) {
    std::vector<int64_t> dense(997, 0);
    for (size_t i = 0; i < found[t].ids.size(); ++i) dense[found[t].ids[i]] = found[t].counts[i];
    CHECK(dense == expected[t]);
    CHECK(std::is_sorted(found[t].ids.begin(), found[t].ids.end()));
    CHECK(found[t].lookups() == 2500 * 40);
  }
}

TEST_CASE("Sparse counts travel as bytes, and bytes that are none are refused") {
  const SeenRows rows = draw(50, 3, 100, 1);
  const std::string bytes = serialize(rows);
  const SeenRows back = deserialize_seen_rows(bytes, 53);
  CHECK(back.ids == rows.ids);
  CHECK(back.counts == rows.counts);
  CHECK(deserialize_seen_rows(serialize(SeenRows{}), 5).ids.empty());
  CHECK_THROWS_WITH(deserialize_seen_rows(bytes, rows.ids.back()), Contains("behind row"));
  CHECK_THROWS_WITH(deserialize_seen_rows(bytes.substr(1), 53), Contains("bytes"));
  CHECK_THROWS_WITH(deserialize_seen_rows(serialize(SeenRows{{4, 4}, {1, 1}}), 53),
                    Contains("row 4 of 53 behind row 4"));
  CHECK_THROWS_WITH(deserialize_seen_rows(serialize(SeenRows{{4}, {0}}), 53), Contains("looked up 0 times"));
  CHECK_THROWS_WITH(deserialize_seen_rows(serialize(SeenRows{{-1}, {2}}), 53), Contains("row -1"));
}

TEST_CASE("Ranks are unlike by what they do not share, however little of it was counted") {
  // X^2 has a variance of about 2 R, R below 2,500 rows: of 4,000 lookups and more that tell something, four standard
  // deviations are below 0.08, of ten times as many below 0.01.
  CHECK(std::abs(unlikeness(client(0, 4000, 1), client(0, 4000, 2))) < 0.08);
  CHECK(std::abs(unlikeness(client(0, 40000, 1), client(0, 40000, 2))) < 0.01);
  CHECK(std::abs(unlikeness(client(0, 40000, 1), client(0, 4000, 2))) < 0.05);
  CHECK(unlikeness(client(0, 4000, 1), client(1000, 900, 2)) == Approx(1));  // no row in common
  // Half of the lookups go to rows of one's own: those have d = 1, the others 0.
  SeenCounts a = client(0, 20000, 1), b = client(0, 20000, 2);
  const SeenCounts own = client(1000, 20000, 3), other = client(3000, 20000, 4);
  for (size_t t = 0; t < a.size(); ++t) a[t] = merged(a[t], own[t]), b[t] = merged(b[t], other[t]);
  CHECK(unlikeness(a, b) == Approx(0.5).margin(0.02));
  CHECK(unlikeness(a, b) == Approx(unlikeness(b, a)));
  CHECK(unlikeness(a, {{}, {}}) == 0);
}

TEST_CASE("Ranks with like data share a group") {
  const auto ranks = [] {
    return std::vector<SeenCounts>{{{}, {}},
                                   client(0, 50000, 1),
                                   client(1000, 50000, 2),
                                   client(0, 50000, 3),
                                   client(2000, 50000, 4),
                                   client(1000, 50000, 5)};
  };
  const RankGroups found = group_ranks(ranks());
  CHECK(found.of_rank == std::vector<int>{0, 0, 1, 0, 2, 1});
  REQUIRE(found.counts.size() == 3);
  CHECK(found.counts[1][0].lookups() == 100000);
  CHECK(found.widest <= kAlike);
  const RankGroups fewer = group_ranks(ranks(), 2);  // something must be put together that is not alike
  CHECK(fewer.counts.size() == 2);
  CHECK(fewer.widest > 0.5);
  int64_t lookups = 0;
  for (const SeenCounts& group : fewer.counts) lookups += group[0].lookups();
  CHECK(lookups == 250000);
  for (const int group : fewer.of_rank) CHECK((group == 0 || group == 1));
  CHECK(fewer.of_rank[1] == fewer.of_rank[3]);
  CHECK(fewer.of_rank[2] == fewer.of_rank[5]);
  const RankGroups given = group_ranks(ranks(), std::vector<int>{0, 7, 7, 3, 3, 3});
  CHECK(given.of_rank == std::vector<int>{0, 0, 0, 1, 1, 1});
  CHECK(given.counts[1][1].lookups() == 150000);
  CHECK(given.widest > 0.5);
}

TEST_CASE("Rows with like counts in every group are a class and neighbours") {
  const SeenRows a{{0, 4, 5}, {9, 9, 1}}, b{{1, 3, 5}, {1, 9, 1}};
  const std::vector<const SeenRows*> groups = {&a, &b};
  const GroupedTable table = group_rows(groups, 6);  // the example of the header
  const std::vector<GroupCountBin> expected = {{1, {1, 1}}, {2, {18, 0}}, {1, {0, 9}}, {1, {0, 1}}, {1, {0, 0}}};
  CHECK(table.classes == expected);
  CHECK(table.positions == std::vector<int32_t>{1, 4, 5, 3, 2, 0});
}

TEST_CASE("Classes are ranges of positions, and their sums those of their rows, however coarse") {
  constexpr int64_t kRows = 5000;
  const SeenRows a = draw(3000, 0, 60000, 1), b = draw(3000, 1500, 30000, 2), c = draw(700, 4300, 90000, 3);
  const std::vector<const SeenRows*> groups = {&a, &b, &c};
  std::vector<std::vector<int64_t>> counts(3, std::vector<int64_t>(kRows, 0));
  for (size_t g = 0; g < 3; ++g)
    for (size_t i = 0; i < groups[g]->ids.size(); ++i) counts[g][groups[g]->ids[i]] = groups[g]->counts[i];
  size_t before = kRows;
  for (const size_t most : {size_t{100000}, size_t{200}, size_t{60}}) {
    const GroupedTable table = group_rows(groups, kRows, most);
    std::vector<int32_t> ids(kRows, -1);
    for (int32_t id = 0; id < kRows; ++id) ids.at(table.positions[id]) = id;
    CHECK(std::count(ids.begin(), ids.end(), -1) == 0);
    size_t at = 0;
    for (const GroupCountBin& of_class : table.classes)
      for (size_t g = 0, end = at + static_cast<size_t>(of_class.rows); g < 3; at = g == 2 ? end : at, ++g) {
        int64_t sum = 0, least = std::numeric_limits<int64_t>::max(), largest = 0;
        for (size_t i = at; i < end; ++i) {
          const int64_t count = counts[g][ids[i]];
          sum += count, least = std::min(least, count), largest = std::max(largest, count);
        }
        CHECK(sum == of_class.lookups[g]);
        CHECK((least == 0) == (largest == 0));  // what a group has not seen is told apart
        CHECK(static_cast<double>(largest) <= table.ratio * static_cast<double>(least) + 1);
      }
    CHECK(at == kRows);
    CHECK(table.classes.size() <= most + 1);
    CHECK(table.classes.size() < before);
    before = table.classes.size();
  }
}
