#include "train/evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "comm/item_exchange.hpp"
#include "train/trainer.hpp"

namespace sparrow {

namespace {

struct Score {
  float logit;
  float label;
};
bool by_logit(const Score& a, const Score& b) {
  return a.logit < b.logit;
}

/// Values between the ranks' ranges: rank r gets scores in [splitters[r - 1], splitters[r]). Regular samples of every
/// rank's sorted scores, sorted, every size-th taken (parallel sorting by regular sampling, Shi and Schaeffer 1992).
std::vector<float> choose_splitters(Comm& comm, const std::vector<Score>& sorted) {
  const auto ranks = static_cast<size_t>(comm.size());
  std::vector<float> mine;
  for (size_t i = 0; i < ranks && !sorted.empty(); ++i) mine.push_back(sorted[i * sorted.size() / ranks].logit);
  std::vector<float> all = gather(comm, mine, 0);
  std::sort(all.begin(), all.end());
  std::vector<float> splitters(ranks - 1, std::numeric_limits<float>::infinity());
  for (size_t r = 1; r < ranks && !all.empty(); ++r) splitters[r - 1] = all[r * all.size() / ranks];
  broadcast(comm, std::as_writable_bytes(std::span(splitters)), 0);
  return splitters;
}

/// Every rank gets all scores of its range of values, so equal scores meet on one rank.
std::vector<Score> exchange_by_value(Comm& comm, const std::vector<Score>& sorted,
                                     const std::vector<float>& splitters) {
  const int ranks = comm.size();
  ItemsByRank sent(ranks), received(ranks);
  int64_t begin = 0;
  for (int r = 0; r < ranks; ++r) {
    int64_t end = std::ssize(sorted);
    if (r + 1 < ranks)
      end = std::lower_bound(sorted.begin(), sorted.end(), Score{splitters[r], 0}, by_logit) - sorted.begin();
    sent.count[r] = end - begin;
    begin = end;
  }
  sent.sum_up();
  ItemExchange exchange;
  exchange.run_counts(comm, Phase::control, sent, received);
  std::vector<Score> mine(received.total);
  exchange.run(nullptr, comm, Phase::control, sorted.data(), sent, mine.data(), received, sizeof(Score));
  return mine;
}

}  // namespace

Metrics evaluate_predictions(Comm& comm, std::span<const float> logits, std::span<const float> labels,
                             double loss_sum) {
  SPARROW_CHECK(logits.size() == labels.size());
  std::vector<Score> scores(logits.size());
  int64_t correct = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    scores[i] = {logits[i], labels[i]};
    if (std::isnan(logits[i]))
      fail("the model predicts NaN: the learning rate is too high, or the data contain values that are not finite");
    correct += (logits[i] > 0) == (labels[i] > 0.5f);
  }
  std::sort(scores.begin(), scores.end(), by_logit);
  std::vector<Score> mine = exchange_by_value(comm, scores, choose_splitters(comm, scores));
  std::sort(mine.begin(), mine.end(), by_logit);

  int64_t negatives = 0;
  for (const Score& score : mine) negatives += score.label <= 0.5f;
  const std::vector<int64_t> negatives_of = all_gather(comm, negatives);
  int64_t below = 0;  // negatives with a smaller score: those of the ranks before, then of this rank's smaller values
  for (int r = 0; r < comm.rank(); ++r) below += negatives_of[r];
  double half_pairs = 0;  // twice the pairs won, in whole numbers (exact up to 2^53)
  int64_t positives = 0;
  for (size_t i = 0; i < mine.size();) {
    int64_t equal_positive = 0, equal_negative = 0;
    const float value = mine[i].logit;
    for (; i < mine.size() && mine[i].logit == value; ++i) ++(mine[i].label > 0.5f ? equal_positive : equal_negative);
    half_pairs += static_cast<double>(equal_positive) * static_cast<double>(2 * below + equal_negative);
    below += equal_negative;
    positives += equal_positive;
  }

  Metrics metrics;
  metrics.samples = sum(comm, static_cast<int64_t>(logits.size()));
  metrics.positives = sum(comm, positives);
  const double pairs =
      static_cast<double>(metrics.positives) * static_cast<double>(metrics.samples - metrics.positives);
  const double won = sum(comm, half_pairs) / 2;
  metrics.auc = pairs > 0 ? won / pairs : std::numeric_limits<double>::quiet_NaN();
  const auto n = static_cast<double>(std::max<int64_t>(1, metrics.samples));
  metrics.logloss = sum(comm, loss_sum) / n;
  metrics.accuracy = static_cast<double>(sum(comm, correct)) / n;
  return metrics;
}

Metrics evaluate(Trainer& trainer, BatchSource& batches) {
  std::vector<float> logits, labels;
  double loss_sum = 0;
  while (const Batch* batch = batches.next()) {
    const std::span<const float> part = trainer.predict(*batch, loss_sum);
    logits.insert(logits.end(), part.begin(), part.end());
    labels.insert(labels.end(), batch->labels.begin(), batch->labels.end());
  }
  return evaluate_predictions(trainer.context().comm, logits, labels, loss_sum);
}

}  // namespace sparrow
