// The trainer on the CUDA backend, under mpirun: rows in pinned host memory, the overlapped step, and rows that move
// between plans in the middle of training, against the host backend and against each other.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "comm/collectives.hpp"
#include "comm/mpi_comm.hpp"
#include "exchange/self_comm.hpp"
#include "kernels/cuda_module.hpp"
#include "test/support/hierarchies.hpp"
#include "training_case.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

// From identical parameters, sums of fp32 products in another order: trainer_test.cpp.
constexpr double kSameLoss = 1e-6, kSameParameters = 1e-5;

/// This process and its GPU.
class Rank {
 public:
  Rank() {
    CudaOptions options;
    options.device = mpi_.local_rank();
    cuda_ = make_cuda_backend(options, SPARROW_CUDA_MODULE_DIR);
    comm_ = make_mpi_comm(mpi_, 60);
    if (mpi_.size() > 1)
      device_comm_ = make_nccl_comm(make_mpi_comm(mpi_, 60), SPARROW_CUDA_MODULE_DIR);
    else
      device_comm_ = std::make_unique<SelfComm>(*cuda_);
  }
  ~Rank() {  // nobody may still wait for a rank that has gone
    if (std::uncaught_exceptions() == 0) barrier(*comm_);
  }
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  RankContext context() const { return {*cuda_, *host_, *comm_, *device_comm_}; }
  Comm& comm() const { return *comm_; }

  /// Systems of as many ranks.
  std::vector<Hierarchy> hierarchies() const {
    std::vector<Hierarchy> result = {Hierarchy::flat(comm_->size())};
    if (comm_->size() == 4) result = {Hierarchy({{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 2, 3}})};
    return result;
  }

 private:
  MpiRuntime mpi_;
  std::unique_ptr<Backend> host_ = make_host_backend(1);
  std::unique_ptr<Backend> cuda_;
  std::unique_ptr<Comm> comm_, device_comm_;
};

Tables tables_of(const TrainingCase& problem) {
  return Tables(problem.rows, problem.model.embedding_dim);
}

/// NaN where this rank has nothing.
ModelState rows_here(RankTrainer& trainer) {
  ModelState state = empty_state(trainer.problem());
  for (auto* tensors : {&state.values, &state.state})
    for (auto& tensor : *tensors) std::fill(tensor.begin(), tensor.end(), std::numeric_limits<float>::quiet_NaN());
  trainer.read_state(state);
  return state;
}

/// `state` where `mine` has nothing, so that the two can be compared.
ModelState filled_up(ModelState mine, const ModelState& state) {
  if (mine.dense.empty()) mine.dense = state.dense;
  if (mine.dense_state.empty()) mine.dense_state = state.dense_state;
  for (const auto& [to, from] : {std::pair{&mine.values, &state.values}, std::pair{&mine.state, &state.state}})
    for (size_t t = 0; t < to->size(); ++t)
      for (size_t i = 0; i < (*to)[t].size(); ++i)
        if (std::isnan((*to)[t][i])) (*to)[t][i] = (*from)[t][i];
  return mine;
}

int64_t rows_of(const ModelState& mine, int64_t dim) {
  int64_t values = 0;
  for (const auto& tensor : mine.values)
    values += std::count_if(tensor.begin(), tensor.end(), [](float x) { return !std::isnan(x); });
  return values / dim;
}

/// The same bits, NaN being equal to itself.
bool same_bits(const ModelState& a, const ModelState& b) {
  const auto same = [](const std::vector<float>& x, const std::vector<float>& y) {
    return x.size() == y.size() &&
           std::equal(x.begin(), x.end(), y.begin(), [](float p, float q) { return p == q || (p != p && q != q); });
  };
  const auto all_same = [&](const auto& x, const auto& y) { return std::equal(x.begin(), x.end(), y.begin(), same); };
  return same(a.dense, b.dense) && same(a.dense_state, b.dense_state) && all_same(a.values, b.values) &&
         all_same(a.state, b.state);
}

/// What one rank sees of a run.
struct Seen {
  std::vector<double> losses;
  std::vector<float> logits;
  ModelState state;
};

