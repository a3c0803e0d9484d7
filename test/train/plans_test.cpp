// Training is the same for every plan on every system: random levels, reductions, transports and fixed holders.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <mutex>

#include "test/support/hierarchies.hpp"
#include "test/support/thread_comm.hpp"
#include "training_case.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

// As in trainer_test.cpp: sums in another order.
constexpr double kSameLoss = 1e-6, kSameParameters = 1e-5, kSameLossOver20Steps = 1e-5;

/// Trains as train() does, and requires that all copies of a row end with the same bits.
Trained train_with_copies(const TrainingCase& problem, int ranks, int64_t steps, const ModelState* start,
                          int64_t first) {
  const float unset = std::numeric_limits<float>::quiet_NaN();
  Trained result;
  result.state = empty_state(problem);
  for (auto* tensors : {&result.state.values, &result.state.state})
    for (auto& tensor : *tensors) std::fill(tensor.begin(), tensor.end(), unset);
  std::mutex mutex;
  int64_t copies_that_differ = 0;
  run_ranks(
      ranks,
      [&](Comm& comm) {
        RankTrainer trainer(problem, comm);
        if (start) trainer.write_state(*start);
        std::vector<double> losses;
        for (int64_t k = first; k < first + steps; ++k) losses.push_back(trainer.step(k));
        ModelState mine = empty_state(problem);
        for (auto* tensors : {&mine.values, &mine.state})
          for (auto& tensor : *tensors) std::fill(tensor.begin(), tensor.end(), unset);
        trainer.read_state(mine);
        const std::lock_guard lock(mutex);
        if (comm.rank() == 0) {
          result.losses = losses;
          result.state.dense = mine.dense;
          result.state.dense_state = mine.dense_state;
        }
        const auto merge = [&](std::vector<std::vector<float>>& all, const std::vector<std::vector<float>>& part) {
          for (size_t t = 0; t < all.size(); ++t)
            for (size_t i = 0; i < all[t].size(); ++i) {
              if (std::isnan(part[t][i])) continue;
              if (!std::isnan(all[t][i]) && all[t][i] != part[t][i]) ++copies_that_differ;
              all[t][i] = part[t][i];
            }
        };
        merge(result.state.values, mine.values);
        merge(result.state.state, mine.state);
      },
      60);
  CHECK(copies_that_differ == 0);
  return result;
}

/// Plans for a hierarchy: uniform ones at every level, and random ones.
std::vector<ResolvedPlan> plans(const TrainingCase& problem, const Hierarchy& hierarchy, std::mt19937& random) {
  const Tables tables(problem.rows, problem.model.embedding_dim);
  std::vector<ResolvedPlan> list;
  for (int level = 0; level <= hierarchy.depth(); ++level)
    for (const Reduction reduction : {Reduction::dense, Reduction::sparse})
      list.push_back(ResolvedPlan::uniform(tables, hierarchy, level, reduction));
  for (int i = 0; i < 3; ++i) list.push_back(random_plan(tables, hierarchy, hierarchy.depth(), random));
  for (int i = 0; i < 2; ++i) list.push_back(random_plan(tables, hierarchy, hierarchy.depth(), random, true));
  list.push_back(ResolvedPlan::uniform(tables, hierarchy, 0));
  list.back().options[0].offloaded = {true};
  return list;
}

void check_all(TrainingCase problem) {
  std::mt19937 random(3);
  const Trained before = train(problem, 1, 10);
  const Trained expected = train(problem, 1, 1, &before.state, 10);
  for (const auto& [name, hierarchy] : hierarchies())
    for (const ResolvedPlan& plan : plans(problem, hierarchy, random)) {
      INFO(name);
      problem.hierarchy = hierarchy;
      problem.plan = plan;
      const Trained found = train_with_copies(problem, hierarchy.ranks(), 1, &before.state, 10);
      REQUIRE(found.losses.size() == 1);
      CHECK(std::abs(found.losses[0] - expected.losses[0]) <= kSameLoss);
      CHECK(relative_difference(found.state, expected.state) <= kSameParameters);
    }
}

}  // namespace

TEST_CASE("OneStepOfSgdIsTheSameForEveryPlanOnEverySystem") {
  check_all(with_sgd({}, 0.1));
}

TEST_CASE("OneStepOfRowwiseAdagradWithBagsIsTheSameForEveryPlanOnEverySystem") {
  TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
  problem.longest_bag = 3;
  check_all(problem);
}

TEST_CASE("TwentyStepsHaveTheSameLossesForRandomPlans") {
  std::mt19937 random(4);
  TrainingCase problem = with_sgd({}, 0.01);
  const std::vector<double> expected = train(problem, 1, 20).losses;
  const Tables tables(problem.rows, problem.model.embedding_dim);
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    problem.hierarchy = hierarchy;
    problem.plan = random_plan(tables, hierarchy, hierarchy.depth(), random);
    const Trained found = train_with_copies(problem, hierarchy.ranks(), 20, nullptr, 0);
    for (size_t k = 0; k < expected.size(); ++k) CHECK(std::abs(found.losses[k] - expected[k]) <= kSameLossOver20Steps);
  }
}

TEST_CASE("RowsOnDiskTrainToTheSameBitsAsRowsInMemory") {
  // The same plan but for the store: the same sums in the same order.
  TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
  problem.longest_bag = 3;
  const Tables tables(problem.rows, problem.model.embedding_dim);
  for (const auto& [name, hierarchy] : hierarchies())
    for (const Transport transport : {Transport::staged, Transport::direct, Transport::pooled}) {
      INFO(name << ", transport " << static_cast<int>(transport));
      problem.hierarchy = hierarchy;
      problem.plan = ResolvedPlan::uniform(tables, hierarchy, 0);
      for (ResolvedTable& table : problem.plan->tables) table.rules[0].transport = transport;
      const Trained held = train_with_copies(problem, hierarchy.ranks(), 4, nullptr, 0);
      problem.plan->options[0].offloaded = {true};
      const Trained offloaded = train_with_copies(problem, hierarchy.ranks(), 4, nullptr, 0);
      CHECK(offloaded.losses == held.losses);
      CHECK(offloaded.state == held.state);
    }
}

TEST_CASE("AServerWithoutSamplesTrainsWithItsClients") {
  TrainingCase problem = with_sgd({}, 0.1);
  const Trained expected = train(problem, 1, 3);
  problem.shares = {0, 2, 1, 1};
  problem.hierarchy = Hierarchy({{0, 0, 0, 0}, {0, 1, 2, 3}}, {1, 0, 0, 0});
  const Trained found = train_with_copies(problem, 4, 3, nullptr, 0);
  for (size_t k = 0; k < 3; ++k) CHECK(std::abs(found.losses[k] - expected.losses[k]) <= kSameLossOver20Steps);
}

TEST_CASE("Bf16OnTheWireKeepsCopiesEqualAndLossesClose") {
  std::mt19937 random(5);
  TrainingCase problem = with_sgd({}, 0.01);
  const std::vector<double> exact = train(problem, 1, 20).losses;
  const Tables tables(problem.rows, problem.model.embedding_dim);
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    problem.hierarchy = hierarchy;
    problem.plan = random_plan(tables, hierarchy, hierarchy.depth(), random);
    problem.wire = DType::bf16;
    const Trained found = train_with_copies(problem, hierarchy.ranks(), 20, nullptr, 0);
    // Rows are rounded to 8 bits: 2^-9 relative, so pooled values and logits of order 1 move by a few thousandths at
    // most.
    for (size_t k = 0; k < exact.size(); ++k) CHECK(std::abs(found.losses[k] - exact[k]) <= 5e-3);
  }
}
