// One rank's part of a global batch, as the loader delivers it and as the exchange and the model use it.
//
// Example: 2 tables, a part of 3 samples, bags of any length. Table 0: sample 0 looks up positions 7 and 2, sample 1 none, sample 2
// position 7; table 1: one each, 4, 4, 0.
//   offsets   = [0 2 2 3 | 4 5 6]      (tables * samples + 1 entries: bag (t, s) is offsets[t * samples + s] .. the next)
//   positions = [7 2 7 | 4 4 0]
#pragma once

#include <cstdint>
#include <span>

namespace sparrow {

/// Views into memory of whoever made the batch, valid until that one says otherwise.
struct Batch {
  int64_t index = 0;  ///< k: number of the global batch in this pass
  int64_t first_sample =
      0;                ///< number in the stream of this part's first sample; of the batch's, if samples are assigned
  int64_t samples = 0;  ///< b_r, samples of this part; may be 0
  int64_t global_samples = 0;  ///< samples of the global batch, over all ranks (short for the last one)
  int tables = 0;
  std::span<const float> dense;        ///< (samples, dense features), row major
  std::span<const float> labels;       ///< [samples], 0 or 1
  std::span<const int64_t> offsets;    ///< [tables * samples + 1]; empty: every bag has exactly one lookup
  std::span<const int64_t> positions;  ///< lookups, table major; row positions within their table
  /// Keys (layout/tables.hpp) of rows that nobody held before this batch and this rank holds from it on. Only where
  /// rows are held by first use.
  std::span<const int64_t> new_rows = {};

  /// The lookups of table t are positions[first_lookup(t) .. first_lookup(t + 1)).
  int64_t first_lookup(int t) const { return offsets.empty() ? t * samples : offsets[t * samples]; }
};

}  // namespace sparrow
