// Rows whose holders a map says: which they are, and their slots.
#include "layout/mapped_rows.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "base/shared_memory.hpp"
#include "layout/directory.hpp"
#include "layout/slot_table.hpp"
#include "test/support/error_of.hpp"
#include "test/support/hierarchies.hpp"

using namespace sparrow;
using sparrow::test::error_of;
using sparrow::test::hierarchies;
using sparrow::test::random_plan;

namespace {

const Tables& small_tables() {
  static const Tables tables({1, 3, 50, 127}, 4);
  return tables;
}

ResolvedPlan by_first_use(ResolvedPlan plan) {
  for (ResolvedTable& table : plan.tables)
    for (TableRule& rule : table.rules) rule.holders.first_use = true;
  return plan;
}

std::unique_ptr<HolderMap> make_map(const Tables& tables, const std::vector<int64_t>& room) {
  const int64_t keys = tables.total_rows();
  return std::make_unique<HolderMap>(zeroed_memory(HolderMap::bytes(keys, static_cast<int>(room.size()))), keys, room,
                                     true, 4);
}

std::unique_ptr<HolderMap> roomy_map(const Tables& tables, int ranks) {
  return make_map(tables, std::vector<int64_t>(ranks, tables.total_rows()));
}

std::vector<int64_t> all_keys(const Directory& directory) {
  std::vector<int64_t> keys(directory.slots());
  directory.keys_of_slots(0, keys);
  return keys;
}

}  // namespace

TEST_CASE("ASlotTableFindsWhatItWasGivenAndNothingElse") {
  std::mt19937_64 random(5);
  for (const int64_t keys : {int64_t{3000}, int64_t{1} << 40}) {
    constexpr int64_t kSlots = 500;
    SlotTable table(kSlots, keys);
    std::map<int64_t, int64_t> expected;
    std::vector<int64_t> free(kSlots);
    std::iota(free.begin(), free.end(), 0);
    for (int i = 0; i < 20000; ++i) {
      const auto key = static_cast<int64_t>(random() % static_cast<uint64_t>(keys));
      if (!free.empty() && random() % 3 != 0 && !expected.contains(key)) {
        table.insert(key, free.back());
        expected[key] = free.back();
        free.pop_back();
      } else if (!expected.empty()) {
        const auto gone = std::next(expected.begin(), static_cast<int64_t>(random() % expected.size()));
        table.erase(gone->first);
        free.push_back(gone->second);
        expected.erase(gone);
      }
      const auto found = expected.find(key);
      REQUIRE(table.find(key) == (found == expected.end() ? -1 : found->second));
    }
    CHECK(table.size() == static_cast<int64_t>(expected.size()));
    for (const auto& [key, slot] : expected) {
      REQUIRE(table.find(key) == slot);
      REQUIRE(table.key_of(slot) == key);
    }
    for (const int64_t slot : free) REQUIRE(table.key_of(slot) == -1);
  }
}

TEST_CASE("RowsWithOneCopyInDeviceMemoryThatTravelAsRowsAreMapped") {
  const Hierarchy hierarchy = Hierarchy::flat(2);
  ResolvedOption held = option_at_level(hierarchy, 0, Reduction::sparse), copied = option_at_level(hierarchy, 1, {});
  ResolvedOption offloaded = held;
  offloaded.offloaded = {true};
  TableRule rule{Transport::staged, {0, -1, true}}, fixed = rule, arithmetic = rule, pooled = rule, direct = rule;
  fixed.holders.fixed = 0;
  arithmetic.holders.first_use = false;
  pooled.transport = Transport::pooled;
  direct.transport = Transport::direct;
  CHECK(is_mapped(held, rule));
  CHECK(is_mapped(held, direct));
  CHECK_FALSE(is_mapped(copied, rule));
  CHECK_FALSE(is_mapped(offloaded, rule));
  for (const TableRule& other : {fixed, arithmetic, pooled}) CHECK_FALSE(is_mapped(held, other));
}

TEST_CASE("RangesOfKeysAreUnited") {
  CHECK(united({{0, 3}, {8, 9}}, {{2, 5}, {9, 12}}) == std::vector<KeyRange>{{0, 5}, {8, 12}});
  CHECK(without({{0, 5}, {8, 12}}, {{2, 3}, {4, 9}, {11, 20}}) == std::vector<KeyRange>{{0, 2}, {3, 4}, {9, 11}});
  CHECK(without({{0, 5}}, {}) == std::vector<KeyRange>{{0, 5}});
  const std::vector<KeyRange> ranges = {{2, 4}, {7, 8}};
  std::vector<int64_t> inside;
  for (int64_t key = 0; key < 10; ++key)
    if (contains(ranges, key)) inside.push_back(key);
  CHECK(inside == std::vector<int64_t>{2, 3, 7});
  CHECK_FALSE(contains({}, 0));
}

