// Matrix product on tensor cores (mma.sync) for bf16 operands and for fp32 operands rounded to tf32, sums in fp32.
// Operands travel from global to shared memory by cp.async, three slabs deep, and from there to the fragments of mma by
// ldmatrix. A block computes a square tile with 2 x kTile/32 warps; a warp computes kTile/2 x 32 of it in mma tiles of
// 16 x 8.
//
// A slab is 64 bytes deep: a row of an operand that lies along the depth is 4 chunks of 16 bytes; of one that does not,
// the slab holds a row for each step of the depth. Chunks are swizzled (their number is xored with bits of the row's),
// so that the eight rows ldmatrix reads together are in different banks and cp.async writes without conflicts.
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/gemm.cuh"

namespace sparrow::cuda {
namespace {

constexpr int kStages = 3;
constexpr int kSlabBytes = 64;
constexpr int kChunkBytes = 16;

__device__ inline unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

/// Starts a copy of `bytes` (0 to 16) bytes to 16 bytes of shared memory; the rest becomes zero.
__device__ inline void copy_async(unsigned to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kPending>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

__device__ inline void load_matrices(unsigned (&r)[4], unsigned address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_matrices_transposed(unsigned (&r)[4], unsigned address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

/// sums (16 x 8) += a (16 x 32 bytes of depth) * b (8 x 32 bytes of depth).
__device__ inline void multiply_add(bf16, float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ inline void multiply_add(float, float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// tf32 operands are rounded once, on their way to the tensor cores; bf16 ones are what they are.
__device__ inline void round_fragment(bf16, unsigned (&)[4]) {}
__device__ inline void round_fragment(float, unsigned (&r)[4]) {
#pragma unroll
  for (unsigned& value : r) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(value) : "f"(__uint_as_float(value)));
}

/// One operand's slabs in shared memory: kTile rows by kDepth values.
template <class T, int kTile, bool kAlongDepth>
struct Slab {
  static constexpr int kPerChunk = kChunkBytes / static_cast<int>(sizeof(T));
  static constexpr int kDepth = kSlabBytes / static_cast<int>(sizeof(T));
  static constexpr int kBytes = kTile * kSlabBytes;
  static constexpr int kChunksPerLine = kAlongDepth ? kSlabBytes / kChunkBytes : kTile / kPerChunk;

  /// Offset in bytes of a chunk. A line is a row (along the depth) or a step of the depth.
  __device__ static int offset(int line, int chunk) {
    if constexpr (kAlongDepth) {
      return (line * kChunksPerLine + (chunk ^ (line >> 1 & 3))) * kChunkBytes;
    } else {
      return (line * kChunksPerLine + (chunk ^ (line & 7))) * kChunkBytes;
    }
  }

  /// Starts copying the slab that begins at depth k; values beyond the edges become 0. `aligned`: 16 bytes can be read
  /// at once.
  __device__ static void load(char* slab, const Operand& operand, bool aligned, int64_t first_row, int64_t rows,
                              int64_t k, int64_t end) {
    const T* data = static_cast<const T*>(operand.data);
    for (int c = static_cast<int>(threadIdx.x); c < kBytes / kChunkBytes; c += 2 * kTile) {
      const int line = c / kChunksPerLine, chunk = c % kChunksPerLine;
      const int64_t i = first_row + (kAlongDepth ? line : chunk * kPerChunk);
      const int64_t d = k + (kAlongDepth ? chunk * kPerChunk : line);
      const int64_t left = i < rows && d < end ? (kAlongDepth ? end - d : rows - i) : 0;
      const int count = static_cast<int>(min(left, int64_t{kPerChunk}));
      const T* from = count > 0 ? data + (kAlongDepth ? i * operand.stride + d : d * operand.stride + i) : data;
      char* to = slab + offset(line, chunk);
      if (aligned) {
        copy_async(shared_address(to), from, count * static_cast<int>(sizeof(T)));
      } else {
#pragma unroll
        for (int q = 0; q < kPerChunk; ++q) reinterpret_cast<T*>(to)[q] = q < count ? from[q] : T(0.0f);
      }
    }
  }

  /// The fragment of mma's left operand: rows row..row+15, the 32 bytes of depth that begin at `chunk`.
  __device__ static void load_left(const char* slab, int row, int chunk, unsigned (&r)[4]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (kAlongDepth) {
      load_matrices(r, shared_address(slab + offset(row + lane % 16, chunk + lane / 16)));
    } else if constexpr (sizeof(T) == 2) {
      const int step = chunk * kPerChunk + lane % 8 + lane / 16 * 8;
      load_matrices_transposed(r, shared_address(slab + offset(step, row / 8 + lane / 8 % 2)));
    } else {
      // ldmatrix transposes 16-bit elements only.
#pragma unroll
      for (int q = 0; q < 4; ++q)
        r[q] = element(slab, row + lane / 4 + q % 2 * 8, chunk * kPerChunk + lane % 4 + q / 2 * 4);
    }
  }

  /// The fragments of mma's right operand for rows row..row+7 (r[0], r[1]) and row+8..row+15 (r[2], r[3]).
  __device__ static void load_right(const char* slab, int row, int chunk, unsigned (&r)[4]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (kAlongDepth) {
      load_matrices(r, shared_address(slab + offset(row + lane % 8 + lane / 16 * 8, chunk + lane / 8 % 2)));
    } else if constexpr (sizeof(T) == 2) {
      load_matrices_transposed(r, shared_address(slab + offset(chunk * kPerChunk + lane % 16, row / 8 + lane / 16)));
    } else {
#pragma unroll
      for (int q = 0; q < 4; ++q)
        r[q] = element(slab, row + lane / 4 + q / 2 * 8, chunk * kPerChunk + lane % 4 + q % 2 * 4);
    }
  }

 private:
  __device__ static unsigned element(const char* slab, int row, int step) {
    return *reinterpret_cast<const unsigned*>(slab + offset(step, row / kPerChunk) + row % kPerChunk * sizeof(T));
  }
};

template <class T, int kTile, bool kAlongA, bool kAlongB>
__global__ void __launch_bounds__(2 * kTile) product_kernel(Product p, Slices slices, bool aligned_a, bool aligned_b) {
  using SlabA = Slab<T, kTile, kAlongA>;
  using SlabB = Slab<T, kTile, kAlongB>;
  constexpr int kDepth = SlabA::kDepth;
  constexpr int kRowTiles = kTile / 2 / 16,
                kColumnPairs = 2;  // a warp's tiles of 16 rows, and pairs of tiles of 8 columns
  __shared__ __align__(128) char slabs_a[kStages][SlabA::kBytes];
  __shared__ __align__(128) char slabs_b[kStages][SlabB::kBytes];

  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int warp_row = warp % 2 * (kTile / 2), warp_column = warp / 2 * 32;
  const int64_t first_row = int64_t{blockIdx.y} * kTile, first_column = int64_t{blockIdx.x} * kTile;
  const int64_t begin = blockIdx.z * slices.slice_depth, end = min(p.depth, begin + slices.slice_depth);
  const int steps = begin < end ? static_cast<int>((end - begin + kDepth - 1) / kDepth) : 0;

  // Every call commits one group, also where nothing is left to load, so that waiting by count stays right.
  const auto load_step = [&](int step) {
    if (step < steps) {
      const int64_t k = begin + int64_t{step} * kDepth;
      SlabA::load(slabs_a[step % kStages], p.a, aligned_a, first_row, p.m, k, end);
      SlabB::load(slabs_b[step % kStages], p.b, aligned_b, first_column, p.n, k, end);
    }
    commit_copies();
  };

  float sums[kRowTiles][2 * kColumnPairs][4] = {};
  for (int s = 0; s < kStages - 1; ++s) load_step(s);
  for (int step = 0; step < steps; ++step) {
    wait_copies<kStages - 2>();
    // This barrier makes the arrived slab visible, and also says that all have finished with the slab that is loaded
    // next.
    __syncthreads();
    load_step(step + kStages - 1);
    const char* slab_a = slabs_a[step % kStages];
    const char* slab_b = slabs_b[step % kStages];
#pragma unroll
    for (int chunk = 0; chunk < kSlabBytes / kChunkBytes; chunk += 2) {
      unsigned a[kRowTiles][4], b[kColumnPairs][4];
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        SlabA::load_left(slab_a, warp_row + 16 * r, chunk, a[r]);
        round_fragment(T{}, a[r]);
      }
#pragma unroll
      for (int c = 0; c < kColumnPairs; ++c) {
        SlabB::load_right(slab_b, warp_column + 16 * c, chunk, b[c]);
        round_fragment(T{}, b[c]);
      }
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
        for (int c = 0; c < kColumnPairs; ++c) {
          multiply_add(T{}, sums[r][2 * c], a[r], b[c][0], b[c][1]);
          multiply_add(T{}, sums[r][2 * c + 1], a[r], b[c][2], b[c][3]);
        }
      }
    }
  }
  wait_copies<0>();

#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int c = 0; c < 2 * kColumnPairs; ++c) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t i = first_row + warp_row + 16 * r + lane / 4 + e / 2 * 8;
        const int64_t j = first_column + warp_column + 8 * c + lane % 4 * 2 + e % 2;
        if (i < p.m && j < p.n) store_sum(p, slices, i, j, sums[r][c][e]);
      }
    }
  }
}

template <class T>
bool aligned(const Operand& operand) {
  return reinterpret_cast<uintptr_t>(operand.data) % kChunkBytes == 0 &&
         operand.stride * static_cast<int64_t>(sizeof(T)) % kChunkBytes == 0;
}

template <class T, int kTile>
void multiply(Stream& stream, const Product& p) {
  const Slices slices = cut_slices(stream, p, kTile);
  const dim3 grid(static_cast<unsigned>((p.n + kTile - 1) / kTile), static_cast<unsigned>((p.m + kTile - 1) / kTile),
                  static_cast<unsigned>(slices.count));
  const auto launch = [&](auto kernel) {
    kernel<<<grid, 2 * kTile, 0, handle(stream)>>>(p, slices, aligned<T>(p.a), aligned<T>(p.b));
    SPARROW_CUDA(cudaGetLastError());
  };
  if (p.a.along_depth) {
    p.b.along_depth ? launch(product_kernel<T, kTile, true, true>) : launch(product_kernel<T, kTile, true, false>);
  } else {
    SPARROW_CHECK(!p.b.along_depth, "no layer multiplies in this orientation");
    launch(product_kernel<T, kTile, false, false>);
  }
  if (slices.count > 1) add_slices(handle(stream), p, slices);
}

template <class T>
void multiply(Stream& stream, const Product& p) {
  if (p.m > 64 && p.n > 64) {
    multiply<T, 128>(stream, p);
  } else {
    multiply<T, 64>(stream, p);
  }
}

}  // namespace

void multiply_tensor(Stream& stream, const Product& p, DType type) {
  if (p.m == 0 || p.n == 0) return;
  with_type(type, [&](auto* pointer) { multiply<std::remove_pointer_t<decltype(pointer)>>(stream, p); });
}

}  // namespace sparrow::cuda
