// Matrix products through oneDNN, prepared once per shape. Processors without AVX-512 multiply bf16 as fp32, which is
// no faster than fp32.
#pragma once

#include <memory>

#include "kernels/backend.hpp"

namespace sparrow::host {

/// A factor of a product: the matrix, or its transpose.
struct Factor {
  Matrix matrix;
  bool transposed = false;

  int64_t rows() const { return transposed ? matrix.cols : matrix.rows; }
  int64_t cols() const { return transposed ? matrix.rows : matrix.cols; }
};

class Gemm {
 public:
  Gemm();
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  /// c = a b (+ bias, f32 [c.cols], unless null). a and b have the same type, sums are in fp32,
  /// c is f32 or that type. No size may be 0. Runs on `threads` threads. Allocates only for a shape not seen before.
  void multiply(int threads, const Factor& a, const Factor& b, const float* bias, const Matrix& c);

 private:
  struct Cache;
  void multiply_widened(int threads, const Factor& a, const Factor& b, const float* bias, const Matrix& c);
  std::unique_ptr<Cache> cache_;
};

}  // namespace sparrow::host
