// Quotas, repeatability, data without any structure or with nothing else, and new holders.
#include "assign/assigner.hpp"

#include <catch2/catch.hpp>
#include <numeric>

#include "test/assign/allocations.hpp"
#include "test/assign/assigner_cases.hpp"
#include "test/support/error_of.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

std::vector<int16_t> assigned(const BatchCase& c, const AssignerOptions& options = {}) {
  Assigner assigner(AssignerTree::flat(static_cast<int>(c.quota.size())), options);
  std::vector<int16_t> ranks(c.samples(), -7);
  assigner.assign(c.batch(), ranks);
  return ranks;
}

/// Quotas are met, and no more moves than as read.
void check_assignment(const BatchCase& c, int passes = 1) {
  const std::vector<int16_t> ranks = assigned(c, {passes, 1});
  CHECK(counted(ranks, c.quota.size()) == c.quota);
  CHECK(flat_cost(c, ranks) <= flat_cost(c, as_read(c)));
}

}  // namespace

TEST_CASE("TheExampleOfTheHeader") {
  BatchCase c;
  c.add({0, 2});
  c.add({1, 2});
  c.holder = {1, 1, 0};  // in the order of the keys as they came: 0, 2, 1
  c.quota = {1, 1};
  const std::vector<int16_t> ranks = assigned(c);
  CHECK(ranks == std::vector<int16_t>{1, 0});
  const AssignmentMoves moves = count_moves(AssignerTree::flat(2), c.batch(), ranks, c.holder);
  CHECK(moves.into == std::vector<int64_t>{1});
  CHECK(moves.received == std::vector<int64_t>{1, 0});
  CHECK(moves.distinct == std::vector<int64_t>{2, 2});
}

TEST_CASE("QuotasAreExact") {
  std::mt19937 random(1);
  for (const int passes : {0, 1, 3})
    for (int trial = 0; trial < 60; ++trial) {
      RandomBatch of;
      of.ranks = 1 + static_cast<int>(random() % 9);
      of.samples = static_cast<int64_t>(random() % 300);
      of.repeats = trial % 3 == 0;
      of.weighted = trial % 4 == 0;
      BatchCase c = random_batch(of, random);
      if (trial % 2 == 0) {  // unequal, with ranks that get nothing
        std::fill(c.quota.begin(), c.quota.end(), 0);
        for (int64_t s = 0; s < c.samples(); ++s) ++c.quota[random() % static_cast<unsigned>((of.ranks + 1) / 2)];
      }
      INFO("trial " << trial << " passes " << passes);
      check_assignment(c, passes);
    }
}

TEST_CASE("AServerHoldsRowsAndTrainsNothing") {
  std::mt19937 random(10);
  for (const double held : {0.3, 1.0}) {
    RandomBatch of;
    of.held = held;
    of.samples = 900;
    of.clusters = 3;
    BatchCase c = random_batch(of, random);
    for (size_t d = 0; d < c.keys.size(); d += 2) c.holder[d] = 3;
    c.quota = {300, 300, 300, 0};
    check_assignment(c);
    Assigner assigner(AssignerTree::flat(4), {});
    std::vector<int16_t> holder = c.holder;
    assigner.settle(c.batch(), assigned(c), holder);
    for (size_t d = 0; d < holder.size(); ++d) CHECK((c.holder[d] >= 0 || (holder[d] >= 0 && holder[d] < 3)));
  }
}

TEST_CASE("FewerSamplesThanRanksAndNone") {
  std::mt19937 random(2);
  RandomBatch of;
  of.ranks = 8;
  for (const int64_t samples : {0, 1, 3, 7}) {
    of.samples = samples;
    check_assignment(random_batch(of, random));
  }
  BatchCase none;
  for (int s = 0; s < 5; ++s) none.add({});
  none.deal(2);
  check_assignment(none);
}

TEST_CASE("QuotasThatDoNotAddUpAreRefused") {
  std::mt19937 random(3);
  BatchCase c = random_batch({}, random);
  ++c.quota[1];
  CHECK(error_of([&] { assigned(c); }).find("quotas of 201 samples for a batch of 200") != std::string::npos);
  c.quota.pop_back();
  CHECK_FALSE(error_of([&] { assigned(c); }).empty());
}

TEST_CASE("ThreadsChangeNothing") {
  std::mt19937 random(4);
  for (int trial = 0; trial < 6; ++trial) {
    RandomBatch of;
    of.samples = 500 + 1500 * trial;
    of.ranks = 2 + 7 * (trial % 3);
    of.clusters = 40;
    of.repeats = trial % 2 == 1;
    const BatchCase c = random_batch(of, random);
    const std::vector<int16_t> one = assigned(c, {2, 1});
    for (const int threads : {2, 3, 8}) CHECK(assigned(c, {2, threads}) == one);
  }
}

TEST_CASE("AnAssignerRemembersNothing") {
  std::mt19937 random(5);
  const BatchCase a = random_batch({}, random);
  RandomBatch large;
  large.samples = 900;
  const BatchCase b = random_batch(large, random);
  Assigner assigner(AssignerTree::flat(4), {2, 1});
  std::vector<int16_t> first(a.samples()), other(b.samples()), again(a.samples());
  assigner.assign(a.batch(), first);
  assigner.assign(b.batch(), other);
  assigner.assign(a.batch(), again);
  CHECK(first == again);
  CHECK(first == assigned(a, {2, 1}));
  CHECK(other == assigned(b, {2, 1}));
}

