// Checkpoints of runs whose rows are held by the ranks that use them first.
#include "checkpoint/holder_files.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "checkpoint/checkpoint.hpp"
#include "checkpoint/model_loading.hpp"
#include "comm/collectives.hpp"
#include "test/data/support.hpp"
#include "test/support/error_of.hpp"
#include "test/support/hierarchies.hpp"
#include "test/support/thread_comm.hpp"
#include "test/train/training_case.hpp"

using namespace sparrow;
using namespace sparrow::test;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kSavedAt = 4, kSteps = 9;

TrainingCase first_use_case() {
  TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
  problem.rows = {1, 5, 40, 3000};  // some rows of which are never used
  problem.first_use = true;
  problem.overlapped = true;
  return problem;
}

/// What a run has at its end.
struct Seen {
  std::vector<double> losses;  ///< from kSavedAt on
  std::vector<std::vector<float>> logits;
  std::vector<std::vector<int>> holders;                  ///< by rank and key
  std::vector<std::vector<std::vector<int64_t>>> recent;  ///< by rank, of the last steps
  ModelState state;
  bool operator==(const Seen&) const = default;
};

void check_same(const Seen& found, const Seen& expected) {
  CHECK(found.losses == expected.losses);
  CHECK(found.logits == expected.logits);
  CHECK(found.holders == expected.holders);
  CHECK(found.recent == expected.recent);
  CHECK(found.state == expected.state);
}

void train_on(RankTrainer& trainer, Comm& comm, int64_t from, Seen& seen) {
  for (int64_t k = from; k < kSteps; ++k) {
    const double loss = trainer.step(k, k + 1 < kSteps);
    if (comm.rank() == 0) seen.losses.push_back(loss);
  }
  trainer.predict(0, seen.logits[comm.rank()]);
  trainer.read_state(seen.state);
  const HolderMap* map = trainer->directory().holder_map();
  if (map == nullptr) return;
  for (int64_t key = 0; key < map->keys(); ++key) seen.holders[comm.rank()].push_back(map->holder(key));
  for (const HolderMap::Recent& step : map->recent())
    if (step.step >= 2 && !step.keys.empty()) seen.recent[comm.rank()].push_back(step.keys);
}

Seen nothing_seen(const TrainingCase& problem, int ranks) {
  TrainingCase alone = problem;
  alone.hierarchy.reset();
  alone.plan.reset();
  alone.first_use = false;
  const auto n = static_cast<size_t>(ranks);
  Seen seen;
  seen.logits.resize(n), seen.holders.resize(n), seen.recent.resize(n);
  seen.state = train(alone, 1, 0).state;  // rows that are never used
  return seen;
}

/// Saves at kSavedAt, where the next batch is settled and its rows are admitted, and goes on.
Seen train_and_save(const TrainingCase& problem, int ranks, const std::string& dir) {
  Seen seen = nothing_seen(problem, ranks);
  run_ranks(ranks, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    for (int64_t k = 0; k < kSavedAt; ++k) trainer.step(k, true);
    save_checkpoint(comm, *trainer, trainer.position_of(), {kSavedAt, kSavedAt * problem.global_batch}, dir, 2);
    train_on(trainer, comm, kSavedAt, seen);
  });
  return seen;
}

Seen load_and_train(const TrainingCase& problem, int ranks, const std::string& path) {
  Seen seen = nothing_seen(problem, ranks);
  run_ranks(ranks, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    trainer->set_steps(load_checkpoint(*trainer, trainer.id_of(), path).steps);
    train_on(trainer, comm, kSavedAt, seen);
  });
  return seen;
}

std::vector<std::pair<std::string, Hierarchy>> systems() {
  return {{"1", Hierarchy::flat(1)},
          {"3", Hierarchy::flat(3)},
          {"2 x 2", Hierarchy({{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 2, 3}})}};
}

void check_close(const Seen& found, const Seen& expected) {
  REQUIRE(found.losses.size() == expected.losses.size());
  for (size_t k = 0; k < expected.losses.size(); ++k) CHECK(std::abs(found.losses[k] - expected.losses[k]) <= 1e-5);
  CHECK(relative_difference(found.state, expected.state) <= 1e-4);
}

std::string saved_in(const TempFolder& folder) {
  return newest_checkpoint(folder.path()).value();
}

}  // namespace

TEST_CASE("ARunByFirstUseContinuesBitForBitWithTheSameHolders") {
  for (const auto& [name, hierarchy] : systems()) {
    INFO(name);
    const TempFolder folder;
    TrainingCase problem = first_use_case();
    problem.hierarchy = hierarchy;
    const Seen whole = train_and_save(problem, hierarchy.ranks(), folder.path());
    const Seen continued = load_and_train(problem, hierarchy.ranks(), saved_in(folder));
    check_same(continued, whole);
  }
}

