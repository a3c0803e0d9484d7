// A matrix in another type of numbers.
#pragma once

#include "kernels/host/numbers.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::host {

/// to = from, element by element, rounded to nearest even where `to` is bf16. Same sizes; they must not overlap.
inline void convert_matrix(int threads, const Matrix& from, const Matrix& to) {
  constexpr int64_t kGrainElements = 1 << 14;
  if (from.cols == 0) return;
  with_type(from.type, [&](auto from_zero) {
    with_type(to.type, [&](auto to_zero) {
      using From = decltype(from_zero);
      using To = decltype(to_zero);
      parallel_ranges(threads, from.rows, kGrainElements / from.cols, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          const From* source = row_of<const From>(from, row);
          To* target = row_of<To>(to, row);
#pragma omp simd
          for (int64_t col = 0; col < from.cols; ++col) target[col] = from_float<To>(to_float(source[col]));
        }
      });
    });
  });
}

}  // namespace sparrow::host
