// Batches that nobody recorded, for calibration: as skewed as Criteo's, of tables that a calibration can afford.
#pragma once

#include <cstdint>
#include <vector>

#include "data/batch.hpp"
#include "placement/model/distribution.hpp"

namespace sparrow {

/// How lookups are spread over the rows of each made-up table: of 2,048 samples, about a quarter of them distinct.
placement::TableDistribution made_up_law(int64_t rows);

/// A rank's part of a batch: one lookup per table, drawn from the law (by seed), dense values and labels of zero.
class MadeUpBatch {
 public:
  MadeUpBatch(const placement::TableDistribution& law, int tables, int64_t samples, int64_t global_samples,
              uint64_t seed);
  const Batch& batch() const { return batch_; }
  MadeUpBatch(const MadeUpBatch&) = delete;
  MadeUpBatch& operator=(const MadeUpBatch&) = delete;

 private:
  std::vector<int64_t> positions_;
  std::vector<float> dense_, labels_;
  Batch batch_;
};

}  // namespace sparrow
