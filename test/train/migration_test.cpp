// Rows move between plans, and between device memory and the slower store, in the middle of training, and nothing about
// the training changes.
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

/// States of all ranks as one. Counts values that differ between copies of a row.
class MergedState {
 public:
  /// initial: of rows that no rank has; null: not a number.
  explicit MergedState(const TrainingCase& problem, const ModelState* initial = nullptr)
      : problem_(problem), initial_(initial), all_(unset()) {}

  void add(RankTrainer& trainer, int rank) {
    ModelState mine = unset();
    trainer.read_state(mine);
    const std::lock_guard lock(mutex_);
    if (rank == 0) {
      all_.dense = mine.dense;
      all_.dense_state = mine.dense_state;
    }
    merge(all_.values, mine.values);
    merge(all_.state, mine.state);
  }
  ModelState state() const {
    ModelState state = all_;
    if (!initial_) return state;
    fill_up(state.values, initial_->values);
    fill_up(state.state, initial_->state);
    return state;
  }
  int64_t differences() const { return differences_; }

 private:
  ModelState unset() const {
    ModelState state = empty_state(problem_);
    for (auto* tensors : {&state.values, &state.state})
      for (auto& tensor : *tensors) std::fill(tensor.begin(), tensor.end(), std::numeric_limits<float>::quiet_NaN());
    return state;
  }
  void merge(std::vector<std::vector<float>>& all, const std::vector<std::vector<float>>& part) {
    for (size_t t = 0; t < all.size(); ++t)
      for (size_t i = 0; i < all[t].size(); ++i) {
        if (std::isnan(part[t][i])) continue;
        if (!std::isnan(all[t][i]) && all[t][i] != part[t][i]) ++differences_;
        all[t][i] = part[t][i];
      }
  }
  static void fill_up(std::vector<std::vector<float>>& all, const std::vector<std::vector<float>>& initial) {
    for (size_t t = 0; t < all.size(); ++t)
      for (size_t i = 0; i < all[t].size(); ++i)
        if (std::isnan(all[t][i])) all[t][i] = initial[t][i];
  }
  const TrainingCase& problem_;
  const ModelState* initial_;
  ModelState all_;
  int64_t differences_ = 0;
  std::mutex mutex_;
};

SlotRoom room_for_all(const TrainingCase& problem) {
  const int64_t rows = Tables(problem.rows, problem.model.embedding_dim).total_rows();
  return {rows, rows};
}

/// Plans to go to, one after the other, and how many copies move at a time.
struct Schedule {
  std::vector<ResolvedPlan> plans;
  std::vector<int64_t> copies_per_move;
};

Schedule random_schedule(const TrainingCase& problem, const Hierarchy& hierarchy, size_t length, std::mt19937& random) {
  const Tables tables(problem.rows, problem.model.embedding_dim);
  const int64_t sizes[] = {1, 9, 60, 400, 100000};
  Schedule schedule;
  for (size_t i = 0; i < length; ++i) {
    schedule.plans.push_back(random_plan(tables, hierarchy, hierarchy.depth(), random, true));
    schedule.copies_per_move.push_back(sizes[random() % std::size(sizes)]);
  }
  return schedule;
}

/// Trains, going on to the next plan of the schedule as soon as rows are where the last one wants them.
Trained train_with_schedule(const TrainingCase& problem, int ranks, int64_t steps, const ModelState* start,
                            int64_t first, const Schedule& schedule) {
  MergedState merged(problem);
  Trained result;
  run_ranks(
      ranks,
      [&](Comm& comm) {
        RankTrainer trainer(problem, comm);
        if (start) trainer.write_state(*start);
        size_t next = 0;
        for (int64_t k = first; k < first + steps; ++k) {
          if (!trainer->migration() && next < schedule.plans.size()) {
            trainer.migrate_to(schedule.plans[next], schedule.copies_per_move[next]);
            ++next;
          }
          const double loss = trainer.step(k);
          if (comm.rank() == 0) result.losses.push_back(loss);
        }
        merged.add(trainer, comm.rank());
      },
      60);
  CHECK(merged.differences() == 0);
  result.state = merged.state();
  return result;
}

/// Whether the next plan may come before step k: on all ranks alike, and not before every step.
bool random_rest(int64_t k) {
  return k % 3 != 1;
}

/// What a rank sees of a run: losses, predictions on the way, its rows at the end.
struct Seen {
  std::vector<double> losses;
  std::vector<float> logits;
  ModelState state;
  MigrationTotals moved;
  int steps_ahead = 0;  ///< steps beside which rows of the next batch were fetched: no move was under way
};

