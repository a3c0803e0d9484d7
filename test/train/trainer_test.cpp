// Training is the same for every number of ranks, and learns.
#include "train/trainer.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "comm/collectives.hpp"
#include "test/support/thread_comm.hpp"
#include "training_case.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

// The bounds of "same training". fp32 sums of a batch's gradients in another order differ by a few 2^-24 = 6e-8 of the
// sum of the magnitudes, which cancellation makes ten or so times more of the sum itself; an update moves a parameter
// by a hundredth of its size or less.
constexpr double kSameLoss = 1e-6, kSameParameters = 1e-5, kSameLossOver20Steps = 1e-5;

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

/// One step from identical parameters, early and late in a training, must not depend on the number of ranks.
void check_one_step(const TrainingCase& problem) {
  for (const int64_t at : {0, 10, 100}) {
    const Trained before = train(problem, 1, at);
    const Trained expected = train(problem, 1, 1, &before.state, at);
    CHECK(relative_difference(expected.state, before.state) > 1e-4);  // the step does something
    for (const int ranks : {2, 3, 4, 7}) {
      INFO(ranks << " ranks at step " << at);
      const Trained found = train(problem, ranks, 1, &before.state, at);
      CHECK(largest_difference(found.losses, expected.losses) <= kSameLoss);
      CHECK(relative_difference(found.state, expected.state) <= kSameParameters);
    }
  }
}

}  // namespace

TEST_CASE("InitialParametersDoNotDependOnTheNumberOfRanks") {
  const TrainingCase problem;
  const ModelState expected = train(problem, 1, 0).state;
  CHECK(expected.values[3][0] != expected.values[3][1]);
  for (const int ranks : {2, 3, 4, 7}) CHECK(train(problem, ranks, 0).state == expected);
}

TEST_CASE("OneStepOfSgdIsTheSameOnAnyNumberOfRanks") {
  check_one_step(with_sgd({}, 0.1));
}

TEST_CASE("OneStepOfAdagradIsTheSameOnAnyNumberOfRanks") {
  check_one_step(with_adagrad({}, OptimizerKind::adagrad));
}

TEST_CASE("OneStepOfRowwiseAdagradIsTheSameOnAnyNumberOfRanks") {
  check_one_step(with_adagrad({}, OptimizerKind::rowwise_adagrad));
}

TEST_CASE("OneStepWithBagsOfSeveralLookupsIsTheSameOnAnyNumberOfRanks") {
  TrainingCase problem = with_sgd({}, 0.1);
  problem.longest_bag = 4;
  check_one_step(problem);
}

TEST_CASE("TwentyStepsOfSgdHaveTheSameLossesOnAnyNumberOfRanks") {
  const TrainingCase problem = with_sgd({}, 0.01);
  const std::vector<double> expected = train(problem, 1, 20).losses;
  for (const int ranks : {2, 3, 4, 7}) {
    INFO(ranks << " ranks");
    CHECK(largest_difference(train(problem, ranks, 20).losses, expected) <= kSameLossOver20Steps);
  }
}

TEST_CASE("TheSameRunTwiceIsBitIdentical") {
  for (const DType precision : {DType::f32, DType::bf16}) {
    TrainingCase problem;
    problem.precision = precision;
    problem.longest_bag = 3;
    for (const int ranks : {1, 3}) {
      const Trained first = train(problem, ranks, 12), second = train(problem, ranks, 12);
      CHECK(first.losses == second.losses);
      CHECK(first.state == second.state);
    }
  }
}

TEST_CASE("UnevenSharesAndRanksWithoutSamplesTrainTheSame") {
  TrainingCase problem = with_sgd({}, 0.1);
  const Trained expected = train(problem, 1, 1);
  for (const auto& shares :
       std::vector<std::vector<double>>{{1, 0}, {0, 1, 3}, {0.5, 0, 0, 2.25}, {5, 1, 0, 0, 0, 0, 9}}) {
    problem.shares = shares;
    const auto ranks = static_cast<int>(shares.size());
    INFO(ranks << " ranks");
    const Trained found = train(problem, ranks, 1);
    CHECK(largest_difference(found.losses, expected.losses) <= kSameLoss);
    CHECK(relative_difference(found.state, expected.state) <= kSameParameters);
  }
}

TEST_CASE("ABatchSmallerThanTheNumberOfRanksTrainsTheSame") {
  TrainingCase problem = with_sgd({}, 0.1);
  problem.global_batch = 3;
  const Trained expected = train(problem, 1, 2), found = train(problem, 7, 2);
  CHECK(largest_difference(found.losses, expected.losses) <= kSameLoss);
  CHECK(relative_difference(found.state, expected.state) <= kSameParameters);
}