TEST_CASE("RanksHaveATenthMoreRoomThanTheirShareOrSayWhatTheyLack") {
  const Tables tables({100000}, 4);
  const Hierarchy hierarchy = Hierarchy::flat(2);
  const ResolvedPlan plan = by_first_use(ResolvedPlan::uniform(tables, hierarchy, 0));
  CHECK(room_of_mapped_rows(plan, {1 << 20, 1 << 20}) == std::vector<int64_t>{56024, 56024});
  CHECK(room_of_mapped_rows(plan, {1 << 20, 44000}) == std::vector<int64_t>{56024, 44000});
  CHECK(error_of([&] {
          room_of_mapped_rows(plan, {1 << 20, 40000});
        }) == "100000 rows are to be held by the ranks that use them first, which have room for [56024, 40000]");
}

TEST_CASE("AskingStageByStageEndsAtTheHolderThatTheMapSays") {
  std::mt19937 random(2);
  const Tables& tables = small_tables();
  for (const auto& [name, hierarchy] : hierarchies())
    for (const bool combine : {true, false}) {
      ResolvedPlan plan = by_first_use(random_plan(tables, hierarchy, hierarchy.depth(), random));
      for (ResolvedTable& table : plan.tables)
        table.rules[0].transport = combine ? Transport::staged : Transport::direct;
      const auto map = roomy_map(tables, hierarchy.ranks());
      std::vector<HolderMap::NewHolder> rows;
      for (int64_t key = 0; key < tables.total_rows(); ++key)
        if (random() % 2 == 0) rows.push_back({key, static_cast<int>(random() % hierarchy.ranks())});
      map->settle(0, rows);
      std::vector<Directory> directories;
      std::vector<Directory> by_arithmetic;
      for (int rank = 0; rank < hierarchy.ranks(); ++rank) {
        directories.emplace_back(tables, hierarchy, plan, rank, SlotRoom{}, Mapping{map.get(), 10, 3});
        by_arithmetic.emplace_back(tables, hierarchy, plan, rank);
      }
      const std::vector<KeyRange> mapped = mapped_keys(tables, plan);
      for (int start = 0; start < hierarchy.ranks(); ++start)
        for (int64_t key = 0; key < tables.total_rows(); ++key) {
          INFO(name << " rank " << start << " key " << key << " combine " << combine);
          const bool known = map->holder(key) != HolderMap::kNobody && contains(mapped, key);
          REQUIRE(directories[start].mapped(key) == contains(mapped, key));
          REQUIRE(directories[start].holder(key) == (known ? map->holder(key) : by_arithmetic[start].holder(key)));
          int at = start;
          for (int stage = hierarchy.depth() - 1; stage >= 0; --stage) {
            const int next = directories[at].ask(stage, key);
            if (next < 0) break;
            REQUIRE(hierarchy.domain(stage, next) == hierarchy.domain(stage, at));
            at = next;
          }
          REQUIRE(at == directories[start].holder(key));
        }
    }
}

TEST_CASE("AdmittedRowsHaveSlotsOfTheirOwn") {
  std::mt19937 random(3);
  const Tables& tables = small_tables();
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    const ResolvedPlan plan = by_first_use(random_plan(tables, hierarchy, hierarchy.depth(), random, true));
    const auto map = roomy_map(tables, hierarchy.ranks());
    const std::vector<KeyRange> mapped = mapped_keys(tables, plan);
    Directory directory(tables, hierarchy, plan, 0, {}, {map.get(), tables.total_rows(), 5});
    const int64_t others = directory.held().device;
    CHECK(directory.guests() == 5);
    CHECK(directory.first_guest() == directory.device_slots() - 5);
    std::vector<int64_t> keys, admitted, slots;
    for (int64_t key = 0; key < tables.total_rows(); ++key)
      if (random() % 2 == 0) keys.push_back(key);
    directory.admit(keys, admitted, slots);
    directory.admit(keys, admitted, slots);  // nothing is admitted twice
    std::vector<int64_t> expected;
    std::copy_if(keys.begin(), keys.end(), std::back_inserter(expected),
                 [&](int64_t key) { return contains(mapped, key); });
    CHECK(admitted == expected);
    CHECK(directory.held().device == others + static_cast<int64_t>(expected.size()));
    const std::vector<int64_t> by_slot = all_keys(directory);
    for (size_t i = 0; i < admitted.size(); ++i) {
      CHECK(directory.slot(admitted[i]) == slots[i]);
      CHECK(by_slot[slots[i]] == admitted[i]);
      CHECK(slots[i] < directory.first_guest());
    }
    for (size_t slot = 0; slot < by_slot.size(); ++slot)
      if (by_slot[slot] >= 0) CHECK(directory.slot(by_slot[slot]) == static_cast<int64_t>(slot));
    directory.dismiss(keys);
    CHECK(directory.held().device == others);
    for (const int64_t key : admitted) CHECK(directory.find_slot(key) == -1);
  }
}