/// Trains 30 steps and announces each next batch, also where rows begin to move before it. Between two moves up to two
/// steps without any; predicts behind every fourth step, also in the middle of a move.
std::vector<Seen> run_with_schedule(TrainingCase problem, bool overlapped, int ranks, const Schedule& schedule) {
  constexpr int64_t kSteps = 30;
  problem.overlapped = overlapped;
  std::vector<Seen> seen(ranks);
  run_ranks(
      ranks,
      [&](Comm& comm) {
        RankTrainer trainer(problem, comm);
        Seen& mine = seen[comm.rank()];
        mine.state = empty_state(problem);
        size_t next = 0, rest = 0;
        for (int64_t k = 0; k < kSteps; ++k) {
          if (!trainer->migration() && next < schedule.plans.size() && rest++ == next % 3) {
            trainer.migrate_to(schedule.plans[next], schedule.copies_per_move[next]);
            ++next;
            rest = 0;
          }
          mine.losses.push_back(trainer.step(k, k + 1 < kSteps));
          if (!trainer->migration() && k + 1 < kSteps) ++mine.steps_ahead;
          if (k % 4 == 3) trainer.predict(k, mine.logits);
        }
        trainer.read_state(mine.state);
        mine.moved = trainer->migrated();
      },
      60);
  return seen;
}

void one_step_in_the_middle_of_a_move(TrainingCase problem) {
  std::mt19937 random(21);
  const Trained before = train(problem, 1, 10);
  const Trained expected = train(problem, 1, 1, &before.state, 10);
  for (const auto& [name, hierarchy] : hierarchies()) {
    const Tables tables(problem.rows, problem.model.embedding_dim);
    for (int i = 0; i < 6; ++i) {
      INFO(name << ", plan " << i);
      problem.hierarchy = hierarchy;
      problem.room = room_for_all(problem);
      problem.plan = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
      Schedule schedule = random_schedule(problem, hierarchy, 1, random);
      schedule.copies_per_move[0] = 1 + static_cast<int64_t>(random() % 500);
      const Trained found = train_with_schedule(problem, hierarchy.ranks(), 1, &before.state, 10, schedule);
      CHECK(std::abs(found.losses[0] - expected.losses[0]) <= kSameLoss);
      CHECK(relative_difference(found.state, expected.state) <= kSameParameters);
    }
  }
}

}  // namespace

TEST_CASE("OneStepOfSgdIsTheSameInTheMiddleOfAnyMove") {
  one_step_in_the_middle_of_a_move(with_sgd({}, 0.1));
}

TEST_CASE("OneStepOfRowwiseAdagradWithBagsIsTheSameInTheMiddleOfAnyMove") {
  TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
  problem.longest_bag = 3;
  one_step_in_the_middle_of_a_move(problem);
}

TEST_CASE("TwentyStepsHaveTheSameLossesUnderAnyScheduleOfPlans") {
  std::mt19937 random(22);
  TrainingCase problem = with_sgd({}, 0.01);
  const std::vector<double> expected = train(problem, 1, 20).losses;
  const Tables tables(problem.rows, problem.model.embedding_dim);
  for (const auto& [name, hierarchy] : hierarchies())
    for (int i = 0; i < 3; ++i) {
      INFO(name << ", schedule " << i);
      problem.hierarchy = hierarchy;
      problem.room = room_for_all(problem);
      problem.plan = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
      const Schedule schedule = random_schedule(problem, hierarchy, 20, random);
      const Trained found = train_with_schedule(problem, hierarchy.ranks(), 20, nullptr, 0, schedule);
      for (size_t k = 0; k < expected.size(); ++k)
        CHECK(std::abs(found.losses[k] - expected[k]) <= kSameLossOver20Steps);
    }
}