TEST_CASE("TrainingLearns") {
  for (const DType precision : {DType::f32, DType::bf16}) {
    TrainingCase problem;
    problem.precision = precision;
    const std::vector<double> losses = train(problem, 2, 300).losses;
    const double early = std::accumulate(losses.begin(), losses.begin() + 20, 0.0) / 20;
    const double late = std::accumulate(losses.end() - 20, losses.end(), 0.0) / 20;
    CHECK(late < early - 0.05);
  }
}

TEST_CASE("Bf16FollowsFp32") {
  TrainingCase problem = with_sgd({}, 0.01);
  const std::vector<double> expected = train(problem, 2, 20).losses;
  problem.precision = DType::bf16;
  const std::vector<double> found = train(problem, 2, 20).losses;
  // A bf16 value is off by up to 2^-9 = 0.002; logits of size about 1 pass six roundings, with random signs.
  CHECK(largest_difference(found, expected) < 0.02);
  CHECK(largest_difference(found, expected) > 0);
}

TEST_CASE("PredictionsNeitherTrainNorCount") {
  const TrainingCase problem;
  ModelState before = empty_state(problem), after = before;
  run_ranks(2, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    trainer.read_state(before);
    const PartOfBatch part(problem, 0, comm.rank(), comm.size());
    double loss_sum = 0;
    const std::span<const float> logits = trainer->predict(part.batch, loss_sum);
    if (static_cast<int64_t>(logits.size()) != part.batch.samples) fail("{} logits", logits.size());
    double expected = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      const double x = static_cast<double>(logits[i]);
      expected += std::log1p(std::exp(x)) - static_cast<double>(part.labels[i]) * x;
    }
    if (std::abs(loss_sum - expected) > 1e-4) fail("loss {} instead of {}", loss_sum, expected);
    if (trainer->ledger().iterations != 0 || trainer->steps() != 0) fail("a prediction counted as a step");
    trainer.read_state(after);
    const double mean_loss = sum(comm, loss_sum) / static_cast<double>(problem.global_batch);
    if (std::abs(mean_loss - trainer.step(0)) > 1e-6) fail("the step's loss is another one");
  });
  CHECK(before == after);
}

TEST_CASE("TheLedgerCountsWhatAStepMoves") {
  // Two ranks, one table whose row `position` is held by rank (position + offset) mod 2: every lookup of a row of the
  // other rank moves one key there, one row back and one gradient there.
  TrainingCase problem = with_sgd({}, 0.1);
  problem.rows = {2};
  run_ranks(2, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    trainer.step(0);
    const Ledger& ledger = trainer->ledger();
    const auto sent = [&](Phase phase) { return ledger.traffic.sent_bytes[static_cast<size_t>(phase)]; };
    const int64_t row_bytes = problem.model.embedding_dim * 4;
    if (ledger.iterations != 1 || ledger.samples != 32 || ledger.lookups != 32 || ledger.distinct_rows != 2)
      fail("{} iterations, {} samples, {} lookups, {} distinct rows", ledger.iterations, ledger.samples, ledger.lookups,
           ledger.distinct_rows);
    if (sent(Phase::rows) != row_bytes || sent(Phase::gradients) != row_bytes)
      fail("{} bytes of rows, {} of gradients", sent(Phase::rows), sent(Phase::gradients));
    if (sent(Phase::ids) < 4) fail("{} bytes of ids", sent(Phase::ids));
    if (sent(Phase::allreduce) != 4 * trainer->model().parameter_count())
      fail("{} bytes all-reduced", sent(Phase::allreduce));
  });
}

TEST_CASE("LearningRateWarmsUpHoldsAndDecays") {
  OptimizerOptions options;
  CHECK(learning_rate_factor(options, 0) == 1);
  CHECK(learning_rate_factor(options, 1000000) == 1);
  options.warmup_steps = 4;
  CHECK(learning_rate_factor(options, 0) == 0.25);
  CHECK(learning_rate_factor(options, 3) == 1);
  options.decay_start = 10;
  options.decay_steps = 5;
  CHECK(learning_rate_factor(options, 9) == 1);
  CHECK(learning_rate_factor(options, 10) == 1);
  CHECK(learning_rate_factor(options, 12) == Approx(0.36));
  CHECK(learning_rate_factor(options, 14) == Approx(0.04));
  CHECK(learning_rate_factor(options, 1000) == Approx(0.04));  // held at the last value, never 0
}

TEST_CASE("TheLearningRateFactorScalesBothUpdates") {
  const TrainingCase plain = with_sgd({}, 0.05);
  TrainingCase warming = with_sgd({}, 0.1);
  warming.optimizer.warmup_steps = 2;  // the first step at half the rate
  CHECK(relative_difference(train(warming, 2, 1).state, train(plain, 2, 1).state) < 1e-6);
}

TEST_CASE("RowwiseAdagradForDenseParametersIsRefused") {
  TrainingCase problem;
  problem.optimizer.dense.kind = OptimizerKind::rowwise_adagrad;
  CHECK_THROWS_AS(train(problem, 1, 0), Error);
}
