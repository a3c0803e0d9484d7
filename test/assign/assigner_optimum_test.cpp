// How far from the best assignment: for small batches all are tried; where one sample alone uses a row, the best is a
// transport problem, solved by paths of exchanges.
#include <catch2/catch.hpp>
#include <limits>

#include "assign/assigner.hpp"
#include "test/assign/assigner_cases.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

double cost_of_assigner(const BatchCase& c, int passes) {
  Assigner assigner(AssignerTree::flat(static_cast<int>(c.quota.size())), {passes, 1});
  std::vector<int16_t> ranks(c.samples());
  assigner.assign(c.batch(), ranks);
  CHECK(counted(ranks, c.quota.size()) == c.quota);
  return flat_cost(c, ranks);
}

/// Tries every assignment that meets the quotas.
double best_cost(const BatchCase& c) {
  std::vector<int16_t> ranks = as_read(c);  // ascending: the first permutation
  double best = std::numeric_limits<double>::infinity();
  do best = std::min(best, flat_cost(c, ranks));
  while (std::next_permutation(ranks.begin(), ranks.end()));
  return best;
}

/// Best gain of giving sample s to rank r, gain[s][r], by quotas: samples are added one by one, each along the path of
/// exchanges that gains most (Bellman and Ford).
double best_transport(const std::vector<std::vector<double>>& gain, const std::vector<int64_t>& quota) {
  const int ranks = static_cast<int>(quota.size());
  std::vector<std::vector<int>> of(ranks);
  for (int s = 0; s < static_cast<int>(gain.size()); ++s) {
    std::vector<double> value = gain[s];  // of s or of a path from s that ends at the rank
    std::vector<int> from(ranks, -1), by(ranks, s);
    for (int round = 0; round < ranks; ++round)
      for (int a = 0; a < ranks; ++a)
        for (const int moved : of[a])
          for (int b = 0; b < ranks; ++b)
            if (value[a] + gain[moved][b] - gain[moved][a] > value[b] + 1e-9)
              value[b] = value[a] + gain[moved][b] - gain[moved][a], from[b] = a, by[b] = moved;
    int end = -1;
    for (int r = 0; r < ranks; ++r)
      if (std::ssize(of[r]) < quota[r] && (end < 0 || value[r] > value[end])) end = r;
    for (; end >= 0; end = from[end]) {
      if (from[end] >= 0) std::erase(of[from[end]], by[end]);
      of[end].push_back(by[end]);
    }
  }
  double sum = 0;
  for (int r = 0; r < ranks; ++r)
    for (const int s : of[r]) sum += gain[s][r];
  return sum;
}

}  // namespace

TEST_CASE("SmallBatchesAreNearTheirOptimum") {
  std::mt19937 random(11);
  double best = 0, reached = 0, worst = 0;
  int optimal = 0, trials = 0;
  for (; trials < 400; ++trials) {
    RandomBatch of;
    of.ranks = 2 + trials % 2;
    of.samples = 4 + static_cast<int64_t>(random() % 5);
    of.clusters = 3;
    of.lookups = 6;
    of.held = trials % 5 == 0 ? 0 : 0.7;
    of.weighted = trials % 7 == 0;
    const BatchCase c = random_batch(of, random);
    const double cost = cost_of_assigner(c, 2), least = best_cost(c);
    REQUIRE(cost >= least);
    optimal += cost == least;
    if (of.weighted) continue;
    best += least;
    reached += cost;
    worst = std::max(worst, cost - least);
  }
  INFO(optimal << " of " << trials << " optimal, in all " << reached / best << " of the optimum");
  CHECK(worst <= 2);  // of some 20; where chains of exchanges are needed
  CHECK(reached < 1.03 * best);
  CHECK(optimal > trials * 85 / 100);
}

TEST_CASE("RowsUsedOnceAreATransportProblem") {
  std::mt19937 random(12);
  double best = 0, reached = 0;
  for (int trial = 0; trial < 20; ++trial) {
    const int ranks = 2 + trial % 4;
    BatchCase c;
    std::vector<std::vector<double>> gain;
    double rows = 0;
    for (int s = 0; s < 60; ++s) {
      c.add({s * 5, s * 5 + 1, s * 5 + 2, s * 5 + 3, s * 5 + 4});
      gain.emplace_back(ranks, 0);
      for (int i = 0; i < 5; ++i) {
        const auto holder = static_cast<int16_t>(random() % static_cast<unsigned>(ranks));
        c.holder[s * 5 + i] = holder;
        ++gain.back()[holder];
        ++rows;
      }
    }
    c.deal(ranks);
    best += rows - best_transport(gain, c.quota);
    const double cost = cost_of_assigner(c, 2);
    REQUIRE(cost >= rows - best_transport(gain, c.quota));
    reached += cost;
  }
  INFO(reached / best << " of the optimum");
  CHECK(reached < 1.002 * best);
}
