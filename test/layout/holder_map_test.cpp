// Who holds which row, as batches settle it.
#include "layout/holder_map.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <thread>

#include "base/shared_memory.hpp"
#include "test/support/error_of.hpp"

using namespace sparrow;
using sparrow::test::error_of;

namespace {

using Rows = std::vector<HolderMap::NewHolder>;

std::shared_ptr<std::byte> memory_for(int64_t keys, size_t ranks) {
  return zeroed_memory(HolderMap::bytes(keys, static_cast<int>(ranks)));
}

/// A map of one rank alone, that remembers `remembered` steps.
HolderMap map_of(int64_t keys, const std::vector<int64_t>& room, int64_t remembered = 4) {
  return HolderMap(memory_for(keys, room.size()), keys, room, true, remembered);
}

std::vector<int> holders(const HolderMap& map) {
  std::vector<int> all;
  for (int64_t key = 0; key < map.keys(); ++key) all.push_back(map.holder(key));
  return all;
}

}  // namespace

TEST_CASE("AFullRankLeavesARowToTheNext") {
  HolderMap map = map_of(10, {2, 2});
  CHECK(map.version() == 0);
  map.settle(0, Rows{{5, 0}, {7, 0}, {9, 0}});
  CHECK(map.version() == 1);
  CHECK(map.holder(5) == 0);
  CHECK(map.holder(7) == 0);
  CHECK(map.holder(9) == 1);
  CHECK(map.holder(0) == HolderMap::kNobody);
  map.settle(1, Rows{{0, 1}});
  CHECK(map.holder(0) == 1);
  CHECK(error_of([&] { map.settle(2, Rows{{1, 1}}); }) == "no rank has room for row 1");
}

TEST_CASE("ARowThatIsHeldKeepsItsHolder") {
  HolderMap map = map_of(10, {5, 5});
  map.settle(0, Rows{{3, 1}, {3, 0}});
  map.settle(1, Rows{{3, 0}, {4, 0}});
  CHECK(map.holder(3) == 1);
  CHECK(map.holder(4) == 0);
  CHECK(map.recent()[0].keys == std::vector<int64_t>{3});
  CHECK(map.recent()[1].keys == std::vector<int64_t>{4});
}

TEST_CASE("BatchesAreSettledInOrder") {
  HolderMap map = map_of(10, {5});
  CHECK_THROWS_AS(map.settle(1, Rows{}), Error);
  map.settle(0, Rows{});
  CHECK_THROWS_AS(map.settle(0, Rows{}), Error);
  CHECK_THROWS_AS(map.settle(1, Rows{{10, 0}}), Error);
  CHECK_THROWS_AS(map.settle(1, Rows{{0, 1}}), Error);
}

TEST_CASE("OnlyTheLastStepsAreRemembered") {
  HolderMap map = map_of(100, {100}, 3);
  for (int64_t step = 0; step < 7; ++step) map.settle(step, Rows{{step, 0}});
  std::vector<int64_t> steps;
  for (const HolderMap::Recent& recent : map.recent()) steps.push_back(recent.step);
  CHECK(steps == std::vector<int64_t>{4, 5, 6});
}

TEST_CASE("RollingBackForgetsWhatCameSince") {
  for (const int ranks : {2, 300}) {
    HolderMap map = map_of(100, std::vector<int64_t>(ranks, 3)), expected = map_of(100, std::vector<int64_t>(ranks, 3));
    const std::vector<Rows> batches = {{{1, 0}, {2, 0}}, {{8, 0}, {3, 1}}, {{2, 1}, {9, 0}, {4, 0}}, {}};
    for (int64_t step = 0; step < 4; ++step) map.settle(step, batches[step]);
    for (int64_t step = 0; step < 1; ++step) expected.settle(step, batches[step]);
    CHECK(map.roll_back(1) == std::vector<int64_t>{3, 4, 8, 9});
    CHECK(holders(map) == holders(expected));
    CHECK(map.version() == 1);
    map.settle(1, batches[2]);  // and there is room again
    expected.settle(1, batches[2]);
    CHECK(holders(map) == holders(expected));
    CHECK_THROWS_AS(map_of(1, {1}).roll_back(-1), Error);
  }
}

