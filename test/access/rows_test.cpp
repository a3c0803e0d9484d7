// Vocabulary, bags, counts, positions: from category values to positions of rows.
#include <algorithm>
#include <catch2/catch.hpp>

#include "access/counts.hpp"
#include "access/histogram.hpp"
#include "base/random.hpp"
#include "data/position_map.hpp"
#include "test/data/support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

namespace {

TableShapes shapes(int64_t rows, std::vector<int> bag_sizes = {}) {
  return {std::vector<int64_t>(kCriteoTables, rows), std::move(bag_sizes)};
}

}  // namespace

TEST_CASE("The fast remainder is the remainder", "[vocabulary]") {
  for (const uint32_t divisor : {1u, 2u, 3u, 7u, 1000u, 999983u, 1u << 20, 2147483647u}) {
    const Modulo modulo(divisor);
    int64_t wrong = 0;
    for (uint64_t i = 0; i < 20000; ++i) {
      const uint32_t value = random_words(1, divisor, i, 0).v[0] >> i % 32;
      wrong += modulo(value) != value % divisor;
    }
    for (const uint32_t value : {0u, 1u, divisor - 1, divisor, divisor + 1, 0xffffffffu})
      wrong += modulo(value) != value % divisor;
    CHECK(wrong == 0);
  }
}

TEST_CASE("Lookups of a bag are uniform over the table and fixed per id", "[vocabulary]") {
  constexpr int64_t kRows = 10;
  constexpr int kDraws = 100000;
  std::vector<int> seen(kRows, 0);
  for (int64_t id = 0; id < kDraws; ++id) {
    const int64_t other = bag_id(3, id, 1, kRows);
    REQUIRE((other >= 0 && other < kRows));
    ++seen[other];
  }
  // Chi-squared with 9 degrees of freedom exceeds 33.7 with probability 1e-4; the draws are fixed, so this cannot
  // flicker.
  double chi = 0;
  for (const int n : seen) chi += (n - kDraws / 10.0) * (n - kDraws / 10.0) / (kDraws / 10.0);
  CHECK(chi < 33.7);
  CHECK(bag_id(3, 17, 1, 1000000) == bag_id(3, 17, 1, 1000000));
  CHECK(bag_id(3, 17, 1, 1000000) != bag_id(4, 17, 1, 1000000));
  CHECK(bag_id(3, 17, 1, 1000000) != bag_id(3, 17, 2, 1000000));
  CHECK(bag_id(3, 17, 1, 1000000) != bag_id(3, 18, 1, 1000000));
  CHECK(bag_id(0, 123, 1, 1) == 0);
}

TEST_CASE("Table shapes out of range are Errors", "[vocabulary]") {
  CHECK_NOTHROW(shapes(5).check());
  CHECK_NOTHROW(shapes(2147483647, std::vector<int>(26, 3)).check());
  CHECK_THROWS_AS(shapes(0).check(), Error);
  CHECK_THROWS_AS(shapes(-3).check(), Error);
  CHECK_THROWS_AS(shapes(2147483648).check(), Error);
  CHECK_THROWS_AS(shapes(5, std::vector<int>(25, 1)).check(), Error);
  CHECK_THROWS_AS(shapes(5, std::vector<int>(26, 0)).check(), Error);
  CHECK_THROWS_AS((TableShapes{{5, 5}, {}}.check()), Error);
}

TEST_CASE("Counts are those of a plain count, in parts too, with bags", "[counts]") {
  const TempFolder folder;
  const std::vector<Sample> samples = make_samples(1, 3000);
  write_file(folder / "a.tsv", text_of(samples));
  const Dataset data = open_dataset({folder / "a.tsv"}, {});
  std::vector<int> bags(26, 1);
  bags[0] = 3;
  bags[25] = 2;
  const TableShapes tables = shapes(1000, bags);
  Counts expected = zero_counts(tables);
  for (size_t i = 100; i < 2900; ++i) {
    for (int t = 0; t < kCriteoTables; ++t) {
      const int64_t id = samples[i].categories[t] % 1000;
      ++expected[t][id];
      for (int j = 1; j < bags[t]; ++j) ++expected[t][bag_id(t, id, j, 1000)];
    }
  }
  Counts whole = zero_counts(tables), parts = zero_counts(tables);
  count_ids(data, {100, 2900}, tables, whole);
  count_ids(data, {100, 1333}, tables, parts);
  count_ids(data, {1333, 1333}, tables, parts);
  count_ids(data, {1333, 2900}, tables, parts);
  CHECK(whole == expected);
  CHECK(parts == expected);
}

TEST_CASE("A histogram has the groups by falling count and all rows", "[counts]") {
  CHECK(histogram_of(std::vector<int64_t>{0, 5, 100000, 5, 0, 0, 70000, 100000}) ==
        Histogram{{100000, 2}, {70000, 1}, {5, 2}, {0, 3}});
  CHECK(histogram_of(std::vector<int64_t>{1, 1}) == Histogram{{1, 2}});
}

