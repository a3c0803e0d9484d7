// One matrix product in the three orientations that a linear layer needs, and what happens to a sum before it is
// stored. Two kernels compute it: gemm_fp32.cu (plain fp32 arithmetic) and gemm_tensor.cu (bf16 and tf32 tensor cores);
// linear.cu states the layers.
#pragma once

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"

namespace sparrow::cuda {

/// A matrix of `rows` x `depth`, the sum running over depth. Element (i, k) is data[i * stride + k] if along_depth
/// (depth contiguous), else data[k * stride + i].
struct Operand {
  const void* data = nullptr;
  int64_t stride = 0;
  bool along_depth = true;
};

/// value = sum + bias[j], then max(., 0) if relu, then 0 where active (i, j) <= 0; stored as f32 or bf16.
struct Epilogue {
  const float* bias = nullptr;
  bool relu = false;
  Matrix active;
  Matrix out;
};

/// out (m, n) = epilogue(sum over k < depth of a (i, k) * b (j, k)).
struct Product {
  int64_t m = 0, n = 0, depth = 0;
  Operand a, b;
  Epilogue epilogue;
};

/// The depth is cut into `slices` of `slice_depth` when the tiles of out alone would leave most of the GPU idle. Every
/// slice writes its sums to partial [slices][m][n]; add_slices then adds them in order, so the result depends on the
/// sizes only.
struct Slices {
  int count = 1;
  int64_t slice_depth = 0;
  float* partial = nullptr;
};

/// How many slices to cut for tiles of `tile` x `tile`: enough for two blocks on each of about 128 multiprocessors,
/// none shallower than 256. A function of the sizes alone, not of the GPU, so that results do not depend on it.
inline int slice_count(const Product& p, int64_t tile) {
  const int64_t tiles = std::max<int64_t>((p.m + tile - 1) / tile * ((p.n + tile - 1) / tile), 1);
  return static_cast<int>(std::clamp<int64_t>(256 / tiles, 1, std::max<int64_t>(p.depth / 256, 1)));
}

/// Cuts the depth for tiles of `tile` and takes scratch space for the partial sums.
inline Slices cut_slices(Stream& stream, const Product& p, int64_t tile) {
  Slices slices;
  slices.count = slice_count(p, tile);
  slices.slice_depth = (p.depth + slices.count - 1) / slices.count;
  slices.slice_depth =
      (slices.slice_depth + 31) / 32 * 32;  // whole steps of every kernel, and aligned reads in every slice
  if (slices.count > 1) {
    ScratchPlan plan;
    const int64_t partial = plan.add<float>(slices.count * p.m * p.n);
    plan.allocate(stream);
    slices.partial = plan.get<float>(partial);
  }
  return slices;
}

/// Applies the epilogue to one sum and stores it.
__device__ inline void finish(const Epilogue& e, int64_t i, int64_t j, float value) {
  if (e.bias) value += e.bias[j];
  if (e.relu && value < 0.0f) value = 0.0f;  // a NaN stays one
  if (e.active.data) {
    const int64_t at = i * e.active.stride + j;
    const float active =
        e.active.type == DType::f32 ? values<float>(e.active)[at] : to_float(values<bf16>(e.active)[at]);
    if (!(active > 0.0f)) value = 0.0f;
  }
  const int64_t at = i * e.out.stride + j;
  if (e.out.type == DType::f32) {
    values<float>(e.out)[at] = value;
  } else {
    values<bf16>(e.out)[at] = __float2bfloat16_rn(value);
  }
}

/// Finishes a sum, or leaves it for add_slices.
__device__ inline void store_sum(const Product& p, const Slices& slices, int64_t i, int64_t j, float sum) {
  if (slices.partial) {
    slices.partial[(blockIdx.z * p.m + i) * p.n + j] = sum;
  } else {
    finish(p.epilogue, i, j, sum);
  }
}

/// Adds the slices' sums in order and finishes them. Reads slices * m * n * 4 bytes.
void add_slices(cudaStream_t stream, const Product& p, const Slices& slices);

/// The product in plain fp32 arithmetic; operands fp32. The slower of 2 m n depth flops and the operands' bytes, each
/// operand element read once per tile of 128 of the other: (m + n) depth * 4 bytes * tiles of the other side.
void multiply_fp32(Stream& stream, const Product& p);

/// The product on tensor cores: bf16 operands, or fp32 operands rounded to tf32; sums in fp32. Same bytes and flops.
void multiply_tensor(Stream& stream, const Product& p, DType type);

}  // namespace sparrow::cuda