TEST_CASE("FreedSlotsAreUsedAgainAndAFullRankSaysSo") {
  const Tables tables({100}, 4);
  const Hierarchy hierarchy = Hierarchy::flat(2);
  const auto map = make_map(tables, {10, 90});
  Directory directory(tables, hierarchy, by_first_use(ResolvedPlan::uniform(tables, hierarchy, 0)), 0, {},
                      {map.get(), 10, 0});
  CHECK(directory.slots() == 10);
  CHECK(directory.mapped_room() == 10);
  std::vector<int64_t> admitted, slots;
  const std::vector<int64_t> ten = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, three = {2, 5, 7}, other = {20, 21, 22, 23};
  directory.admit(ten, admitted, slots);
  CHECK(std::set<int64_t>(slots.begin(), slots.end()).size() == 10);
  CHECK(error_of([&] { directory.admit(other, admitted, slots); }) ==
        "rank 0 has no room for 4 more rows in its device memory: 0 are free");
  directory.dismiss(three);
  std::vector<int64_t> again, again_slots;
  directory.admit(std::span(other).first(3), again, again_slots);
  std::set<int64_t> expected = {slots[2], slots[5], slots[7]};
  CHECK(std::set<int64_t>(again_slots.begin(), again_slots.end()) == expected);
}

TEST_CASE("MappedRowsThatTheNextPlanHoldsOtherwiseGiveTheirSlotsBack") {
  std::mt19937 random(6);
  const Tables& tables = small_tables();
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    const auto map = roomy_map(tables, hierarchy.ranks());
    const int64_t rows = tables.total_rows();
    Directory directory(tables, hierarchy, by_first_use(ResolvedPlan::uniform(tables, hierarchy, 0)), 0, {rows, rows},
                        {map.get(), 0, 2});
    for (int i = 0; i < 30; ++i) {
      std::vector<int64_t> keys(20), admitted, slots;
      for (int64_t& key : keys) key = static_cast<int64_t>(random() % static_cast<uint64_t>(rows));
      std::sort(keys.begin(), keys.end());
      keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
      directory.admit(keys, admitted, slots);
      std::map<int64_t, int64_t> before;
      for (int64_t key = 0; key < rows; ++key)
        if (directory.mapped(key) && directory.find_slot(key) >= 0) before[key] = directory.find_slot(key);
      const ResolvedPlan next = by_first_use(random_plan(tables, hierarchy, hierarchy.depth(), random, true));
      directory.follow(next);
      int64_t held = 0;
      const std::vector<int64_t> by_slot = all_keys(directory);
      for (size_t slot = 0; slot < by_slot.size(); ++slot) {
        if (by_slot[slot] < 0) continue;
        ++held;
        REQUIRE(directory.slot(by_slot[slot]) == static_cast<int64_t>(slot));
      }
      for (const auto& [key, slot] : before)
        if (directory.mapped(key)) REQUIRE(directory.find_slot(key) == slot);
      REQUIRE(directory.held().device + directory.held().offloaded == held);
    }
  }
}

TEST_CASE("RowsThatNobodyHoldsAreWhereArithmeticPlacesThem") {
  std::mt19937 random(8);
  const Tables& tables = small_tables();
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    const ResolvedPlan plan = by_first_use(random_plan(tables, hierarchy, hierarchy.depth(), random, true));
    const auto map = roomy_map(tables, hierarchy.ranks());
    const std::vector<KeyRange> mapped = mapped_keys(tables, plan);
    const int last = hierarchy.ranks() - 1;
    int64_t settled = -1;
    if (!mapped.empty()) map->settle(0, std::vector<HolderMap::NewHolder>{{settled = mapped[0].first, last}});
    place_by_arithmetic(*map, tables, plan, mapped);
    const Directory by_arithmetic(tables, hierarchy, plan, 0);
    std::vector<int64_t> rows(hierarchy.ranks());
    for (int64_t key = 0; key < tables.total_rows(); ++key) {
      if (!contains(mapped, key)) {
        REQUIRE(map->holder(key) == HolderMap::kNobody);
        continue;
      }
      REQUIRE(map->holder(key) == (key == settled ? last : by_arithmetic.holder(key)));
      ++rows[by_arithmetic.holder(key)];
    }
    CHECK(rows == mapped_rows_by_arithmetic(plan, hierarchy.ranks()));
  }
}
