// The operations of a training step, each with the shapes it has in one model: what is timed on a GPU (cuda_bench) and
// modelled without one (kernel_table).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "test/bench/kernel_work.hpp"

namespace sparrow::bench {

/// One rank's part of MLPerf's DLRM on Criteo Terabyte (mlcommons/training, recommendation: dimension 128, bottom MLP
/// 13-512-256-128, top MLP 479-1024-1024-512-256-1). distinct_share: distinct rows over lookups of a rank's part.
struct CaseShapes {
  int64_t batch = 4096;  ///< samples of one rank: 65,536 over 16 GPUs
  int64_t dim = 128;
  int64_t tables = 26;
  std::vector<int64_t> bottom{13, 512, 256, 128}, top{479, 1024, 1024, 512, 256, 1};
  double distinct_share = 0.2;  ///< about what Criteo Terabyte has in batches of thousands
  int64_t rows = 4'000'000;     ///< of the store that rows are gathered from
};

/// A product of a linear layer in the terms of BLAS, for comparison: out (m, n) = sum over k of a (i, k) b (j, k).
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  bool a_along_k = true, b_along_k = true;  ///< k contiguous
};

struct KernelCase {
  std::string name;   ///< of the operation
  std::string shape;  ///< for people
  cuda::Work work;
  DType type = DType::f32;
  std::optional<Gemm> gemm;
  /// Allocates and fills what the operation needs; the result queues it once. Both must outlive it.
  std::function<std::function<void()>(Backend&, Stream&)> prepare;
};

std::vector<KernelCase> kernel_cases(const CaseShapes& shapes);

}  // namespace sparrow::bench
