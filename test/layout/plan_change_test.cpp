// Plans on the way from one to another, and the slots of rows that move.
#include "layout/plan_change.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "test/support/hierarchies.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

const Tables& tables() {
  static const Tables of({1, 7, 130, 300}, 4);
  return of;
}

std::map<int64_t, int64_t> slot_of_key(const Directory& directory) {
  std::vector<int64_t> keys(directory.slots());
  directory.keys_of_slots(0, keys);
  std::map<int64_t, int64_t> slots;
  for (size_t slot = 0; slot < keys.size(); ++slot)
    if (keys[slot] >= 0) {
      CHECK(slots.emplace(keys[slot], static_cast<int64_t>(slot)).second);
      CHECK(directory.slot(keys[slot]) == static_cast<int64_t>(slot));
      CHECK(directory.offloaded(keys[slot]) == (static_cast<int64_t>(slot) >= directory.device_slots()));
    }
  return slots;
}

std::vector<std::unique_ptr<Directory>> directories(const Hierarchy& hierarchy, const ResolvedPlan& plan) {
  std::vector<std::unique_ptr<Directory>> list;
  for (int rank = 0; rank < hierarchy.ranks(); ++rank)
    list.push_back(std::make_unique<Directory>(tables(), hierarchy, plan, rank,
                                               SlotRoom{tables().total_rows(), tables().total_rows()}));
  return list;
}

/// Keys in memory: contents[rank][slot] = key. What a migration does, without ranks.
using Contents = std::vector<std::map<int64_t, int64_t>>;

Contents contents_of(const std::vector<std::unique_ptr<Directory>>& all) {
  Contents contents(all.size());
  for (size_t rank = 0; rank < all.size(); ++rank)
    for (const auto& [key, slot] : slot_of_key(*all[rank])) contents[rank][slot] = key;
  return contents;
}

}  // namespace

TEST_CASE("RowsArriveWhereTheDirectoryLooksForThemAndTheOthersStayInTheirSlots") {
  std::mt19937 random(31);
  for (const auto& [name, hierarchy] : hierarchies())
    for (const int slices : {1, 3}) {
      INFO(name << ", " << slices << " slices");
      ResolvedPlan from = random_plan(tables(), hierarchy, hierarchy.depth(), random, true);
      auto all = directories(hierarchy, from);
      Contents contents = contents_of(all);
      for (int i = 0; i < 4; ++i) {
        const ResolvedPlan to = random_plan(tables(), hierarchy, hierarchy.depth(), random, true);
        const PlanChange change(tables(), hierarchy, from, to, slices);
        std::vector<SlotRoom> most(all.size());
        for (size_t rank = 0; rank < all.size(); ++rank) most[rank] = change.most_held(static_cast<int>(rank));
        for (auto& directory : all) directory->follow(change.plan(0));
        int64_t done = 0;
        while (done < change.positions()) {
          const int64_t end = change.end_of_step(done, 1 + static_cast<int64_t>(random() % 200));
          REQUIRE(end > done);
          std::vector<PlanChange::RowMove> moves;
          change.visit(done, end, [&](const PlanChange::RowMove& move) {
            const auto& source = *all[move.source];
            CHECK(contents[move.source].at(source.slot(move.key)) == move.key);
            moves.push_back(move);
          });
          done = end;
          for (auto& directory : all) directory->follow(done == change.positions() ? to : change.plan(done));
          for (const auto& move : moves) {
            const auto destination = static_cast<size_t>(move.destination);
            contents[destination][all[destination]->slot(move.key)] = move.key;
          }
          for (size_t rank = 0; rank < all.size(); ++rank) {
            const SlotRoom held = all[rank]->held();
            CHECK(held.device <= most[rank].device);
            CHECK(held.offloaded <= most[rank].offloaded);
            for (const auto& [key, slot] : slot_of_key(*all[rank])) CHECK(contents[rank].at(slot) == key);
          }
        }
        // As a directory made for the new plan sees it.
        const auto made = directories(hierarchy, to);
        for (size_t rank = 0; rank < all.size(); ++rank) {
          CHECK(slot_of_key(*all[rank]).size() == slot_of_key(*made[rank]).size());
          for (int64_t key = 0; key < tables().total_rows(); ++key)
            CHECK(all[rank]->holder(key) == made[rank]->holder(key));
        }
        from = to;
      }
    }
}