bool same_bits(const Seen& a, const Seen& b) {
  return a.losses == b.losses && a.logits == b.logits && same_bits(a.state, b.state);
}

/// What was planned is what was taken, and nothing more was ever in use.
void check_memory(const Rank& rank, RankTrainer& trainer) {
  const MemoryByPart& planned = trainer->memory().needs;
  const MemoryByPart used = rank.context().backend.used_memory();
  for (const MemoryPart part : {MemoryPart::rows, MemoryPart::row_state, MemoryPart::dense, MemoryPart::activations,
                                MemoryPart::exchange, MemoryPart::scratch}) {
    INFO(memory_part_name(part));
    CHECK(used.of(part) == planned.of(part));
  }
  CHECK(rank.context().backend.most_memory() <= planned.total());
}

/// Trains some steps, with a prediction in the middle and one batch that is not announced.
Seen run(const Rank& rank, const TrainingCase& problem) {
  constexpr int64_t kSteps = 6, kPredictBehind = 1, kPauseBehind = 3;
  RankTrainer trainer(problem, rank.context());
  Seen seen;
  for (int64_t k = 0; k < kSteps; ++k) {
    seen.losses.push_back(trainer.step(k, k + 1 < kSteps && k != kPauseBehind));
    if (k == kPredictBehind) trainer.predict(k, seen.logits);
  }
  seen.state = rows_here(trainer);
  check_memory(rank, trainer);
  return seen;
}

void check_overlapped(const Rank& rank, TrainingCase problem) {
  problem.overlapped = false;
  const Seen sequential = run(rank, problem);
  problem.overlapped = true;
  const Seen overlapped = run(rank, problem);
  CHECK(same_bits(sequential, overlapped));
}

/// Adagrad with bags of 0 to 3 lookups, or single ones.
TrainingCase make_case(OptimizerKind optimizer, int longest_bag) {
  TrainingCase problem = with_adagrad({}, optimizer);
  problem.longest_bag = longest_bag;
  return problem;
}

}  // namespace

TEST_CASE("OverlappedAndSequentialGiveTheSameBitsOnCuda") {
  const Rank rank;
  std::mt19937 random(21);
  for (const Hierarchy& hierarchy : rank.hierarchies())
    for (const bool offloaded : {false, true}) {
      TrainingCase problem = make_case(offloaded ? OptimizerKind::rowwise_adagrad : OptimizerKind::adagrad, 3);
      problem.wire = offloaded ? DType::f32 : DType::bf16;
      problem.hierarchy = hierarchy;
      problem.plan = random_plan(tables_of(problem), hierarchy, hierarchy.depth(), random, offloaded);
      INFO((offloaded ? "with" : "without") << " rows in pinned host memory");
      check_overlapped(rank, problem);
    }
}

TEST_CASE("OffloadedRowsTrainToTheBitsOfHeldOnesOnCuda") {
  const Rank rank;
  for (const Hierarchy& hierarchy : rank.hierarchies()) {
    TrainingCase problem = make_case(OptimizerKind::rowwise_adagrad, 1);
    problem.hierarchy = hierarchy;
    const Seen held = run(rank, problem);
    problem.plan = ResolvedPlan::uniform(tables_of(problem), hierarchy, 0);
    for (ResolvedOption& option : problem.plan->options) option.offloaded.assign(hierarchy.domains(0), true);
    problem.overlapped = true;
    const Seen offloaded = run(rank, problem);
    CHECK(same_bits(held, offloaded));
  }
}

TEST_CASE("OneStepOnCudaInTheMiddleOfAMoveIsThatOfTheHost") {
  const Rank rank;
  std::mt19937 random(22);
  for (const Hierarchy& hierarchy : rank.hierarchies()) {
    TrainingCase problem = make_case(OptimizerKind::rowwise_adagrad, 3);
    const Trained before = train(problem, 1, 10);
    const Trained expected = train(problem, 1, 1, &before.state, 10);
    const Tables tables = tables_of(problem);
    problem.hierarchy = hierarchy;
    problem.room = {tables.total_rows(), tables.total_rows()};
    problem.plan = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
    RankTrainer trainer(problem, rank.context());
    trainer.write_state(before.state);
    trainer->migrate_to(random_plan(tables, hierarchy, hierarchy.depth(), random, true), 100);
    const double loss = trainer.step(10);
    CHECK(trainer->migration() != nullptr);
    CHECK(std::abs(loss - expected.losses[0]) <= kSameLoss);
    const ModelState found = rows_here(trainer);
    CHECK(relative_difference(filled_up(found, expected.state), expected.state) <= kSameParameters);
  }
}

