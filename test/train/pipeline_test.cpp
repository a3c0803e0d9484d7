// The overlapped pipeline gives the bits of the sequential one.
#include "train/pipeline.hpp"

#include <catch2/catch.hpp>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/subnormals.hpp"
#include "test/support/hierarchies.hpp"
#include "test/support/thread_comm.hpp"
#include "training_case.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

constexpr int64_t kSteps = 20;

/// What every rank sees of a run: losses, predictions on the way, its rows at the end.
struct Seen {
  std::vector<double> losses;
  std::vector<float> logits;
  ModelState state;
  Ledger ledger;
  bool operator==(const Seen& other) const {
    return losses == other.losses && logits == other.logits && state == other.state;
  }
};

/// Trains kSteps batches. Predicts behind every `evaluate_every`-th; announces no batch behind every `pause_every`-th.
std::vector<Seen> run(TrainingCase problem, bool overlapped, int ranks, int64_t evaluate_every = 4,
                      int64_t pause_every = 7) {
  problem.overlapped = overlapped;
  std::vector<Seen> seen(ranks);
  run_ranks(ranks, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    Seen& mine = seen[comm.rank()];
    mine.state = empty_state(problem);
    for (int64_t k = 0; k < kSteps; ++k) {
      mine.losses.push_back(trainer.step(k, k + 1 < kSteps && k % pause_every != pause_every - 1));
      if (k % evaluate_every == evaluate_every - 1) trainer.predict(k, mine.logits);
    }
    trainer.read_state(mine.state);
    mine.ledger = trainer->ledger();
  });
  return seen;
}

void check_same_bits(const TrainingCase& problem, int ranks) {
  const std::vector<Seen> sequential = run(problem, false, ranks), overlapped = run(problem, true, ranks);
  CHECK(sequential == overlapped);
  // The same rows and gradients move, in other messages; ids may be a few bits more.
  for (size_t rank = 0; rank < sequential.size(); ++rank)
    for (const Phase phase : {Phase::rows, Phase::gradients, Phase::allreduce}) {
      const auto p = static_cast<size_t>(phase);
      CHECK(sequential[rank].ledger.traffic.sent_bytes[p] == overlapped[rank].ledger.traffic.sent_bytes[p]);
    }
}

/// The threads that exchange, and those of them on which a subnormal product is not zero.
struct ExchangingThreads {
  std::mutex mutex;
  std::set<std::thread::id> all, keeping;
  void look() {
    volatile float factor = 1e-20f;
    const bool keeps = factor * factor != 0;
    const std::lock_guard lock(mutex);
    all.insert(std::this_thread::get_id());
    if (keeps) keeping.insert(std::this_thread::get_id());
  }
};

/// Another communicator, with a look at every thread that posts.
class SeenComm final : public Comm {
 public:
  SeenComm(Comm& comm, ExchangingThreads& threads) : comm_(comm), threads_(threads) {}
  SeenComm(std::unique_ptr<Comm> comm, ExchangingThreads& threads)
      : own_(std::move(comm)), comm_(*own_), threads_(threads) {}
  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  Ticket post(Stream* stream, const AllToAll& operation) override {
    threads_.look();
    return comm_.post(stream, operation);
  }
  void wait(Ticket ticket) override { comm_.wait(ticket); }
  std::unique_ptr<Comm> split(int color, int key) override {
    std::unique_ptr<Comm> part = comm_.split(color, key);
    return part ? std::make_unique<SeenComm>(std::move(part), threads_) : nullptr;
  }
  const Traffic& traffic() const override { return comm_.traffic(); }
  double timeout_seconds() const override { return comm_.timeout_seconds(); }
  std::string name() const override { return comm_.name(); }

 private:
  std::unique_ptr<Comm> own_;
  Comm& comm_;
  ExchangingThreads& threads_;
};

}  // namespace