TEST_CASE("CopiesBetweenRanksAreThoseThatAreVisited") {
  std::mt19937 random(32);
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    const ResolvedPlan from = random_plan(tables(), hierarchy, hierarchy.depth(), random);
    const ResolvedPlan to = random_plan(tables(), hierarchy, hierarchy.depth(), random);
    const PlanChange change(tables(), hierarchy, from, to, 1);
    const auto ranks = static_cast<size_t>(hierarchy.ranks());
    std::vector<int64_t> visited(ranks * ranks);
    change.visit(0, change.positions(), [&](const PlanChange::RowMove& move) {
      ++visited[static_cast<size_t>(move.source) * ranks + static_cast<size_t>(move.destination)];
    });
    CHECK(change.copies_between_ranks() == visited);
  }
}

TEST_CASE("NothingMovesBetweenPlansWithTheSameHolders") {
  const Hierarchy hierarchy = Hierarchy::flat(3);
  const ResolvedPlan from = ResolvedPlan::uniform(tables(), hierarchy, 0);
  ResolvedPlan to = from;
  to.tables[2].rules[0].holders.offset += 3;  // a whole turn
  to.tables[3].rules[0].transport = Transport::pooled;
  to.tables[3].intervals = {{{0, 100, 0}}, {{100, tables().rows(3), 0}}};
  CHECK(PlanChange(tables(), hierarchy, from, to, 1).positions() == 0);
  to.tables[2].rules[0].holders.offset += 1;
  CHECK(PlanChange(tables(), hierarchy, from, to, 1).positions() == tables().rows(2));
}

TEST_CASE("MoreSlicesKeepWhatARankHoldsNearItsShare") {
  // Table 2 goes from rank 0 to rank 1, table 3 from rank 1 to rank 0.
  const Tables two({1000, 1000}, 4);
  const Hierarchy hierarchy = Hierarchy::flat(2);
  ResolvedPlan from = ResolvedPlan::uniform(two, hierarchy, 0), to = from;
  const auto fix = [](ResolvedTable& table, int64_t holder) { table.rules[0].holders.fixed = holder; };
  fix(from.tables[0], 0), fix(to.tables[1], 0);
  fix(from.tables[1], 1), fix(to.tables[0], 1);
  CHECK(PlanChange(two, hierarchy, from, to, 1).most_held(1).device == 2000);
  // A tenth, and the rows of a turn of the rings, before and after.
  CHECK(PlanChange(two, hierarchy, from, to, 10).most_held(1).device == 1100 + 2);
}

TEST_CASE("PlansOnTheWayMoveAtMostSoManyCopies") {
  std::mt19937 random(33);
  const Hierarchy hierarchy({{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 2, 3}});
  for (int i = 0; i < 20; ++i) {
    const PlanChange change(tables(), hierarchy, random_plan(tables(), hierarchy, 2, random),
                            random_plan(tables(), hierarchy, 2, random), 1 + i % 3);
    for (int64_t done = 0; done < change.positions();) {
      const int64_t most = 4 + static_cast<int64_t>(random() % 50), end = change.end_of_step(done, most);
      int64_t copies = 0;
      change.visit(done, end, [&](const PlanChange::RowMove&) { ++copies; });
      CHECK(copies <= most);
      done = end;
    }
  }
}

TEST_CASE("ADirectoryThatHasNoRoomSaysSoAndStaysAsItWas") {
  const Hierarchy hierarchy = Hierarchy::flat(2);
  const ResolvedPlan held = ResolvedPlan::uniform(tables(), hierarchy, 0);
  Directory directory(tables(), hierarchy, held, 0);
  const auto before = slot_of_key(directory);
  CHECK_THROWS_WITH(directory.follow(ResolvedPlan::uniform(tables(), hierarchy, 1)),
                    Catch::Contains("has no room for"));
  CHECK(slot_of_key(directory) == before);
  CHECK(directory.holder(tables().first_key(2)) ==
        Directory(tables(), hierarchy, held, 0).holder(tables().first_key(2)));
}