TEST_CASE("NoMemoryIsTakenOnceBatchesHaveReachedTheirSize") {
  std::mt19937 random(9);
  RandomBatch of;
  of.samples = 3000;
  of.repeats = true;
  of.ranks = 8;
  const BatchCase c = random_batch(of, random);
  for (const int threads : {1, 3}) {
    AssignerTree tree{{{0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 1, 1, 1, 1}, {0, 1, 2, 3, 4, 5, 6, 7}}, {}};
    tree.rings = {{{0, 1, 2, 3}, {4, 5, 6, 7}}};
    Assigner assigner(tree, {2, threads});
    std::vector<int16_t> ranks(c.samples()), holder(c.holder);
    assigner.assign(c.batch(), ranks);
    assigner.settle(c.batch(), ranks, holder);
    const int64_t before = allocations();
    assigner.assign(c.batch(), ranks);
    assigner.settle(c.batch(), ranks, holder);
    const int64_t after = allocations();
    CHECK(after == before);
  }
}

TEST_CASE("DataWithoutStructureOrWithNothingElse") {
  std::mt19937 random(6);
  const int64_t samples = 600;
  for (const int ranks : {2, 3, 8})
    for (const bool held : {false, true}) {
      std::vector<BatchCase> cases(6);
      for (int64_t s = 0; s < samples; ++s) {
        const int64_t kind = static_cast<int64_t>(random() % 30), skewed = static_cast<int64_t>(random() % 8);
        cases[0].add({7});                                                                    // one id in every sample
        cases[1].add({3 * s, 3 * s + 1, 3 * s + 2});                                          // all ids distinct
        cases[2].add({100 + kind, 200 + kind, 300 + kind, 400 + kind});                       // columns in lockstep
        cases[3].add({1, 2, 3, 4, 5});                                                        // all samples equal
        cases[4].add({7, 1000 + s});                                                          // one id, and one each
        cases[5].add({100 + skewed * skewed * skewed / 60, 7, 7, 200 + s / 2, 200 + s / 2});  // uneven kinds, repeats
      }
      for (size_t i = 0; i < cases.size(); ++i) {
        BatchCase& c = cases[i];
        c.deal(ranks);
        for (size_t d = 0; d < c.keys.size() && held; ++d) c.holder[d] = static_cast<int16_t>(random() % 3 % ranks);
        INFO("case " << i << " ranks " << ranks << " held " << held);
        for (const int passes : {0, 1, 2}) check_assignment(c, passes);
      }
    }
}

TEST_CASE("ColumnsInLockstepComeToRest") {
  // 64 kinds of samples that share all rows: once held, a kind is trained where its rows are, as far as quotas allow.
  std::mt19937 random(7);
  std::map<int64_t, int16_t> holders;
  Assigner assigner(AssignerTree::flat(8), {1, 1});
  double last = 0, read = 0;
  for (int step = 0; step < 6; ++step) {
    BatchCase c;
    for (int s = 0; s < 2048; ++s) {
      const int64_t kind = static_cast<int64_t>(random() % 64);
      c.add({kind, 100 + kind, 200 + kind, 300 + kind});
    }
    c.deal(8);
    for (size_t d = 0; d < c.keys.size(); ++d)
      if (holders.count(c.keys[d])) c.holder[d] = holders[c.keys[d]];
    std::vector<int16_t> ranks(c.samples());
    assigner.assign(c.batch(), ranks);
    last = flat_cost(c, ranks);
    read = flat_cost(c, as_read(c));
    assigner.settle(c.batch(), ranks, c.holder);
    for (size_t d = 0; d < c.keys.size(); ++d) holders.try_emplace(c.keys[d], c.holder[d]);
  }
  CHECK(last < read / 4);
}

TEST_CASE("NewRowsAreHeldByOneThatLooksThemUp") {
  std::mt19937 random(8);
  RandomBatch of;
  of.held = 0.3;
  of.ranks = 6;
  const BatchCase c = random_batch(of, random);
  Assigner assigner(AssignerTree::flat(of.ranks), {});
  std::vector<int16_t> ranks(c.samples()), holder(c.keys.size(), 99);
  assigner.assign(c.batch(), ranks);
  assigner.settle(c.batch(), ranks, holder);
  std::vector<std::set<int>> looking(c.keys.size());
  for (int64_t s = 0; s < c.samples(); ++s)
    for (int64_t i = c.first[s]; i < c.first[s + 1]; ++i) looking[c.rows[i]].insert(ranks[s]);
  for (size_t d = 0; d < holder.size(); ++d)
    if (c.holder[d] >= 0)
      CHECK(holder[d] == 99);
    else
      CHECK(looking[d].count(holder[d]) == 1);
}

TEST_CASE("TiesGiveEveryRankAsManyRows") {
  BatchCase c;
  std::vector<int64_t> keys(8000);
  std::iota(keys.begin(), keys.end(), 5000);
  for (int s = 0; s < 16; ++s) c.add(keys);  // all ranks look up every row
  c.deal(8);
  Assigner assigner(AssignerTree::flat(8), {});
  std::vector<int16_t> holder(c.keys.size());
  assigner.settle(c.batch(), as_read(c), holder);
  for (const int64_t rows : counted(holder, 8)) CHECK(std::abs(rows - 1000) < 4 * 30);  // 4 standard deviations
}

TEST_CASE("CostsAreOfWeights") {
  // Sample 0 can be with its heavy row or its two light ones.
  BatchCase c;
  c.add({0, 1, 2});
  c.add({3});
  c.holder = {0, 1, 1, AssignerBatch::kNobody};
  c.quota = {1, 1};
  CHECK(assigned(c) == std::vector<int16_t>{1, 0});
  c.weight = {64, 16, 16, 16};
  CHECK(assigned(c) == std::vector<int16_t>{0, 1});
}
