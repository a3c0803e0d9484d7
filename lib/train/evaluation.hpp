// How well a model predicts: exact AUC, log loss and accuracy over all ranks' predictions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/comm.hpp"
#include "data/batch_source.hpp"

namespace sparrow {

class Trainer;

struct Metrics {
  int64_t samples = 0;
  int64_t positives = 0;
  /// Probability that a positive's score is above a negative's, ties counted half; NaN if either is missing.
  double auc = 0;
  double logloss = 0;   ///< mean binary cross-entropy
  double accuracy = 0;  ///< share of samples on the right side of logit 0
};

/// AUC by sorting: the ranks exchange their scores so that each has one range of values, sort them, and count pairs in
/// integers, so the result is exact and the same for every number of ranks. Collective. loss_sum: this rank's sum of
/// losses. Throws Error for NaN.
Metrics evaluate_predictions(Comm& comm, std::span<const float> logits, std::span<const float> labels, double loss_sum);

/// Collective. Of the trainer's model on all batches of the source.
Metrics evaluate(Trainer& trainer, BatchSource& batches);

}  // namespace sparrow
