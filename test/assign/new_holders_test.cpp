#include "assign/new_holders.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "test/support/error_of.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

namespace {

using Row = HolderMap::NewHolder;

std::vector<std::byte> bytes_of(std::vector<Row> rows) {
  sort_by_rank(rows);
  std::vector<std::byte> bytes;
  encode_new_holders(rows, bytes);
  return bytes;
}

std::vector<Row> rows_of(const std::vector<std::byte>& bytes, int64_t keys, int ranks) {
  std::vector<Row> rows{{1, 1}};
  decode_new_holders(bytes, keys, ranks, rows);
  return rows;
}

bool same(const std::vector<Row>& a, const std::vector<Row>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Row& x, const Row& y) { return x.key == y.key && x.rank == y.rank; });
}

}  // namespace

TEST_CASE("New holders are what they were after their way, by rank and key") {
  CHECK(bytes_of({}).empty());
  CHECK(same(rows_of(bytes_of({{9, 1}, {0, 3}, {4, 1}}), 10, 4), {{4, 1}, {9, 1}, {0, 3}}));
  std::mt19937_64 random(1);
  for (const int64_t keys : {int64_t{50}, int64_t{1} << 33}) {
    std::set<int64_t> chosen{0, keys - 1};
    while (chosen.size() < 40) chosen.insert(static_cast<int64_t>(random() % static_cast<uint64_t>(keys)));
    std::vector<Row> rows;
    for (const int64_t key : chosen) rows.push_back({key, static_cast<int>(random() % 300)});
    std::shuffle(rows.begin(), rows.end(), random);
    const std::vector<std::byte> bytes = bytes_of(rows);
    sort_by_rank(rows);
    CHECK(same(rows_of(bytes, keys, 300), rows));
  }
}

TEST_CASE("A dense list takes about a byte a row") {
  std::vector<Row> rows;
  for (int64_t key = 0; key < 10000; ++key) rows.push_back({key * 50, static_cast<int>(key % 2)});
  CHECK(bytes_of(rows).size() < 10010);
}

TEST_CASE("Bytes that no list has are refused") {
  const std::vector<std::byte> good = bytes_of({{4, 1}, {900, 1}, {0, 2}});
  CHECK_THAT(error_of([&] { rows_of(good, 900, 3); }), Contains("key 4 + 896 of 900"));
  CHECK_THAT(error_of([&] { rows_of(good, 901, 2); }), Contains("rank 2 of 2"));
  for (size_t length = 1; length < good.size(); ++length) {
    const std::vector<std::byte> cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    if (length != 5) CHECK_THAT(error_of([&] { rows_of(cut, 901, 3); }), Contains("cut short"));
  }
  CHECK_THAT(error_of([&] { rows_of(std::vector<std::byte>(12, std::byte{0xff}), 901, 3); }), Contains("63 bits"));
  // Nothing that can be sent makes more rows than it has bytes, or ends otherwise than by an Error.
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::byte> bytes(random() % 12);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % (i % 2 ? 256 : 8));
    try {
      for (const Row& row : rows_of(bytes, 901, 3)) REQUIRE((row.key >= 0 && row.key < 901 && row.rank < 3));
    } catch (const Error&) {
    }
  }
}