TEST_CASE("SubnormalsAreZeroOnBothLanesOfEveryRank") {
  constexpr int kRanks = 3;
  ExchangingThreads threads;
  TrainingCase problem;
  problem.overlapped = true;
  run_ranks(kRanks, [&](Comm& comm) {
    SeenComm seen(comm, threads);
    RankTrainer trainer(problem, seen);
    for (int64_t k = 0; k < 3; ++k) trainer.step(k, true);
  });
  CHECK(threads.all.size() == 2 * kRanks);
  CHECK(threads.keeping.empty());
}

TEST_CASE("OverlappedAndSequentialGiveTheSameBitsOnEverySystem") {
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
    problem.hierarchy = hierarchy;
    check_same_bits(problem, hierarchy.ranks());
  }
}

TEST_CASE("OverlappedAndSequentialGiveTheSameBitsForRandomPlans") {
  std::mt19937 random(21);
  for (const auto& [name, hierarchy] : hierarchies())
    for (const int longest : {1, 3})
      for (const DType wire : {DType::f32, DType::bf16}) {
        INFO(name << ", bags of up to " << longest << ", " << size_of(wire) << " bytes a value");
        TrainingCase problem = with_adagrad({}, longest == 1 ? OptimizerKind::adagrad : OptimizerKind::rowwise_adagrad);
        problem.hierarchy = hierarchy;
        problem.longest_bag = longest;
        problem.wire = wire;
        problem.plan =
            random_plan(Tables(problem.rows, problem.model.embedding_dim), hierarchy, hierarchy.depth(), random);
        check_same_bits(problem, hierarchy.ranks());
      }
}

TEST_CASE("OverlappedAndSequentialGiveTheSameBitsWithRowsInTheSlowerStore") {
  std::mt19937 random(22);
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
    problem.hierarchy = hierarchy;
    problem.longest_bag = 2;
    problem.plan =
        random_plan(Tables(problem.rows, problem.model.embedding_dim), hierarchy, hierarchy.depth(), random, true);
    check_same_bits(problem, hierarchy.ranks());
  }
}

TEST_CASE("OverlappedAndSequentialGiveTheSameBitsWithPooledTransports") {
  for (const Transport transport : {Transport::pooled, Transport::partial_sums})
    for (const int longest : {1, 4}) {
      TrainingCase problem = with_sgd({}, 0.1);
      problem.longest_bag = longest;
      problem.plan = ResolvedPlan::uniform(Tables(problem.rows, problem.model.embedding_dim), Hierarchy::flat(3), 0);
      for (ResolvedTable& table : problem.plan->tables) table.rules[0].transport = transport;
      check_same_bits(problem, 3);
    }
}

TEST_CASE("OverlappedAndSequentialGiveTheSameBitsWhereRanksHaveNoSamples") {
  for (const auto& shares : std::vector<std::vector<double>>{{1, 0}, {0, 1, 3}, {0, 0, 2, 1, 0, 0, 4}}) {
    TrainingCase problem = with_sgd({}, 0.1);
    problem.shares = shares;
    check_same_bits(problem, static_cast<int>(shares.size()));
  }
  TrainingCase problem = with_sgd({}, 0.1);
  problem.global_batch = 3;  // fewer samples than ranks
  check_same_bits(problem, 7);
}

TEST_CASE("TheExchangeLaneExchangesRowsAndTheComputeLaneDoesNot") {
  for (const Seen& seen : run({}, true, 2)) {
    const auto seconds = [&](Lane lane, Part part) {
      return seen.ledger.seconds[static_cast<size_t>(lane)][static_cast<size_t>(part)];
    };
    for (const Part part : {Part::ids, Part::rows, Part::gradients}) {
      CHECK(seconds(Lane::exchange, part) > 0);
      CHECK(seconds(Lane::compute, part) == 0);
    }
    CHECK(seconds(Lane::exchange, Part::compute) == 0);
    CHECK(seen.ledger.path.to_gradients > 0);
    CHECK(seen.ledger.path.ahead > 0);
    CHECK(seen.ledger.path.dirty > 0);
  }
}