TEST_CASE("WhatWasForgottenLongAgoCannotBeRolledBack") {
  HolderMap map = map_of(100, {100}, 2);
  for (int64_t step = 0; step < 7; ++step) map.settle(step, Rows{{step, 0}});
  CHECK_THROWS_AS(map.roll_back(4), Error);
  CHECK(map.roll_back(5).size() == 2);
}

TEST_CASE("PlacedRowsAreNotRecentAndKeepTheirHolders") {
  HolderMap map = map_of(10, {5, 5});
  map.settle(0, Rows{{1, 0}});
  map.place(Rows{{1, 1}, {2, 1}});
  CHECK(map.holder(1) == 0);
  CHECK(map.holder(2) == 1);
  CHECK(map.recent().size() == 1);
  map.forget({1, 3});
  CHECK(map.holder(1) == HolderMap::kNobody);
  CHECK(map.holder(2) == HolderMap::kNobody);
}

TEST_CASE("ManyRanksTakeTwoBytesARow") {
  CHECK(HolderMap::bytes(1000, 255) == 4096 + 1000);
  CHECK(HolderMap::bytes(1000, 256) == 4096 + 2000);
  CHECK_THROWS_AS(HolderMap::bytes(1000, 65536), Error);
  for (const int ranks : {254, 255, 256, 300}) {
    HolderMap map = map_of(3, std::vector<int64_t>(ranks, 1));
    map.settle(0, Rows{{0, ranks - 1}, {1, 7}});
    CHECK(map.holder(0) == ranks - 1);
    CHECK(map.holder(1) == 7);
    CHECK(map.holder(2) == HolderMap::kNobody);
  }
}

TEST_CASE("WaitingForABatchThatNobodySettlesIsAnError") {
  const HolderMap map = map_of(3, {3});
  CHECK(error_of([&] { map.wait_for(0, 0.01); }) ==
        "the new holders of batch 0 were not written within 0.01 s: 0 batches are");
}

TEST_CASE("AllRanksOfANodeSeeWhatTheLeaderWritesAndRememberTheSame") {
  constexpr int64_t kKeys = 5000, kSteps = 300;
  constexpr int kRanks = 4, kDelay = 3;
  // Batches that know of nothing in the last kDelay steps: rows come again.
  std::mt19937 random(7);
  std::vector<Rows> batches(kSteps);
  std::map<int64_t, int64_t> settled_at;
  for (int64_t step = 0; step < kSteps; ++step)
    for (int i = 0; i < 40; ++i) {
      const auto key = static_cast<int64_t>(random() % kKeys);
      const auto found = settled_at.emplace(key, step).first;
      if (found->second + kDelay > step) batches[step].push_back({key, static_cast<int>(random() % kRanks)});
    }
  const auto memory = memory_for(kKeys, kRanks);
  HolderMap expected = map_of(kKeys, std::vector<int64_t>(kRanks, kKeys), kDelay);
  std::vector<std::unique_ptr<HolderMap>> maps;
  for (int rank = 0; rank < kRanks; ++rank)
    maps.push_back(std::make_unique<HolderMap>(memory, kKeys, std::vector<int64_t>(kRanks, kKeys), rank == 1, kDelay));
  std::atomic<int64_t> wrong{0};
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank)
    threads.emplace_back([&, rank] {
      for (int64_t step = 0; step < kSteps; ++step) {
        maps[rank]->settle(step, batches[step]);
        maps[rank]->wait_for(step, 20);
        for (const auto& row : batches[step]) wrong += maps[rank]->holder(row.key) == HolderMap::kNobody;
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (int64_t step = 0; step < kSteps; ++step) expected.settle(step, batches[step]);
  CHECK(wrong == 0);
  for (const auto& map : maps) {
    CHECK(holders(*map) == holders(expected));
    REQUIRE(map->recent().size() == expected.recent().size());
    for (size_t i = 0; i < map->recent().size(); ++i) CHECK(map->recent()[i].keys == expected.recent()[i].keys);
  }
}
