// Who holds which row, in which slot, and whom a rank asks for it.
#include "layout/directory.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "test/support/hierarchies.hpp"

using namespace sparrow;
using sparrow::test::hierarchies;
using sparrow::test::random_plan;

namespace {
const Tables& small_tables() {
  static const Tables tables({1, 3, 50, 127}, 4);
  return tables;
}
}  // namespace

TEST_CASE("EveryRowHasExactlyOneHolderPerDomainOfItsCopyLevel") {
  std::mt19937 random(1);
  const Tables& tables = small_tables();
  for (const auto& [name, hierarchy] : hierarchies()) {
    const ResolvedPlan plan = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
    std::map<int64_t, std::multiset<int>>
        domains_holding;  // key -> domains (at its level) with a copy, by what ranks say they store
    for (int rank = 0; rank < hierarchy.ranks(); ++rank) {
      const Directory directory(tables, hierarchy, plan, rank);
      std::vector<int64_t> keys(directory.slots());
      directory.keys_of_slots(0, keys);
      for (size_t slot = 0; slot < keys.size(); ++slot) {
        CHECK(directory.slot(keys[slot]) == static_cast<int64_t>(slot));
        CHECK(directory.holder(keys[slot]) == rank);
        domains_holding[keys[slot]].insert(hierarchy.domain(directory.level(keys[slot]), rank));
      }
    }
    const Directory directory(tables, hierarchy, plan, 0);
    for (int64_t key = 0; key < tables.total_rows(); ++key) {
      INFO(name << " key " << key);
      const int level = directory.level(key);
      REQUIRE(domains_holding[key].size() == static_cast<size_t>(hierarchy.domains(level)));
      REQUIRE(std::set<int>(domains_holding[key].begin(), domains_holding[key].end()).size() ==
              domains_holding[key].size());
    }
  }
}

TEST_CASE("AskingStageByStageEndsAtTheHolder") {
  std::mt19937 random(2);
  const Tables& tables = small_tables();
  for (const auto& [name, hierarchy] : hierarchies())
    for (const bool combine : {true, false}) {
      ResolvedPlan plan = random_plan(tables, hierarchy, hierarchy.depth(), random);
      for (ResolvedTable& table : plan.tables)
        table.rules[0].transport = combine ? Transport::staged : Transport::direct;
      std::vector<Directory> directories;
      for (int rank = 0; rank < hierarchy.ranks(); ++rank) directories.emplace_back(tables, hierarchy, plan, rank);
      for (int start = 0; start < hierarchy.ranks(); ++start)
        for (int64_t key = 0; key < tables.total_rows(); ++key) {
          INFO(name << " rank " << start << " key " << key << " combine " << combine);
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

TEST_CASE("RanksOfADomainMeetAtOneProxy") {
  // With combining, all ranks of a node ask the same rank for a row, so it crosses the network once.
  const Tables& tables = small_tables();
  const Hierarchy hierarchy({{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 2, 3}});
  const ResolvedPlan plan = ResolvedPlan::uniform(tables, hierarchy, 0);
  const Directory first(tables, hierarchy, plan, 0), second(tables, hierarchy, plan, 1);
  for (int64_t key = 0; key < tables.total_rows(); ++key) CHECK(first.ask(1, key) == second.ask(1, key));
}

TEST_CASE("RowsSpreadOverTheRanksOfTheRing") {
  const Tables tables({600, 600}, 4);
  const Hierarchy hierarchy({{0, 0, 0}, {0, 1, 2}}, {1, 0, 1});
  const ResolvedPlan plan = ResolvedPlan::uniform(tables, hierarchy, 0);
  std::vector<int64_t> held;
  for (int rank = 0; rank < 3; ++rank) held.push_back(Directory(tables, hierarchy, plan, rank).slots());
  CHECK(held == std::vector<int64_t>{600, 0, 600});
}

TEST_CASE("ChunksOfSlotsListTheSameKeysAsAllAtOnce") {
  std::mt19937 random(3);
  const Tables& tables = small_tables();
  const Hierarchy hierarchy = Hierarchy::flat(3);
  const Directory directory(tables, hierarchy, random_plan(tables, hierarchy, 1, random), 1);
  std::vector<int64_t> whole(directory.slots());
  directory.keys_of_slots(0, whole);
  for (const size_t chunk : {1, 2, 7, 64}) {
    std::vector<int64_t> joined;
    for (size_t first = 0; first < whole.size(); first += chunk) {
      std::vector<int64_t> part(std::min(chunk, whole.size() - first));
      directory.keys_of_slots(static_cast<int64_t>(first), part);
      joined.insert(joined.end(), part.begin(), part.end());
    }
    CHECK(joined == whole);
  }
}

TEST_CASE("RowsOfTheSlowerStoreHaveTheLastSlots") {
  std::mt19937 random(4);
  const Tables& tables = small_tables();
  for (const auto& [name, hierarchy] : hierarchies()) {
    const ResolvedPlan plan = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
    int64_t offloaded = 0;
    for (int rank = 0; rank < hierarchy.ranks(); ++rank) {
      const Directory directory(tables, hierarchy, plan, rank);
      std::vector<int64_t> keys(directory.slots());
      directory.keys_of_slots(0, keys);
      for (size_t slot = 0; slot < keys.size(); ++slot) {
        const ResolvedOption& option = plan.options[directory.option(keys[slot])];
        const bool expected = option.offloaded_in(hierarchy.domain(option.level, rank));
        REQUIRE((static_cast<int64_t>(slot) >= directory.device_slots()) == expected);
      }
      offloaded += directory.offloaded_slots();
    }
    CHECK(offloaded > 0);
  }
}

TEST_CASE("PlansThatDoNotCoverTheTablesAreRefused") {
  const Tables& tables = small_tables();
  const Hierarchy hierarchy = Hierarchy::flat(2);
  ResolvedPlan plan = ResolvedPlan::uniform(tables, hierarchy, 0);
  plan.tables[2].intervals = {{{5, 50, 0}}};
  CHECK_THROWS_AS(Directory(tables, hierarchy, plan, 0), Error);
  plan.tables[2].intervals = {{{0, 49, 0}}};
  CHECK_THROWS_AS(Directory(tables, hierarchy, plan, 0), Error);
  plan.tables[2].intervals = {{{0, 50, 0}}};
  plan.options[0].offloaded = {false, true};  // one domain at level 0
  CHECK_THROWS_AS(Directory(tables, hierarchy, plan, 0), Error);
  plan.options[0].offloaded.clear();
  plan.tables[2].intervals = {{{0, 50, 1}}};
  CHECK_THROWS_AS(Directory(tables, hierarchy, plan, 0), Error);
  plan.tables.pop_back();
  CHECK_THROWS_AS(Directory(tables, hierarchy, plan, 0), Error);
}

TEST_CASE("HierarchiesThatAreNoTreeAreRefused") {
  CHECK_THROWS_AS(Hierarchy({{0, 0, 1}, {0, 1, 2}}), Error);  // two roots
  CHECK_THROWS_AS(Hierarchy({{0, 0, 0}, {0, 1, 1}}), Error);  // two ranks in one leaf
  CHECK_THROWS_AS(Hierarchy({{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 1, 2}, {0, 1, 2, 3}}),
                  Error);                               // a domain in two parents
  CHECK_THROWS_AS(Hierarchy({{0, 0}, {0, 2}}), Error);  // a domain without ranks
}
