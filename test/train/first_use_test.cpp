// Rows held by the rank that uses them first: the same training as where arithmetic says who holds them.
#include <catch2/catch.hpp>
#include <cmath>

#include "test/support/hierarchies.hpp"
#include "test/support/thread_comm.hpp"
#include "training_case.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

// As in trainer_test.cpp: sums in another order.
constexpr double kSameParameters = 1e-5, kSameLossOver20Steps = 1e-5;

/// What the ranks see of a run: losses and predictions, rows that were used, and how many each holds.
struct Seen {
  std::vector<double> losses;
  std::vector<std::vector<float>> logits;  ///< by rank
  ModelState state;
  std::vector<int64_t> held;
};

/// Trains, with predictions on the way, which look up rows that nobody has used. Rows never used stay as in `initial`.
Seen run(const TrainingCase& problem, int ranks, int64_t steps, const ModelState& initial) {
  Seen seen{{}, std::vector<std::vector<float>>(ranks), initial, std::vector<int64_t>(ranks)};
  run_ranks(
      ranks,
      [&](Comm& comm) {
        RankTrainer trainer(problem, comm);
        for (int64_t k = 0; k < steps; ++k) {
          const double loss = trainer.step(k, k + 1 < steps && k % 5 != 4);
          if (comm.rank() == 0) seen.losses.push_back(loss);
          if (k % 3 == 1) trainer.predict(k, seen.logits[comm.rank()]);
        }
        trainer.read_state(seen.state);
        seen.held[comm.rank()] = trainer->directory().held().device;
      },
      60);
  return seen;
}

double largest_difference(const Seen& a, const Seen& b) {
  double most = 0;
  for (size_t k = 0; k < a.losses.size(); ++k) most = std::max(most, std::abs(a.losses[k] - b.losses[k]));
  return most;
}

double largest_of_logits(const Seen& a, const Seen& b) {
  double most = 0;
  for (size_t rank = 0; rank < a.logits.size(); ++rank)
    for (size_t i = 0; i < a.logits[rank].size(); ++i)
      most = std::max(most, static_cast<double>(std::abs(a.logits[rank][i] - b.logits[rank][i])));
  return most;
}

/// Against the same plan by arithmetic; sequential and overlapped give the same bits.
void check_same_training(TrainingCase problem, int ranks, int64_t steps = 20) {
  problem.first_use = false;
  TrainingCase alone = problem;
  alone.hierarchy.reset();
  alone.plan.reset();
  alone.shares.clear();
  const ModelState initial = train(alone, 1, 0).state;
  const Seen expected = run(problem, ranks, steps, initial);
  problem.first_use = true;
  const Seen found = run(problem, ranks, steps, initial);
  CHECK(largest_difference(found, expected) <= kSameLossOver20Steps);
  CHECK(largest_of_logits(found, expected) <= 1e-4);
  CHECK(relative_difference(found.state, expected.state) <= kSameParameters * static_cast<double>(steps));
  problem.overlapped = !problem.overlapped;
  const Seen other = run(problem, ranks, steps, initial);
  CHECK(other.losses == found.losses);
  CHECK(other.logits == found.logits);
  CHECK(other.state == found.state);
  CHECK(other.held == found.held);
}

}  // namespace

TEST_CASE("HoldersByFirstUseTrainAsArithmeticDoesOnEverySystem") {
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    TrainingCase problem = with_sgd({}, 0.01);
    problem.hierarchy = hierarchy;
    check_same_training(problem, hierarchy.ranks());
  }
}

TEST_CASE("HoldersByFirstUseTrainBagsOfAnyPlanAsArithmeticDoes") {
  std::mt19937 random(31);
  for (const auto& [name, hierarchy] : hierarchies())
    for (const bool offloaded : {false, true}) {
      INFO(name << (offloaded ? ", with" : ", without") << " rows in slower stores");
      TrainingCase problem = with_adagrad({}, offloaded ? OptimizerKind::rowwise_adagrad : OptimizerKind::adagrad);
      problem.hierarchy = hierarchy;
      problem.longest_bag = 3;
      problem.plan = random_plan(Tables(problem.rows, problem.model.embedding_dim), hierarchy, hierarchy.depth(),
                                 random, offloaded);
      check_same_training(problem, hierarchy.ranks(), 8);
    }
}

TEST_CASE("HoldersByFirstUseWithAServerWithoutSamples") {
  TrainingCase problem = with_sgd({}, 0.01);
  problem.shares = {2, 1, 1, 0};
  for (const Hierarchy& hierarchy : {Hierarchy::flat(4), Hierarchy({{0, 0, 0, 0}, {0, 0, 0, 1}, {0, 1, 2, 3}}),
                                     Hierarchy({{0, 0, 0, 0}, {0, 1, 2, 3}}, {0, 0, 0, 1})}) {
    problem.hierarchy = hierarchy;
    check_same_training(problem, 4);
  }
}

TEST_CASE("RowsGoToTheNextRankWhereOneIsFull") {
  TrainingCase problem = with_sgd({}, 0.01);
  problem.mapped_room = {30, 0, 300, 16};  // of 346 rows
  problem.hierarchy = Hierarchy::flat(4);
  check_same_training(problem, 4);
}

TEST_CASE("OnlyRowsThatWereUsedAreHeld") {
  TrainingCase problem = with_sgd({}, 0.01);
  problem.rows = {100000, 3};
  problem.first_use = true;
  const Seen seen = run(problem, 3, 4, empty_state(problem));
  int64_t held = 0;
  for (const int64_t rows : seen.held) held += rows;
  CHECK(held > 100);
  CHECK(held <= 4 * problem.global_batch + 3);
}

TEST_CASE("TheSameRunByFirstUseTwiceIsBitIdentical") {
  TrainingCase problem;
  problem.first_use = true;
  problem.longest_bag = 3;
  const ModelState initial = empty_state(problem);
  const Seen first = run(problem, 3, 12, initial), second = run(problem, 3, 12, initial);
  CHECK(first.losses == second.losses);
  CHECK(first.state == second.state);
}

TEST_CASE("TrainingARowThatNobodyHoldsIsAnError") {
  TrainingCase problem = with_sgd({}, 0.01);
  problem.first_use = true;
  run_ranks(1, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    const PartOfBatch part(problem, 0, 0, 1);  // nobody settled who holds its rows
    try {
      trainer->step(part.batch);
      FAIL("no error");
    } catch (const Error& error) {
      CHECK_THAT(error.what(), Catch::Contains("is to train row"));
    }
  });
}

TEST_CASE("RowsPlacedByArithmeticTrainToTheBitsOfArithmetic") {
  TrainingCase problem = with_adagrad({}, OptimizerKind::adagrad);
  problem.hierarchy = Hierarchy({{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 2, 3}});
  const Trained expected = train(problem, 4, 6);
  problem.first_use = true;
  Trained found{{}, empty_state(problem)};
  run_ranks(4, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    trainer.place_all();
    for (int64_t k = 0; k < 6; ++k) {
      const double loss = trainer.step(k, k < 5);
      if (comm.rank() == 0) found.losses.push_back(loss);
    }
    trainer.read_state(found.state);
  });
  CHECK(found.losses == expected.losses);
  CHECK(found.state == expected.state);
}