TEST_CASE("WhatWasSettledAheadIsNotSaved") {
  const TempFolder ahead, plain;
  TrainingCase problem = first_use_case();
  train_and_save(problem, 3, ahead.path());
  run_ranks(3, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    for (int64_t k = 0; k < kSavedAt; ++k) trainer.step(k);
    save_checkpoint(comm, *trainer, trainer.position_of(), {kSavedAt, kSavedAt * problem.global_batch}, plain.path(),
                    2);
  });
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(plain.path())) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), plain.path()).string();
    CHECK(read_file(plain / name) == read_file(ahead / name));
    ++files;
  }
  CHECK(files == 2 + 4 + 1 + 2 * 4);
}

TEST_CASE("OnAnotherNumberOfRanksHoldersAreMappedOn") {
  const TempFolder folder;
  TrainingCase problem = first_use_case();
  const Seen whole = train_and_save(problem, 4, folder.path());
  for (const int ranks : {1, 2, 3, 7}) {
    INFO(ranks << " ranks");
    check_close(load_and_train(problem, ranks, saved_in(folder)), whole);
  }
  std::vector<int> four(3046), two(3046);
  for (const auto& [ranks, holders] : {std::pair{4, &four}, std::pair{2, &two}})
    run_ranks(ranks, [&, to = holders](Comm& comm) {
      RankTrainer trainer(problem, comm);
      load_checkpoint(*trainer, trainer.id_of(), saved_in(folder));
      for (int64_t key = 0; key < 3046 && comm.rank() == 0; ++key) (*to)[key] = trainer.holder_map()->holder(key);
    });
  for (int key = 0; key < 3046; ++key) CHECK(two[key] == (four[key] < 0 ? -1 : four[key] / 2));
}

TEST_CASE("ACheckpointWithoutHoldersIsPlacedByArithmetic") {
  const TempFolder folder;
  TrainingCase problem = first_use_case();
  problem.first_use = false;
  const Seen whole = train_and_save(problem, 3, folder.path());
  CHECK_FALSE(fs::exists(saved_in(folder) + "/holders"));
  problem.first_use = true;
  for (const int ranks : {3, 4}) {
    const Seen found = load_and_train(problem, ranks, saved_in(folder));
    check_close(found, whole);
    for (const int holder : found.holders[0]) CHECK(holder >= 0);
  }
}

TEST_CASE("ARunByArithmeticContinuesOneByFirstUse") {
  const TempFolder folder;
  TrainingCase problem = first_use_case();
  const Seen whole = train_and_save(problem, 3, folder.path());
  problem.first_use = false;
  for (const int ranks : {3, 4}) check_close(load_and_train(problem, ranks, saved_in(folder)), whole);
}

TEST_CASE("RowsThatHadCopiesAreHeldWhereArithmeticSaysUnderAnotherPlan") {
  // Trained rows must not be taken for such as were never used.
  std::mt19937 random(4);
  const TempFolder folder;
  TrainingCase problem = first_use_case();
  problem.hierarchy = Hierarchy::flat(3);
  const Tables tables(problem.rows, problem.model.embedding_dim);
  problem.plan = random_plan(tables, *problem.hierarchy, 1, random, true);
  const Seen whole = train_and_save(problem, 3, folder.path());
  for (int i = 0; i < 3; ++i) {
    problem.plan = i == 0 ? ResolvedPlan::uniform(tables, *problem.hierarchy, 0)
                          : random_plan(tables, *problem.hierarchy, 1, random, true);
    check_close(load_and_train(problem, 3, saved_in(folder)), whole);
  }
}