TEST_CASE("Counts files are read back, and refused where they do not fit", "[counts]") {
  const TempFolder folder;
  const Counts counts = {{3, 0, 9}, {1, 1}};
  save_counts(folder / "counts", counts);
  CHECK(load_counts(folder / "counts", {3, 2}) == counts);
  CHECK(load_histograms(folder / "counts", {3, 2}) == std::vector<Histogram>{{{9, 1}, {3, 1}, {0, 1}}, {{1, 2}}});

  CHECK_THAT(error_of([&] {
               load_counts(folder / "counts", {3, 3});
             }),
             Contains("table_01.npy: 2 counts, but table 1 has 3 rows"));
  CHECK_THAT(error_of([&] { load_counts(folder / "counts", {3, 2, 2}); }), Contains("table_02.npy: No such file"));
  CHECK_THAT(error_of([&] { load_histograms(folder / "counts", {4, 2}); }), Contains("1 rows of table 0 are missing"));
  CHECK_THAT(error_of([&] { load_histograms(folder / "counts", {2, 2}); }), Contains("beyond the 2 rows"));
  write_npy<int64_t>(folder / "counts/table_01.npy", std::vector<int64_t>{1, -1}, {2});
  CHECK_THAT(error_of([&] { load_counts(folder / "counts", {3, 2}); }), Contains("row 1 has the count -1"));
  write_npy<int32_t>(folder / "counts/table_01.npy", std::vector<int32_t>{1, 1}, {2});
  CHECK_THAT(error_of([&] { load_counts(folder / "counts", {3, 2}); }), Contains("<i8 expected"));
  write_npy<int64_t>(folder / "counts/histogram_01.npy", std::vector<int64_t>{1, 1, 2, 1}, {2, 2});
  CHECK_THAT(error_of([&] { load_histograms(folder / "counts", {3, 2}); }), Contains("out of order"));
}

TEST_CASE("Positions go by falling count, ties by rising id", "[positions]") {
  const PositionMap map = PositionMap::by_count({{5, 9, 5}, {4, 4, 0}, {0, 100000, 70000, 1, 100000}});
  CHECK(map.position(0, 0) == 1);
  CHECK(map.position(0, 1) == 0);
  CHECK(map.position(0, 2) == 2);
  CHECK(map.is_identity(1));
  CHECK(map.position(1, 2) == 2);
  const std::vector<int32_t> expected = {4, 0, 2, 3, 1};
  CHECK(std::equal(expected.begin(), expected.end(), map.view(2).begin(), map.view(2).end()));
  CHECK_THROWS_AS(PositionMap::by_count({{1, -1}}), Error);
}

TEST_CASE("Positions agree with a stable sort, and the inverse undoes them", "[positions]") {
  std::vector<std::vector<int64_t>> counts(3);
  for (uint64_t i = 0; i < 5000; ++i)
    for (uint32_t t = 0; t < 3; ++t)
      counts[t].push_back(random_words(1, t, i, 0).v[0] >> random_words(1, t, i, 1).v[0] % 32);
  const PositionMap map = PositionMap::by_count(counts);
  const PositionMap inverse = map.inverse();
  for (int t = 0; t < 3; ++t) {
    const std::vector<int64_t>& count = counts[t];
    std::vector<int64_t> ids(5000);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i);
    std::stable_sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) { return count[a] > count[b]; });
    for (int64_t p = 0; p < 5000; ++p) {
      REQUIRE(map.position(t, ids[p]) == p);
      REQUIRE(inverse.position(t, p) == ids[p]);
    }
  }
  CHECK(PositionMap({7, 8}).inverse().is_identity(1));
}

TEST_CASE("Saved positions are mapped back, and refused where they do not fit", "[positions]") {
  const TempFolder folder;
  PositionMap loaded({1});
  {
    const PositionMap map = PositionMap::by_count({{5, 9, 5}, {4, 4}});
    map.save(folder / "positions");
    loaded = PositionMap::load(folder / "positions", {3, 2});
  }
  CHECK(loaded.tables() == 2);
  CHECK(loaded.position(0, 0) == 1);
  CHECK(loaded.is_identity(1));
  const PositionMap moved = std::move(loaded);  // the views stay valid
  CHECK(moved.position(0, 1) == 0);
  CHECK(moved.inverse().position(0, 0) == 1);

  const auto refusal = [&](std::vector<int64_t> rows) {
    return error_of([&] { PositionMap::load(folder / "positions", rows); });
  };
  CHECK_THAT(refusal({4, 2}), Contains("positions_00.npy: 3 positions, but table 0 has 4 rows"));
  CHECK_THAT(refusal({3, 2, 2}), Contains("positions_02.npy: No such file"));
  for (const std::vector<int32_t>& wrong : {std::vector<int32_t>{0, 1, 1}, {0, 1, 3}, {0, -1, 2}}) {
    write_npy<int32_t>(folder / "positions/positions_00.npy", wrong, {3});
    CHECK_THAT(refusal({3, 2}), Contains("no permutation"));
  }
  CHECK_THROWS_AS(PositionMap({0}), Error);
  CHECK_THROWS_AS(PositionMap({2147483648}), Error);
}
