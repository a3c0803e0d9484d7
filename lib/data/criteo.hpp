// The columns of Criteo's data sets and the one rule that turns their integers into dense features.
#pragma once

#include <cmath>
#include <cstdint>

namespace sparrow {

constexpr int kCriteoDense = 13;                                  ///< I1..I13
constexpr int kCriteoTables = 26;                                 ///< C1..C26
constexpr int kCriteoColumns = 1 + kCriteoDense + kCriteoTables;  ///< and the label before them

/// The dense feature of integer x: log(1 + max(x, 0)); a missing integer counts as 0. One double-precision expression,
/// so that TSV and converted npy shards hold the same bits.
inline float criteo_dense_value(int64_t x) {
  return x <= 0 ? 0.0f : static_cast<float>(std::log(1.0 + static_cast<double>(x)));
}

}  // namespace sparrow