TEST_CASE("ARunContinuesBitForBitInTheMiddleOfAMove") {
  std::mt19937 random(9);
  for (const auto& [name, hierarchy] : systems())
    for (const bool from_mapped : {false, true}) {
      INFO(name << (from_mapped ? ", from" : ", to") << " a plan of mapped rows");
      const TempFolder folder;
      TrainingCase problem = first_use_case();
      const Tables tables(problem.rows, problem.model.embedding_dim);
      problem.hierarchy = hierarchy;
      problem.room = {2 * tables.total_rows(), tables.total_rows()};
      const ResolvedPlan mapped = ResolvedPlan::uniform(tables, hierarchy, 0);
      const ResolvedPlan other = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
      problem.plan = from_mapped ? mapped : other;
      const ResolvedPlan next = from_mapped ? other : mapped;
      const int ranks = hierarchy.ranks();
      Seen whole = nothing_seen(problem, ranks), continued = whole;
      std::optional<MigrationState> move;
      run_ranks(ranks, [&](Comm& comm) {
        RankTrainer trainer(problem, comm);
        for (int64_t k = 0; k < kSavedAt; ++k) {
          if (k == 2) trainer.migrate_to(next, 300);
          trainer.step(k, true);
        }
        if (trainer->migration() == nullptr) fail("the move is over");
        if (comm.rank() == 0) move = trainer->migration()->state();
        save_checkpoint(comm, *trainer, trainer.position_of(), {kSavedAt, kSavedAt * problem.global_batch},
                        folder.path(), 2);
        train_on(trainer, comm, kSavedAt, whole);
        while (trainer->migration()) trainer->move_rows();
        trainer.migrate_to(mapped, 100000);  // room is as it was
        train_on(trainer, comm, kSteps, whole);
      });
      run_ranks(ranks, [&](Comm& comm) {
        RankTrainer trainer(problem, comm);
        const RunPosition position = load_checkpoint(*trainer, trainer.id_of(), saved_in(folder),
                                                     [&] { trainer.continue_migration(next, *move); });
        trainer->set_steps(position.steps);
        train_on(trainer, comm, kSavedAt, continued);
        while (trainer->migration()) trainer->move_rows();
        trainer.migrate_to(mapped, 100000);
        train_on(trainer, comm, kSteps, continued);
      });
      check_same(continued, whole);
    }
}

TEST_CASE("WeightsAloneAreHeldWhereArithmeticSays") {
  const TempFolder folder;
  TrainingCase problem = first_use_case();
  train_and_save(problem, 3, folder.path());
  TrainingCase other = problem;
  other.seed += 1;  // no row may keep its own initial values
  ModelState expected = empty_state(problem), found = expected;
  for (const bool first_use : {false, true})
    run_ranks(2, [&](Comm& comm) {
      other.first_use = first_use;
      RankTrainer trainer(other, comm);
      load_weights(*trainer, trainer.id_of(), saved_in(folder));
      trainer.read_state(first_use ? found : expected);
      CHECK(trainer->directory().held().device > 1500);
    });
  CHECK(found == expected);
}

TEST_CASE("DamagedHoldersAreRefused") {
  const TempFolder folder;
  const TrainingCase problem = first_use_case();
  train_and_save(problem, 3, folder.path());
  const std::string path = saved_in(folder) + "/holders/";
  const auto refused = [&](const std::string& file, const std::string& bytes, const std::string& reason) {
    const std::string good = read_file(path + file);
    write_file(path + file, bytes);
    INFO(file << ": " << bytes.substr(0, 300));
    CHECK_THAT(error_of([&] { load_and_train(problem, 2, saved_in(folder)); }),
               Catch::Contains(path + file) && Catch::Contains(reason));
    write_file(path + file, good);
  };
  const std::string holders = read_file(path + "table_03.bin"), recent = read_file(path + "recent_03.bin");
  REQUIRE(holders.size() == 3000);
  REQUIRE(recent.size() > 32);
  refused("table_03.bin", holders.substr(1), "2999 bytes for 3000 rows");
  refused("table_03.bin", holders + "x", "3001 bytes");
  refused("table_03.bin", std::string(3000, 4), "rank 3 of 3 holds row");
  refused("table_03.bin", std::string(3000, 0), "nobody holds row");
  refused("recent_03.bin", recent.substr(1), "bytes");
  refused("recent_03.bin", recent.substr(16, 16) + recent.substr(0, 16), "after");
  refused("recent_03.bin", recent.substr(0, 16) + recent.substr(0, 16), "after");
  refused("recent_03.bin", std::string(8, 0) + std::string(7, '\xff') + '\x7f', "of 3000 rows");
  refused("recent_03.bin", std::string(7, '\xff') + '\x7f' + std::string(8, 0), "of 4");
  refused("recent_03.bin", std::string(16, '\xff'), "id -1");
  const auto index = nlohmann::json::parse(read_file(path + "index.json"));
  refused("index.json", "", "not the index");
  refused("index.json", "[]", "not the index");
  for (const char* room : {"[100, 100, -1]", "[1, 2, 1e300]", "[1, 2, 18446744073709551615]", "[1, 2, null]"}) {
    nlohmann::json changed = index;
    changed["room"] = nlohmann::json::parse(room);
    refused("index.json", changed.dump(), "room for");
  }
  for (const auto& [key, value] : index.items())
    for (const char* other : {"null", "-1", "0", "\"x\"", "[]", "1e300", "2.5", "70000", "18446744073709551615"}) {
      nlohmann::json changed = index;
      changed[key] = nlohmann::json::parse(other);
      refused("index.json", changed.dump(), "");
      changed.erase(key);
      refused("index.json", changed.dump(), "");
    }
  fs::remove(path + "table_01.bin");
  CHECK_THAT(error_of([&] { load_and_train(problem, 2, saved_in(folder)); }), Catch::Contains("table_01.bin"));
}