TEST_CASE("AMoveOnCudaChangesNoBitOfAnyRowOrItsOptimiserState") {
  const Rank rank;
  std::mt19937 random(23);
  for (const Hierarchy& hierarchy : rank.hierarchies()) {
    TrainingCase problem = make_case(OptimizerKind::adagrad, 1);
    const ModelState before = train(problem, 1, 3).state;
    const Tables tables = tables_of(problem);
    problem.hierarchy = hierarchy;
    problem.room = {tables.total_rows(), tables.total_rows()};
    problem.plan = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
    RankTrainer trainer(problem, rank.context());
    trainer.write_state(before);
    for (const int64_t copies_per_move : {60, 100000}) {
      trainer->migrate_to(random_plan(tables, hierarchy, hierarchy.depth(), random, true), copies_per_move);
      while (trainer->migration()) trainer->move_rows();
      const ModelState after = rows_here(trainer);
      const SlotRoom held = trainer->directory().held();
      CHECK(rows_of(after, problem.model.embedding_dim) == held.device + held.offloaded);
      CHECK(same_bits(filled_up(after, before), before));
    }
  }
}

TEST_CASE("RowsByFirstUseTrainOnCudaAsByArithmetic") {
  const Rank rank;
  std::mt19937 random(24);
  for (const Hierarchy& hierarchy : rank.hierarchies())
    for (const bool mixed : {false, true}) {
      INFO((mixed ? "rows of all kinds" : "rows with one copy"));
      TrainingCase problem = make_case(mixed ? OptimizerKind::adagrad : OptimizerKind::rowwise_adagrad, 3);
      problem.rows = {1, 5, 40, 900};
      problem.hierarchy = hierarchy;
      problem.plan = mixed ? random_plan(tables_of(problem), hierarchy, hierarchy.depth(), random, true)
                           : ResolvedPlan::uniform(tables_of(problem), hierarchy, 0);
      const Seen expected = run(rank, problem);
      problem.first_use = true;
      const Seen found = run(rank, problem);
      for (size_t k = 0; k < expected.losses.size(); ++k)
        CHECK(std::abs(found.losses[k] - expected.losses[k]) <= 10 * kSameLoss);
      for (size_t i = 0; i < expected.logits.size(); ++i)
        CHECK(std::abs(found.logits[i] - expected.logits[i]) <= 1e-4f);
      check_overlapped(rank, problem);
    }
}

TEST_CASE("RowsByFirstUseMoveOnCudaBetweenPlans") {
  const Rank rank;
  std::mt19937 random(25);
  for (const Hierarchy& hierarchy : rank.hierarchies()) {
    TrainingCase problem = make_case(OptimizerKind::rowwise_adagrad, 1);
    problem.rows = {1, 5, 40, 900};
    const std::vector<double> expected = train(problem, 1, 8).losses;
    const Tables tables = tables_of(problem);
    problem.hierarchy = hierarchy;
    problem.room = {2 * tables.total_rows(), tables.total_rows()};
    problem.first_use = true;
    RankTrainer trainer(problem, rank.context());
    for (int64_t k = 0; k < 8; ++k) {
      if (k == 2) trainer.migrate_to(random_plan(tables, hierarchy, hierarchy.depth(), random, true), 400);
      if (k == 6 && !trainer->migration()) trainer.migrate_to(ResolvedPlan::uniform(tables, hierarchy, 0), 400);
      CHECK(std::abs(trainer.step(k, k < 7) - expected[k]) <= 10 * kSameLoss);
    }
  }
}