TEST_CASE("TheOverlappedStepMovesRowsToTheBitsOfTheSequentialOne") {
  std::mt19937 random(24);
  for (const auto& [name, hierarchy] : hierarchies())
    for (const int longest : {1, 3}) {
      INFO(name << ", bags of up to " << longest);
      TrainingCase problem = with_adagrad({}, longest == 1 ? OptimizerKind::adagrad : OptimizerKind::rowwise_adagrad);
      problem.hierarchy = hierarchy;
      problem.longest_bag = longest;
      problem.wire = longest == 1 ? DType::f32 : DType::bf16;
      problem.room = room_for_all(problem);
      problem.plan =
          random_plan(Tables(problem.rows, problem.model.embedding_dim), hierarchy, hierarchy.depth(), random, true);
      Schedule schedule = random_schedule(problem, hierarchy, 20, random);
      const int64_t sizes[] = {150, 600, 100000};  // so that there are steps without a move, too
      for (int64_t& copies : schedule.copies_per_move) copies = sizes[random() % std::size(sizes)];
      const int ranks = hierarchy.ranks();
      const std::vector<Seen> sequential = run_with_schedule(problem, false, ranks, schedule);
      const std::vector<Seen> overlapped = run_with_schedule(problem, true, ranks, schedule);
      for (int rank = 0; rank < ranks; ++rank) {
        const Seen &expected = sequential[rank], &found = overlapped[rank];
        CHECK(found.losses == expected.losses);
        CHECK(found.logits == expected.logits);
        CHECK(found.state == expected.state);
        CHECK(found.moved.sent_rows == expected.moved.sent_rows);
        CHECK(found.moved.positions > 0);
        CHECK(found.steps_ahead > 5);  // or hardly anything but the sequential step would be compared
      }
    }
}

namespace {

/// Trains a little, goes through the schedule, and checks that no state of the model on the way differs from the first.
/// ahead: the last batch before is settled ahead. states: one for the start, two for each plan.
void check_states(const TrainingCase& problem, const Schedule& schedule,
                  const std::vector<std::unique_ptr<MergedState>>& states, bool ahead) {
  run_ranks(
      problem.hierarchy->ranks(),
      [&](Comm& comm) {
        RankTrainer trainer(problem, comm);
        for (int64_t k = 0; k < 3; ++k) trainer.step(k, ahead);
        states[0]->add(trainer, comm.rank());
        for (size_t i = 0; i < schedule.plans.size(); ++i) {
          trainer.migrate_to(schedule.plans[i], schedule.copies_per_move[i]);
          trainer->move_rows();
          states[2 * i + 1]->add(trainer, comm.rank());
          while (trainer->migration()) trainer->move_rows();
          states[2 * i + 2]->add(trainer, comm.rank());
        }
      },
      60);
  for (const auto& state : states) {
    CHECK(state->differences() == 0);
    CHECK(state->state() == states[0]->state());  // and no value is missing: NaN is unequal to itself
  }
}

}  // namespace

TEST_CASE("AMoveChangesNoBitOfAnyRowOrItsOptimiserState") {
  std::mt19937 random(23);
  for (const OptimizerKind kind : {OptimizerKind::adagrad, OptimizerKind::rowwise_adagrad})
    for (const auto& [name, hierarchy] : hierarchies()) {
      INFO(name);
      TrainingCase problem = with_adagrad({}, kind);
      problem.hierarchy = hierarchy;
      problem.room = room_for_all(problem);
      const Tables tables(problem.rows, problem.model.embedding_dim);
      problem.plan = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
      const Schedule schedule = random_schedule(problem, hierarchy, 4, random);
      std::vector<std::unique_ptr<MergedState>> states;
      for (size_t i = 0; i <= 2 * schedule.plans.size(); ++i) states.push_back(std::make_unique<MergedState>(problem));
      check_states(problem, schedule, states, false);
    }
}

TEST_CASE("RowsByFirstUseTrainTheSameUnderAnyScheduleOfPlans") {
  int64_t moves = 0, schedules = 0;
  std::mt19937 random(25);
  TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
  problem.rows = {1, 5, 40, 2000};  // some rows of which are never used
  const ModelState initial = train(problem, 1, 0).state;
  const Trained expected = train(problem, 1, 20);
  const Tables tables(problem.rows, problem.model.embedding_dim);
  for (const auto& [name, hierarchy] : hierarchies())
    for (int i = 0; i < 3; ++i) {
      INFO(name << ", schedule " << i);
      problem.hierarchy = hierarchy;
      problem.room = room_for_all(problem);
      problem.room.device *= 2;
      problem.first_use = true;
      problem.plan = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
      Schedule schedule = random_schedule(problem, hierarchy, 20, random);
      const int64_t sizes[] = {150, 900, 100000};
      for (int64_t& copies : schedule.copies_per_move) copies = sizes[random() % std::size(sizes)];
      for (size_t p = 0; p < schedule.plans.size(); p += 2)
        schedule.plans[p] = ResolvedPlan::uniform(tables, hierarchy, 0);  // all of it mapped
      MergedState merged(problem, &initial);
      std::vector<double> losses;
      run_ranks(
          hierarchy.ranks(),
          [&](Comm& comm) {
            RankTrainer trainer(problem, comm);
            size_t next = 0;
            for (int64_t k = 0; k < 20; ++k) {
              if (!trainer->migration() && next < schedule.plans.size() && random_rest(k)) {
                trainer.migrate_to(schedule.plans[next], schedule.copies_per_move[next]);
                ++next;
              }
              const double loss = trainer.step(k, k < 19);
              if (comm.rank() == 0) losses.push_back(loss);
              std::vector<float> logits;
              if (k % 4 == 3) trainer.predict(k, logits);
            }
            merged.add(trainer, comm.rank());
            if (comm.rank() == 0) moves += static_cast<int64_t>(next);
          },
          60);
      CHECK(merged.differences() == 0);
      for (size_t k = 0; k < expected.losses.size(); ++k)
        CHECK(std::abs(losses[k] - expected.losses[k]) <= kSameLossOver20Steps);
      CHECK(relative_difference(merged.state(), expected.state) <= 20 * kSameParameters);
      ++schedules;
    }
  CHECK(moves > 3 * schedules);
}

