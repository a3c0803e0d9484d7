// Matrix product in plain fp32. A block of 256 threads computes a square tile of out, each thread kMicro x kMicro of
// it, from slabs of both operands in shared memory; the next slab is on its way into registers while the current one is
// multiplied. kMicro = 8 (tile 128) reads 4 x 128 bits of shared memory per 64 multiply-adds, which keeps the
// arithmetic units fed; kMicro = 4 (tile 64) is for products too small to fill the GPU with large tiles.
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/gemm.cuh"

namespace sparrow::cuda {
namespace {

constexpr int kThreads = 256;

/// Where one thread's four consecutive values of an operand's slab come from and go to.
template <int kTile, int kDepth, bool kAlongDepth>
struct Quad {
  int row, depth;  ///< the first of the four within the slab

  __device__ explicit Quad(int thread) {
    if constexpr (kAlongDepth) {
      row = thread / (kDepth / 4);
      depth = thread % (kDepth / 4) * 4;
    } else {
      row = thread % (kTile / 4) * 4;
      depth = thread / (kTile / 4);
    }
  }

  /// Values beyond the operand's edges are 0.
  __device__ float4 load(const Operand& operand, int64_t first_row, int64_t rows, int64_t first_depth,
                         int64_t end_depth) const {
    const int64_t i = first_row + row, k = first_depth + depth;
    const int64_t left = kAlongDepth ? (i < rows ? end_depth - k : 0) : (k < end_depth ? rows - i : 0);
    const float* from =
        static_cast<const float*>(operand.data) + (kAlongDepth ? i * operand.stride + k : k * operand.stride + i);
    if (left >= 4) return load4(from);
    return make_float4(left > 0 ? from[0] : 0.0f, left > 1 ? from[1] : 0.0f, left > 2 ? from[2] : 0.0f, 0.0f);
  }

  /// Slabs are depth-major, so that a thread's rows lie side by side.
  template <int kPitch>
  __device__ void store(float (*slab)[kPitch], float4 v) const {
    if constexpr (kAlongDepth) {
      slab[depth][row] = v.x;
      slab[depth + 1][row] = v.y;
      slab[depth + 2][row] = v.z;
      slab[depth + 3][row] = v.w;
    } else {
      *reinterpret_cast<float4*>(&slab[depth][row]) = v;
    }
  }
};

/// values[4 s + q] = the slab's value 64 s + 4 position + q: a thread's kMicro rows come in runs of four, so that
/// neighbours read neighbouring 128 bits.
template <int kMicro>
__device__ void read_micro(const float* slab_row, int position, float (&values)[kMicro]) {
#pragma unroll
  for (int s = 0; s < kMicro / 4; ++s) {
    const float4 v = *reinterpret_cast<const float4*>(slab_row + 64 * s + 4 * position);
    values[4 * s] = v.x;
    values[4 * s + 1] = v.y;
    values[4 * s + 2] = v.z;
    values[4 * s + 3] = v.w;
  }
}

template <int kMicro, bool kAlongA, bool kAlongB>
__global__ void __launch_bounds__(kThreads) product_kernel(Product p, Slices slices) {
  constexpr int kTile = 16 * kMicro;
  constexpr int kDepth = 64 / kMicro;  // so that a slab is one quad for each thread
  __shared__ float4 aligned_a[2][kDepth][kTile / 4 + 1], aligned_b[2][kDepth][kTile / 4 + 1];
  using Slab = float(*)[kTile + 4];

  const int thread = static_cast<int>(threadIdx.x);
  const int64_t first_row = int64_t{blockIdx.y} * kTile, first_column = int64_t{blockIdx.x} * kTile;
  const int64_t begin = blockIdx.z * slices.slice_depth, end = min(p.depth, begin + slices.slice_depth);
  const Quad<kTile, kDepth, kAlongA> quad_a(thread);
  const Quad<kTile, kDepth, kAlongB> quad_b(thread);
  const int across = thread % 16, down = thread / 16;

  float sums[kMicro][kMicro] = {};
  float4 next_a = quad_a.load(p.a, first_row, p.m, begin, end);
  float4 next_b = quad_b.load(p.b, first_column, p.n, begin, end);
  int buffer = 0;
  for (int64_t k = begin; k < end; k += kDepth, buffer ^= 1) {
    const Slab slab_a = reinterpret_cast<Slab>(aligned_a[buffer]), slab_b = reinterpret_cast<Slab>(aligned_b[buffer]);
    quad_a.store(slab_a, next_a);
    quad_b.store(slab_b, next_b);
    // One barrier a step is enough: a buffer is overwritten two steps later, after every thread has passed the barrier
    // in between.
    __syncthreads();
    if (k + kDepth < end) {
      next_a = quad_a.load(p.a, first_row, p.m, k + kDepth, end);
      next_b = quad_b.load(p.b, first_column, p.n, k + kDepth, end);
    }
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      float a[kMicro], b[kMicro];
      read_micro(slab_a[d], down, a);
      read_micro(slab_b[d], across, b);
#pragma unroll
      for (int r = 0; r < kMicro; ++r) {
#pragma unroll
        for (int c = 0; c < kMicro; ++c) sums[r][c] = fmaf(a[r], b[c], sums[r][c]);
      }
    }
  }

#pragma unroll
  for (int r = 0; r < kMicro; ++r) {
    const int64_t i = first_row + r / 4 * 64 + down * 4 + r % 4;
    if (i >= p.m) continue;
#pragma unroll
    for (int c = 0; c < kMicro; ++c) {
      const int64_t j = first_column + c / 4 * 64 + across * 4 + c % 4;
      if (j < p.n) store_sum(p, slices, i, j, sums[r][c]);
    }
  }
}

template <int kMicro>
void multiply(Stream& stream, const Product& p) {
  constexpr int kTile = 16 * kMicro;
  const Slices slices = cut_slices(stream, p, kTile);
  const dim3 grid(static_cast<unsigned>((p.n + kTile - 1) / kTile), static_cast<unsigned>((p.m + kTile - 1) / kTile),
                  static_cast<unsigned>(slices.count));
  const auto launch = [&](auto kernel) {
    kernel<<<grid, kThreads, 0, handle(stream)>>>(p, slices);
    SPARROW_CUDA(cudaGetLastError());
  };
  if (p.a.along_depth) {
    p.b.along_depth ? launch(product_kernel<kMicro, true, true>) : launch(product_kernel<kMicro, true, false>);
  } else {
    SPARROW_CHECK(!p.b.along_depth, "no layer multiplies in this orientation");
    launch(product_kernel<kMicro, false, false>);
  }
  if (slices.count > 1) add_slices(handle(stream), p, slices);
}

__global__ void add_slices_kernel(Product p, Slices slices) {
  const int64_t element = flat_index();
  if (element >= p.m * p.n) return;
  float sum = 0.0f;
  for (int s = 0; s < slices.count; ++s) sum += slices.partial[s * p.m * p.n + element];
  finish(p.epilogue, element / p.n, element % p.n, sum);
}

}  // namespace

void add_slices(cudaStream_t stream, const Product& p, const Slices& slices) {
  const Launch launch = flat_launch(p.m * p.n);
  add_slices_kernel<<<launch.grid, launch.block, 0, stream>>>(p, slices);
  SPARROW_CUDA(cudaGetLastError());
}

void multiply_fp32(Stream& stream, const Product& p) {
  if (p.m == 0 || p.n == 0) return;
  if (p.m > 64 && p.n > 64) {
    multiply<8>(stream, p);
  } else {
    multiply<4>(stream, p);
  }
}

}  // namespace sparrow::cuda