TEST_CASE("DirtyRowsAreThoseThatTheBatchBeforeUsesToo") {
  constexpr int kRanks = 3;
  const TrainingCase problem;
  const auto rows_of = [&](int64_t k, int rank) {
    const PartOfBatch part(problem, k, rank, kRanks);
    std::set<std::pair<int, int64_t>> rows;
    for (int t = 0; t < part.batch.tables; ++t)
      for (int64_t l = part.batch.first_lookup(t); l < part.batch.first_lookup(t + 1); ++l)
        rows.emplace(t, part.positions[l]);
    return rows;
  };
  const std::vector<Seen> seen = run(problem, true, kRanks, kSteps, kSteps);
  for (int rank = 0; rank < kRanks; ++rank) {
    int64_t dirty = static_cast<int64_t>(rows_of(0, rank).size()), distinct = dirty;
    for (int64_t k = 1; k < kSteps; ++k) {
      std::set<std::pair<int, int64_t>> before;
      for (int r = 0; r < kRanks; ++r) before.merge(rows_of(k - 1, r));
      for (const auto& row : rows_of(k, rank)) {
        dirty += before.contains(row) ? 1 : 0;
        ++distinct;
      }
    }
    CHECK(seen[rank].ledger.distinct_rows == distinct);
    CHECK(seen[rank].ledger.dirty_rows == dirty);
    CHECK(dirty < distinct);
  }
}

TEST_CASE("AnotherBatchThanTheAnnouncedOneIsRefused") {
  TrainingCase problem;
  problem.overlapped = true;
  CHECK_THROWS_WITH(run_ranks(1,
                              [&](Comm& comm) {
                                RankTrainer trainer(problem, comm);
                                const PartOfBatch a(problem, 0, 0, 1), b(problem, 1, 0, 1), c(problem, 2, 0, 1);
                                trainer->step(a.batch, &b.batch);
                                trainer->step(c.batch);
                              }),
                    Catch::Contains("batch 1 was announced, batch 2 came"));
}

TEST_CASE("RowsAreNotHandedOutBeforeTheLastStepIsOver") {
  TrainingCase problem;
  problem.overlapped = true;
  CHECK_THROWS_WITH(run_ranks(1,
                              [&](Comm& comm) {
                                RankTrainer trainer(problem, comm);
                                const PartOfBatch a(problem, 0, 0, 1), b(problem, 1, 0, 1);
                                trainer->step(a.batch, &b.batch);
                                trainer->drain();
                                trainer->store();
                                trainer->step(b.batch, &a.batch);
                                trainer->step(a.batch);
                                trainer->store();
                              }),
                    Catch::Contains("before the last step is over"));
}

TEST_CASE("AnErrorOfTheExchangeLaneComesToTheCaller") {
  TrainingCase problem;
  problem.overlapped = true;
  CHECK_THROWS_WITH(run_ranks(2,
                              [&](Comm& comm) {
                                RankTrainer trainer(problem, comm);
                                const PartOfBatch a(problem, 0, comm.rank(), 2);
                                PartOfBatch b(problem, 1, comm.rank(), 2);
                                b.batch.tables = 3;
                                trainer->step(a.batch, &b.batch);
                                trainer->drain();
                              }),
                    Catch::Contains("the batch has 3 tables, the model 4"));
}

TEST_CASE("ARankThatEndsInTheMiddleOfAStepEndsAll") {
  TrainingCase problem;
  problem.overlapped = true;
  CHECK_THROWS_WITH(run_ranks(
                        3,
                        [&](Comm& comm) {
                          RankTrainer trainer(problem, comm);
                          for (int64_t k = 0; k < 10; ++k) {
                            if (k == 5 && comm.rank() == 1) fail("this rank dies");
                            trainer.step(k, true);
                          }
                        },
                        30),
                    Catch::Contains("this rank dies"));
}