TEST_CASE("AMoveOfRowsByFirstUseChangesNoBitOfAnyRowOrItsOptimiserState") {
  std::mt19937 random(26);
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    TrainingCase problem = with_adagrad({}, OptimizerKind::adagrad);
    problem.rows = {1, 5, 40, 2000};
    const ModelState initial = train(problem, 1, 0).state;
    problem.first_use = true;
    problem.hierarchy = hierarchy;
    problem.room = room_for_all(problem);
    problem.room.device *= 2;
    const Tables tables(problem.rows, problem.model.embedding_dim);
    const Schedule schedule = random_schedule(problem, hierarchy, 4, random);
    std::vector<std::unique_ptr<MergedState>> states;
    for (size_t i = 0; i <= 2 * schedule.plans.size(); ++i)
      states.push_back(std::make_unique<MergedState>(problem, &initial));
    check_states(problem, schedule, states, true);
  }
}

TEST_CASE("MappedRowsStayWhereTheyAre") {
  TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
  problem.first_use = true;
  problem.room = room_for_all(problem);
  const Tables tables(problem.rows, problem.model.embedding_dim);
  ResolvedPlan other = ResolvedPlan::uniform(tables, Hierarchy::flat(3), 0);
  for (ResolvedTable& table : other.tables) table.rules[0].holders.offset += 1;
  run_ranks(3, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    for (int64_t k = 0; k < 3; ++k) trainer.step(k);
    trainer.migrate_to(other, 10);
    CHECK(trainer->migration() == nullptr);  // it is over at once
    trainer.step(3);
  });
}

TEST_CASE("MovingRowsSendsWhatThePlansSay") {
  const TrainingCase problem = [] {
    TrainingCase made = with_adagrad({}, OptimizerKind::rowwise_adagrad);
    made.room = room_for_all(made);
    return made;
  }();
  const Tables tables(problem.rows, problem.model.embedding_dim);
  const Hierarchy flat = Hierarchy::flat(3);
  run_ranks(3, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    const ResolvedPlan replicated = ResolvedPlan::uniform(tables, flat, 1);
    trainer->migrate_to(replicated, 10);
    while (trainer->migration()) {
      const int64_t before = trainer->migrated().sent_rows;
      trainer->move_rows();
      CHECK(trainer->migrated().sent_rows - before <= 10);
    }
    // Every rank sends each row that it holds to the two others: 4 (dim + 1) bytes.
    const int64_t held = Directory(tables, flat, ResolvedPlan::uniform(tables, flat, 0), comm.rank()).held().device;
    CHECK(trainer->migrated().sent_rows == 2 * held);
    CHECK(trainer->migrated().sent_bytes == 2 * held * 4 * (problem.model.embedding_dim + 1));
    CHECK(trainer->migrated().positions == tables.total_rows());
  });
}

TEST_CASE("ARankThatHasNoRoomOnTheWayIsNamed") {
  TrainingCase problem = with_sgd({}, 0.1);
  const Tables tables(problem.rows, problem.model.embedding_dim);
  const Hierarchy flat = Hierarchy::flat(2);
  run_ranks(2, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);  // room for its half of the rows
    try {
      trainer->migrate_to(ResolvedPlan::uniform(tables, flat, 1), 10);
      FAIL("no error");
    } catch (const Error& error) {
      CHECK_THAT(error.what(), Catch::Contains("rank 0 would hold"));
    }
    CHECK(trainer->migration() == nullptr);
    trainer.step(0);  // nothing has changed
  });
}
