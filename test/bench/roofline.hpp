// The least time that an operation can take on a GPU: its bytes at the memory's rate or its arithmetic at the units'
// rate, whichever is longer (Williams, Waterman, Patterson: Roofline, CACM 2009).
#pragma once

#include <algorithm>

#include "test/bench/kernel_work.hpp"

namespace sparrow::bench {

struct PeakRates {
  double bytes_per_s = 0;
  double fp32 = 0, tf32 = 0, bf16 = 0, fp64 = 0;  ///< operations a second, dense

  double flops_per_s(cuda::Arithmetic arithmetic) const {
    switch (arithmetic) {
      case cuda::Arithmetic::fp32:
        return fp32;
      case cuda::Arithmetic::tf32:
        return tf32;
      case cuda::Arithmetic::bf16:
        return bf16;
      case cuda::Arithmetic::fp64:
        return fp64;
    }
    return fp32;
  }
};

/// NVIDIA H100 Tensor Core GPU data sheet, column SXM: 3.35 TB/s, fp64 34, fp32 67 Tflop/s; TF32 989 and BF16 1,979
/// Tflop/s "with sparsity", so half of it dense.
constexpr PeakRates kH100{3.35e12, 67e12, 494.5e12, 989.5e12, 34e12};

struct Roofline {
  double seconds = 0;
  const char* bound_by = "memory";
};

inline Roofline roofline_of(const cuda::Work& work, const PeakRates& peak) {
  const double memory = work.bytes / peak.bytes_per_s, arithmetic = work.flops / peak.flops_per_s(work.arithmetic);
  return {std::max(memory, arithmetic), memory >= arithmetic ? "memory" : "arithmetic"};
}

}  // namespace sparrow::bench
