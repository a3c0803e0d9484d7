// Dot interaction. One block per sample keeps the sample's vectors in shared memory (27 vectors of 128: 14 KB), so
// features are read once.
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"

namespace sparrow::cuda {
namespace {

constexpr int kSide =
    3;  // a thread computes the products of 3 x 3 vectors: 6 reads of shared memory for 9 multiply-adds
constexpr int kColumns =
    4;  // backward: a thread computes 4 vectors' gradients at a time: one 128-bit broadcast for 4 multiply-adds

/// Rows of an odd number of words: threads that read the same column of different rows use different banks.
__host__ __device__ inline int odd_pitch(int dim) {
  return dim | 1;
}

__host__ __device__ inline int padded_vectors(int vectors) {
  return (vectors + kColumns - 1) / kColumns * kColumns;
}

/// A warp copies a vector at a time: no division to find out where a value belongs.
__device__ void load_sample(const float* from, int64_t stride, int vectors, int dim, float* to, int pitch) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  for (int i = warp; i < vectors; i += static_cast<int>(blockDim.x) / 32) {
    for (int d = lane; d < dim; d += 32) to[i * pitch + d] = from[i * stride + d];
  }
}

template <class Z>
__global__ void forward_kernel(const float* features, int64_t stride, int vectors, int dim, Z* z, int64_t z_stride) {
  extern __shared__ float4 shared_memory[];  // float4 for its alignment
  auto* sample = reinterpret_cast<float*>(shared_memory);
  const int pitch = odd_pitch(dim);
  load_sample(features + blockIdx.x * vectors * stride, stride, vectors, dim, sample, pitch);
  __syncthreads();
  Z* out = z + blockIdx.x * z_stride;
  for (int d = static_cast<int>(threadIdx.x); d < dim; d += static_cast<int>(blockDim.x))
    out[d] = from_float<Z>(sample[d]);

  const int sides = (vectors + kSide - 1) / kSide;
  for (int tile = static_cast<int>(threadIdx.x); tile < sides * (sides + 1) / 2; tile += static_cast<int>(blockDim.x)) {
    int down = 0, across = tile;  // tiles of the lower triangle, row by row
    while (across > down) across -= ++down;
    const float *rows[kSide], *columns[kSide];
#pragma unroll
    for (int q = 0; q < kSide; ++q) {  // beyond the last vector: any vector, and the product is dropped
      rows[q] = sample + min(down * kSide + q, vectors - 1) * pitch;
      columns[q] = sample + min(across * kSide + q, vectors - 1) * pitch;
    }
    float sums[kSide][kSide] = {};
    for (int d = 0; d < dim; ++d) {
      float column[kSide];
#pragma unroll
      for (int c = 0; c < kSide; ++c) column[c] = columns[c][d];
#pragma unroll
      for (int r = 0; r < kSide; ++r) {
        const float row = rows[r][d];
#pragma unroll
        for (int c = 0; c < kSide; ++c) sums[r][c] = fmaf(row, column[c], sums[r][c]);
      }
    }
#pragma unroll
    for (int r = 0; r < kSide; ++r) {
#pragma unroll
      for (int c = 0; c < kSide; ++c) {
        const int i = down * kSide + r, j = across * kSide + c;
        if (i < vectors && j < i) out[dim + i * (i - 1) / 2 + j] = from_float<Z>(sums[r][c]);
      }
    }
  }
}

/// The gradient of vector i is the sum over j of dz (i, j) * vector j. Threads are columns; pairs (j, i..i+3) are one
/// 128-bit read.
template <class Dz, class Ddense>
__global__ void backward_kernel(const float* features, int64_t stride, int64_t samples, int vectors, int dim,
                                const Dz* dz, int64_t dz_stride, Ddense* ddense, int64_t ddense_stride, float* dbags,
                                int64_t dbags_stride) {
  extern __shared__ float4 shared_memory[];
  const int padded = padded_vectors(vectors);
  auto* pairs =
      reinterpret_cast<float*>(shared_memory);  // [vectors][padded], symmetric, 0 on the diagonal and in the padding
  float* sample = pairs + vectors * padded;     // [vectors][dim]
  const Dz* gradient = dz + blockIdx.x * dz_stride;
  load_sample(features + blockIdx.x * vectors * stride, stride, vectors, dim, sample, dim);
  for (int e = static_cast<int>(threadIdx.x); e < vectors * padded; e += static_cast<int>(blockDim.x)) {
    const int i = max(e / padded, e % padded), j = min(e / padded, e % padded);
    pairs[e] = i == j || i >= vectors ? 0.0f : to_float(gradient[dim + i * (i - 1) / 2 + j]);
  }
  __syncthreads();

  for (int d = static_cast<int>(threadIdx.x); d < dim; d += static_cast<int>(blockDim.x)) {
    for (int first = 0; first < vectors; first += kColumns) {
      float4 sums = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      for (int j = 0; j < vectors; ++j) {
        const float value = sample[j * dim + d];
        const float4 weights = *reinterpret_cast<const float4*>(pairs + j * padded + first);
        sums = make_float4(fmaf(weights.x, value, sums.x), fmaf(weights.y, value, sums.y),
                           fmaf(weights.z, value, sums.z), fmaf(weights.w, value, sums.w));
      }
      const float results[kColumns] = {sums.x, sums.y, sums.z, sums.w};
#pragma unroll
      for (int q = 0; q < kColumns; ++q) {
        const int i = first + q;
        if (i == 0) {
          const float dense = sample[d] > 0.0f ? results[q] + to_float(gradient[d]) : 0.0f;
          ddense[blockIdx.x * ddense_stride + d] = from_float<Ddense>(dense);
        } else if (i < vectors) {
          dbags[((i - 1) * samples + blockIdx.x) * dbags_stride + d] = results[q];
        }
      }
    }
  }
}

/// Lets a kernel use this much shared memory; throws Error when a block of this GPU has less.
template <class Kernel>
void allow_shared_memory(Kernel* kernel, size_t bytes, int64_t vectors, int64_t dim) {
  int device = 0, limit = 0;
  SPARROW_CUDA(cudaGetDevice(&device));
  SPARROW_CUDA(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  SPARROW_CHECK(bytes <= static_cast<size_t>(limit),
                "interaction of {} vectors of {}: {} bytes of shared memory, a block has {}", vectors, dim, bytes,
                limit);
  if (bytes > 48 << 10) {
    SPARROW_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
  }
}

void check_shapes(const char* operation, const Matrix& features, int64_t vectors, const Matrix& z) {
  SPARROW_CHECK(vectors >= 1 && features.type == DType::f32 && features.rows == z.rows * vectors &&
                    z.cols == features.cols + vectors * (vectors - 1) / 2,
                "{}: features ({}, {}) of {} vectors, z ({}, {})", operation, features.rows, features.cols, vectors,
                z.rows, z.cols);
  SPARROW_CHECK(z.rows <= INT32_MAX && features.cols * vectors <= INT32_MAX, "{}: too many samples or values in one",
                operation);
}

}  // namespace

// Reads b vectors dim * 4 bytes, writes b (dim + pairs) * size; 2 b pairs dim flops.
void CudaBackend::interaction_forward(Stream& stream, const Matrix& features, int64_t vectors, const Matrix& z) {
  check_shapes("interaction_forward", features, vectors, z);
  if (z.rows == 0 || z.cols == 0) return;
  const int v = static_cast<int>(vectors), dim = static_cast<int>(features.cols), sides = (v + kSide - 1) / kSide;
  const size_t shared = static_cast<size_t>(v) * static_cast<size_t>(odd_pitch(dim)) * sizeof(float);
  const int threads = std::clamp((sides * (sides + 1) / 2 + 31) / 32 * 32, 64, 256);
  with_type(z.type, [&](auto* type) {
    auto* kernel = forward_kernel<std::remove_pointer_t<decltype(type)>>;
    allow_shared_memory(kernel, shared, vectors, features.cols);
    kernel<<<static_cast<unsigned>(z.rows), threads, shared, handle(stream)>>>(
        features.f32(), features.stride, v, dim, static_cast<decltype(type)>(z.data), z.stride);
  });
  SPARROW_CUDA(cudaGetLastError());
}

// Reads b vectors dim * 4 + b (dim + pairs) * size, writes b vectors dim * 4 bytes; 2 b vectors^2 dim flops.
void CudaBackend::interaction_backward(Stream& stream, const Matrix& features, int64_t vectors, const Matrix& dz,
                                       const Matrix& ddense, const Matrix& dbags) {
  check_shapes("interaction_backward", features, vectors, dz);
  const int64_t b = dz.rows;
  SPARROW_CHECK(ddense.rows == b && ddense.cols == features.cols && dbags.type == DType::f32 &&
                    dbags.rows == (vectors - 1) * b && dbags.cols == features.cols,
                "interaction_backward: {} samples of {} vectors of {}, ddense ({}, {}), dbags ({}, {})", b, vectors,
                features.cols, ddense.rows, ddense.cols, dbags.rows, dbags.cols);
  if (b == 0 || features.cols == 0) return;
  const int v = static_cast<int>(vectors), dim = static_cast<int>(features.cols);
  const size_t shared = static_cast<size_t>(v) * static_cast<size_t>(padded_vectors(v) + dim) * sizeof(float);
  const int threads = std::clamp((dim + 31) / 32 * 32, 64, 256);
  with_type(dz.type, [&](auto* dz_type) {
    with_type(ddense.type, [&](auto* ddense_type) {
      auto* kernel =
          backward_kernel<std::remove_pointer_t<decltype(dz_type)>, std::remove_pointer_t<decltype(ddense_type)>>;
      allow_shared_memory(kernel, shared, vectors, features.cols);
      kernel<<<static_cast<unsigned>(b), threads, shared, handle(stream)>>>(
          features.f32(), features.stride, b, v, dim, static_cast<decltype(dz_type)>(dz.data), dz.stride,
          static_cast<decltype(ddense_type)>(ddense.data), ddense.stride, dbags.f32(), dbags.stride);
    });
  });
  SPARROW_CUDA(cudaGetLastError());
}

}  // namespace sparrow::cuda
