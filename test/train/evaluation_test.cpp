// AUC, log loss and accuracy over any number of ranks.
#include "train/evaluation.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "base/error.hpp"
#include "test/support/thread_comm.hpp"

using namespace sparrow;

namespace {

struct Predictions {
  std::vector<float> logits, labels;
};

Predictions random_predictions(int64_t n, double positives, bool ties, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(0, 1);
  Predictions made;
  for (int64_t i = 0; i < n; ++i) {
    const bool positive = uniform(random) < positives;
    double logit = normal(random) + (positive ? 0.7 : 0);
    if (ties) logit = std::round(logit * 2) / 2;
    made.logits.push_back(static_cast<float>(logit));
    made.labels.push_back(positive ? 1.0f : 0.0f);
  }
  return made;
}

/// The definition: every pair of a positive and a negative.
double auc_of_pairs(const Predictions& p) {
  double won = 0, pairs = 0;
  for (size_t i = 0; i < p.labels.size(); ++i)
    for (size_t j = 0; j < p.labels.size(); ++j) {
      if (p.labels[i] <= p.labels[j]) continue;
      pairs += 1;
      won += p.logits[i] > p.logits[j] ? 1 : p.logits[i] == p.logits[j] ? 0.5 : 0;
    }
  return won / pairs;
}

/// Evaluates with prediction i on rank rank_of(i); checks that all ranks get the same.
template <class RankOf>
Metrics evaluate(const Predictions& all, int ranks, RankOf rank_of) {
  std::vector<Metrics> results(ranks);
  run_ranks(ranks, [&](Comm& comm) {
    Predictions mine;
    double loss_sum = 0;
    for (size_t i = 0; i < all.logits.size(); ++i) {
      if (rank_of(i) != comm.rank()) continue;
      mine.logits.push_back(all.logits[i]);
      mine.labels.push_back(all.labels[i]);
      const auto x = static_cast<double>(all.logits[i]);
      loss_sum += std::log1p(std::exp(x)) - static_cast<double>(all.labels[i]) * x;
    }
    results[comm.rank()] = evaluate_predictions(comm, mine.logits, mine.labels, loss_sum);
  });
  for (const Metrics& result : results) {
    CHECK((result.auc == results[0].auc || (std::isnan(result.auc) && std::isnan(results[0].auc))));
    CHECK(result.logloss == results[0].logloss);
    CHECK(result.accuracy == results[0].accuracy);
    CHECK(result.samples == static_cast<int64_t>(all.logits.size()));
  }
  return results[0];
}

Metrics evaluate(const Predictions& all, int ranks) {
  return evaluate(all, ranks, [ranks](size_t i) { return static_cast<int>(i % static_cast<size_t>(ranks)); });
}

}  // namespace

TEST_CASE("AucIsTheShareOfPairsInOrder") {
  for (const bool ties : {false, true})
    for (const double positives : {0.5, 0.03})
      for (const int64_t n : {50, 777}) {
        const Predictions p = random_predictions(n, positives, ties, 3);
        for (const int ranks : {1, 2, 3, 4, 7}) {
          INFO(n << " samples, ties " << ties << ", " << ranks << " ranks");
          // Both count pairs in halves exactly and divide once.
          CHECK(evaluate(p, ranks).auc == auc_of_pairs(p));
        }
      }
}

TEST_CASE("HandCountedExample") {
  // Positives at 2 and 0, negatives at 0 and 1: 2 beats both, 0 ties with 0 and loses to 1: 2.5 of 4 pairs. The logit 0
  // means "no click", so accuracy counts 2 and the negative at 0.
  const Predictions p{{2, 0, 0, 1}, {1, 1, 0, 0}};
  for (const int ranks : {1, 2, 4, 7}) {
    const Metrics found = evaluate(p, ranks);
    CHECK(found.auc == 2.5 / 4);
    CHECK(found.accuracy == 0.5);
    CHECK(found.positives == 2);
    const double expected = (std::log1p(std::exp(2.0)) - 2 + 2 * std::log(2.0) + std::log1p(std::exp(1.0))) / 4;
    CHECK(found.logloss == Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("EqualScoresAreHalfRight") {
  const Predictions p{std::vector<float>(30, 0.25f),
                      {1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0}};
  for (const int ranks : {1, 2, 7}) CHECK(evaluate(p, ranks).auc == 0.5);
}

TEST_CASE("BothZerosAreOneScore") {
  const Predictions p{{0.0f, -0.0f}, {0, 1}};
  for (const int ranks : {1, 2, 3}) CHECK(evaluate(p, ranks).auc == 0.5);
}

TEST_CASE("PerfectAndReversedOrder") {
  Predictions p;
  for (int i = 0; i < 100; ++i) {
    p.logits.push_back(static_cast<float>(i));
    p.labels.push_back(i >= 60 ? 1.0f : 0.0f);
  }
  CHECK(evaluate(p, 3).auc == 1);
  for (float& logit : p.logits) logit = -logit;
  CHECK(evaluate(p, 3).auc == 0);
}

TEST_CASE("OneClassAloneHasNoAuc") {
  Predictions p = random_predictions(40, 0.5, false, 1);
  for (const float label : {0.0f, 1.0f}) {
    p.labels.assign(p.labels.size(), label);
    for (const int ranks : {1, 3}) {
      const Metrics found = evaluate(p, ranks);
      CHECK(std::isnan(found.auc));
      CHECK(std::isfinite(found.logloss));
    }
  }
}

TEST_CASE("RanksWithoutSamplesTakePart") {
  const Predictions p = random_predictions(300, 0.3, true, 9);
  const double expected = auc_of_pairs(p);
  CHECK(evaluate(p, 4, [](size_t) { return 2; }).auc == expected);
  CHECK(evaluate(p, 4, [](size_t i) { return i < 5 ? 3 : 0; }).auc == expected);
}

TEST_CASE("SortedPartsMakeNoDifference") {
  // The worst spread for the exchange: every rank has another range of scores.
  Predictions p = random_predictions(400, 0.4, false, 5);
  const double expected = auc_of_pairs(p);
  CHECK(evaluate(p, 4, [&](size_t i) {
          return p.logits[i] < -0.5f ? 3 : p.logits[i] < 0.3f ? 1 : p.logits[i] < 1 ? 0 : 2;
        }).auc == expected);
}

TEST_CASE("InfiniteScoresAreOrdered") {
  const float infinity = std::numeric_limits<float>::infinity();
  const Predictions p{{infinity, -infinity, 0, infinity, 1}, {1, 0, 0, 0, 1}};
  const double expected = auc_of_pairs(p);
  std::vector<Metrics> found(3);
  run_ranks(3, [&](Comm& comm) {
    const bool here = comm.rank() == 1;
    found[comm.rank()] = evaluate_predictions(comm, here ? std::span<const float>(p.logits) : std::span<const float>(),
                                              here ? std::span<const float>(p.labels) : std::span<const float>(), 0);
  });
  for (const Metrics& metrics : found) CHECK(metrics.auc == expected);
}

TEST_CASE("NoSamplesAtAll") {
  const Metrics found = evaluate(Predictions{}, 3);
  CHECK(std::isnan(found.auc));
  CHECK(found.logloss == 0);
}

TEST_CASE("NanIsRefused") {
  Predictions p = random_predictions(40, 0.5, false, 1);
  p.logits[17] = std::numeric_limits<float>::quiet_NaN();
  for (const int ranks : {1, 3}) CHECK_THROWS_WITH(evaluate(p, ranks), Catch::Contains("NaN"));
}
