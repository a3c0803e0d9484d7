// The arithmetic of who holds which row, against counting one by one.
#include "placement/model/holder_rule.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "layout/holders.hpp"

using namespace sparrow;

namespace {

// Everything can be evaluated where there is no memory to allocate: by the compiler, as by a kernel.
static_assert(HolderRule{1}.holder(3, 4) == 0 && HolderRule{1}.in_turn(3, 4) == 0);
static_assert(HolderRule{1, 6}.holder(3, 4) == 2 && HolderRule{1, 6}.in_turn(3, 4) == 0);
static_assert(HolderRule{1}.count(0, 6, 2, 4) == 2 && HolderRule{0, 2}.count(0, 6, 2, 4) == 6);

constexpr int64_t kRows = 40;

std::vector<HolderRule> rules() {
  std::vector<HolderRule> list;
  for (const int64_t offset : {0, 1, 2, 3, 7, 100, 101}) list.push_back({offset});
  for (const int64_t fixed : {0, 1, 5, 12}) list.push_back({3, fixed});
  return list;
}

}  // namespace

TEST_CASE("EveryPositionHasOneHolderAndHoldersNumberTheirRows") {
  for (const HolderRule& rule : rules())
    for (const int64_t k : {1, 2, 3, 4, 7, 64}) {
      INFO("offset " << rule.offset << ", fixed " << rule.fixed << ", k " << k);
      for (int64_t position = 0; position < kRows; ++position) {
        const int64_t expected = rule.fixed >= 0 ? rule.fixed % k : (position + rule.offset) % k;
        REQUIRE(rule.holder(position, k) == expected);
        REQUIRE(rule.in_turn(position, k) == (position + rule.offset) % k);
      }
      for (int64_t holder = 0; holder < k; ++holder) {
        int64_t next = rule.before(0, holder, k);  // number of its next row
        for (int64_t position = 0; position < kRows; ++position) {
          REQUIRE(rule.before(position, holder, k) == next);
          if (rule.holder(position, k) != holder) continue;
          REQUIRE(rule.position(next, holder, k) == position);
          ++next;
        }
      }
    }
}

TEST_CASE("RowsOfAHolderAreCounted") {
  for (const HolderRule& rule : rules())
    for (const int64_t k : {1, 2, 3, 7, 64})
      for (int64_t first = 0; first <= kRows; first += 3)
        for (int64_t last = first; last <= kRows; ++last)
          for (int64_t holder = 0; holder < k; ++holder) {
            int64_t expected = 0;
            for (int64_t position = first; position < last; ++position) expected += rule.holder(position, k) == holder;
            if (rule.count(first, last, holder, k) != expected)
              FAIL("offset " << rule.offset << ", fixed " << rule.fixed << ", " << first << " to " << last);
          }
}

TEST_CASE("RulesAreTheSameWhereEveryPositionHasTheSameHolder") {
  for (const HolderRule& a : rules())
    for (const HolderRule& b : rules())
      for (const int64_t k : {1, 2, 3, 7}) {
        bool expected = true;
        for (int64_t position = 0; position < kRows; ++position)
          expected = expected && a.holder(position, k) == b.holder(position, k);
        INFO("offsets " << a.offset << " " << b.offset << ", fixed " << a.fixed << " " << b.fixed << ", k " << k);
        CHECK(a.same(b, k) == expected);
      }
}

TEST_CASE("HoldersAreEqualWhereTheRanksOfEveryPositionAre") {
  const std::vector<std::vector<int>> rings = {{5}, {5, 2}, {2, 5}, {2, 5, 7}};
  std::vector<Holders> all;
  for (const std::vector<int>& ring : rings)
    for (const HolderRule& rule : rules()) all.emplace_back(rule, ring);
  for (const Holders& a : all) {
    for (const int rank : {2, 5, 7, 9}) {
      int64_t expected = 0;
      for (int64_t position = 0; position < kRows; ++position) expected += a.rank(position) == rank;
      CHECK(a.count(0, kRows, a.number_of(rank)) == expected);
    }
    for (const Holders& b : all) {
      bool expected = true;
      for (int64_t position = 0; position < kRows; ++position)
        expected = expected && a.rank(position) == b.rank(position);
      // Of two lists that are rotations of each other ({5, 2} and {2, 5}) nothing is claimed.
      if (std::ranges::equal(a.ranks, b.ranks)) CHECK((a == b) == expected);
      if (a == b) CHECK(expected);
    }
  }
}
