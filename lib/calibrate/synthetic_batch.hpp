// Batches that nobody recorded, for calibration: as skewed as Criteo's, of tables that a calibration can afford.
#pragma once

#include <cstdint>
#include <vector>

#include "data/batch.hpp"
#include "model/model_shape.hpp"
#include "placement/model/distribution.hpp"

namespace sparrow {

/// How lookups are spread over the rows of each synthetic table: of 2,048 samples, about a quarter of them distinct.
placement::TableDistribution synthetic_law(int64_t rows);

/// A rank's part of a batch: one lookup per table, drawn from the law (by seed), dense values and labels of zero.
class SyntheticBatch {
 public:
  SyntheticBatch(const placement::TableDistribution& law, const ModelShape& model, int64_t samples,
                 int64_t global_samples, uint64_t seed);
  const Batch& batch() const { return batch_; }
  SyntheticBatch(const SyntheticBatch&) = delete;
  SyntheticBatch& operator=(const SyntheticBatch&) = delete;

 private:
  std::vector<int64_t> positions_;
  std::vector<float> dense_, labels_;
  Batch batch_;
};

}  // namespace sparrow
