// What threads do together: warps, barriers, flags between blocks, asynchronous copies, tensor cores, and CUB on top of
// it all.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cuda_bf16.h>

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_select.cuh>
#include <numeric>

#include "test/cuda_emulator/device_array.cuh"

using namespace sparrow::emulator::test;
namespace groups = cooperative_groups;

namespace {

__global__ void shuffles_kernel(int* out) {
  const int t = threadIdx.x;
  int partial = t;
  if (t >= 8 && t < 24) partial = __shfl_xor_sync(0x00ffff00u, partial, 1);
  int sum = t;
  for (int distance = 4; distance > 0; distance /= 2) sum += __shfl_down_sync(~0u, sum, distance, 8);
  out[t] = partial;
  out[32 + t] = sum;
  out[64 + t] = __shfl_up_sync(~0u, t, 3);
  out[96 + t] = __any_sync(~0u, t == 5) + 2 * __all_sync(~0u, t < 31);
  out[128 + t] = static_cast<int>(__match_any_sync(~0u, t / 4));
  out[160 + t] = static_cast<int>(__reduce_add_sync(~0u, static_cast<unsigned>(t)));
}

__global__ void divergent_kernel(const int* x, int* out, int n) {
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= n) return;  // some lanes leave early
  int v = x[t], steps = 0;
  while (v != 1) {
    v = v % 2 ? 3 * v + 1 : v / 2;
    ++steps;
  }
  switch (steps % 5) {
    case 0:
      steps += 100;
      break;
    case 1:
      steps += 200;
      break;
    case 2:
      steps *= 2;
      break;
    default:
      break;
  }
  out[t] = steps;
}

__global__ void scan_kernel(const int* x, int* out) {
  __shared__ int sums[256];
  const int t = threadIdx.x;
  sums[t] = x[t];
  __syncthreads();
  for (int distance = 1; distance < 256; distance *= 2) {
    const int below = t >= distance ? sums[t - distance] : 0;
    __syncthreads();
    sums[t] += below;
    __syncthreads();
  }
  out[t] = sums[t];
}

__global__ void voting_barriers_kernel(int* out) {
  const int t = threadIdx.x;
  const int count = __syncthreads_count(t % 3 == 0), all = __syncthreads_and(t < 200), any = __syncthreads_or(t == 5);
  out[t] = count * 4 + all * 2 + any;
}

__global__ void lock_kernel(int* lock, int* value) {
  bool done = false;
  while (!done) {
    if (atomicCAS(lock, 0, 1) == 0) {
      *value = *value + 1;
      __threadfence();
      atomicExch(lock, 0);
      done = true;
    }
  }
}

__global__ void grid_sync_kernel(int* a, int* out) {
  const auto grid = groups::this_grid();
  const int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
  a[i] = i;
  grid.sync();
  out[i] = a[n - 1 - i];
}

__global__ void tiles_kernel(int* out) {
  const auto block = groups::this_thread_block();
  const auto tile = groups::tiled_partition<16>(block);
  const int sum = groups::reduce(tile, static_cast<int>(threadIdx.x), groups::plus<int>());
  if (tile.thread_rank() == 0) out[threadIdx.x / 16] = sum;
}

template <bool kWaits>
__global__ void async_copy_kernel(const float4* x, float* out) {
  __shared__ float4 copied[32];
  const int t = threadIdx.x;
  copied[t] = make_float4(-1, -1, -1, -1);
  __syncthreads();
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(&copied[t]));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16;\ncp.async.commit_group;" ::"r"(to), "l"(x + t) : "memory");
  if (kWaits) asm volatile("cp.async.wait_group 0;" ::: "memory");
  __syncthreads();
  out[t] = copied[31 - t].x;
}

/// What async_copy_kernel makes of 0, 1, ..., 31.
template <bool kWaits>
std::vector<float> copied_reversed() {
  std::vector<float4> x(32);
  for (int i = 0; i < 32; ++i) x[i] = make_float4(static_cast<float>(i), 0, 0, 0);
  const DeviceArray<float4> in(x);
  const DeviceArray<float> out(32);
  async_copy_kernel<kWaits><<<1, 32>>>(in.data(), out.data());
  return out.values();
}

/// One warp: out (16, 8) = a (16, 16) b (16, 8), row major, by ldmatrix and mma.
__global__ void mma_kernel(const __nv_bfloat16* a, const __nv_bfloat16* b, float* out) {
  __shared__ __align__(16) __nv_bfloat16 sa[16][16], sb[16][8];
  const int lane = threadIdx.x;
  for (int i = lane; i < 256; i += 32) sa[i / 16][i % 16] = a[i];
  for (int i = lane; i < 128; i += 32) sb[i / 8][i % 8] = b[i];
  __syncwarp();
  unsigned ra[4], rb[2];
  const auto pa = static_cast<unsigned>(__cvta_generic_to_shared(&sa[lane % 16][lane / 16 * 8]));
  const auto pb = static_cast<unsigned>(__cvta_generic_to_shared(&sb[lane % 16][0]));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(ra[0]), "=r"(ra[1]), "=r"(ra[2]), "=r"(ra[3])
               : "r"(pa));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(rb[0]), "=r"(rb[1]) : "r"(pb));
  float d[4] = {};
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
  for (int e = 0; e < 4; ++e) out[(lane / 4 + e / 2 * 8) * 8 + lane % 4 * 2 + e % 2] = d[e];
}

/// The same in tf32, without shared memory: out (16, 8) = a (16, 8) b (8, 8).
__global__ void mma_tf32_kernel(const float* a, const float* b, float* out) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  const auto bits = [](float v) { return __float_as_uint(v); };
  float d[4] = {};
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(bits(a[g * 8 + t])), "r"(bits(a[(g + 8) * 8 + t])), "r"(bits(a[g * 8 + t + 4])),
        "r"(bits(a[(g + 8) * 8 + t + 4])), "r"(bits(b[t * 8 + g])), "r"(bits(b[(t + 4) * 8 + g])));
  for (int e = 0; e < 4; ++e) out[(g + e / 2 * 8) * 8 + t * 2 + e % 2] = d[e];
}

/// Small integers: exact in every type, and so are their sums of products.
std::vector<float> small_integers(size_t n, int seed) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<float>((static_cast<int>(i) * seed) % 11 - 5);
  return values;
}

std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, size_t rows, size_t depth,
                           size_t columns) {
  std::vector<float> out(rows * columns);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) {
      for (size_t k = 0; k < depth; ++k) out[i * columns + j] += a[i * depth + k] * b[k * columns + j];
    }
  }
  return out;
}

}  // namespace

TEST_CASE("Shuffles, votes, matches and reductions see the lanes of their mask") {
  const DeviceArray<int> out(192);
  shuffles_kernel<<<1, 32>>>(out.data());
  const std::vector<int> v = out.values();
  for (int t = 0; t < 32; ++t) {
    CHECK(v[t] == (t >= 8 && t < 24 ? t ^ 1 : t));
    if (t % 8 == 0) CHECK(v[32 + t] == 8 * t + 28);
    CHECK(v[64 + t] == (t >= 3 ? t - 3 : t));
    CHECK(v[96 + t] == 1);
    CHECK(v[128 + t] == static_cast<int>(0xfu << t / 4 * 4));
    CHECK(v[160 + t] == 496);
  }
}

TEST_CASE("Lanes that take different ways meet again") {
  std::vector<int> x(100);
  std::iota(x.begin(), x.end(), 1);
  const DeviceArray<int> in(x), out(std::vector<int>(128, -1));
  divergent_kernel<<<2, 64>>>(in.data(), out.data(), 100);
  const std::vector<int> values = out.values();
  for (int t = 0; t < 128; ++t) {
    int steps = 0;
    if (t < 100) {
      for (int v = x[t]; v != 1; ++steps) v = v % 2 ? 3 * v + 1 : v / 2;
      steps = steps % 5 == 0 ? steps + 100 : steps % 5 == 1 ? steps + 200 : steps % 5 == 2 ? steps * 2 : steps;
    }
    CHECK(values[t] == (t < 100 ? steps : -1));
  }
}

TEST_CASE("Barriers order shared memory, and count and combine predicates") {
  std::vector<int> x(256), sums(256);
  for (int i = 0; i < 256; ++i) x[i] = i % 9;
  std::partial_sum(x.begin(), x.end(), sums.begin());
  const DeviceArray<int> in(x), out(256);
  scan_kernel<<<1, 256>>>(in.data(), out.data());
  CHECK(out.values() == sums);
  voting_barriers_kernel<<<1, 256>>>(out.data());
  CHECK(out.values() == std::vector<int>(256, 86 * 4 + 0 * 2 + 1));
}

TEST_CASE("Blocks that wait for each other go on in turn") {
  const DeviceArray<int> state({0, 0});
  lock_kernel<<<2, 64>>>(state.data(), state.data() + 1);
  CHECK(state.values() == std::vector<int>{0, 128});

  const DeviceArray<int> a(8 * 64), out(8 * 64);
  int *a_data = a.data(), *out_data = out.data();
  void* arguments[] = {&a_data, &out_data};
  REQUIRE(cudaLaunchCooperativeKernel(grid_sync_kernel, dim3(8), dim3(64), arguments, 0, nullptr) == cudaSuccess);
  std::vector<int> reversed(8 * 64);
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  CHECK(out.values() == reversed);
}

TEST_CASE("Cooperative groups reduce within tiles") {
  const DeviceArray<int> out(4);
  tiles_kernel<<<1, 64>>>(out.data());
  CHECK(out.values() == std::vector<int>{120, 376, 632, 888});
}

TEST_CASE("Asynchronous copies have arrived after the wait") {
  std::vector<float> reversed(32);
  std::iota(reversed.rbegin(), reversed.rend(), 0.0f);
  CHECK(copied_reversed<true>() == reversed);
}

TEST_CASE("Asynchronous copies have not arrived without the wait") {
  CHECK(copied_reversed<false>() == std::vector<float>(32, -1.0f));
}

TEST_CASE("Tensor cores multiply bf16 and tf32 matrices") {
  const std::vector<float> a = small_integers(256, 7), b = small_integers(128, 5);
  const std::vector<__nv_bfloat16> a16(a.begin(), a.end()), b16(b.begin(), b.end());
  const DeviceArray<__nv_bfloat16> a16_device(a16), b16_device(b16);
  const DeviceArray<float> out(128), a_device(a), b_device(b);
  mma_kernel<<<1, 32>>>(a16_device.data(), b16_device.data(), out.data());
  CHECK(out.values() == product(a, b, 16, 16, 8));
  mma_tf32_kernel<<<1, 32>>>(a_device.data(), b_device.data(), out.data());
  CHECK(out.values() == product(a, b, 16, 8, 8));
}

TEST_CASE("CUB sorts and selects") {
  constexpr int n = 5000;
  std::vector<unsigned> keys(n);
  for (unsigned i = 0; i < n; ++i) keys[i] = i * 7919u % 1009u;
  const DeviceArray<unsigned> in(keys), sorted(n), unique(n);
  const DeviceArray<int> count(1);
  size_t sort_bytes = 0, unique_bytes = 0;
  REQUIRE(cub::DeviceRadixSort::SortKeys(nullptr, sort_bytes, in.data(), sorted.data(), n) == cudaSuccess);
  REQUIRE(cub::DeviceSelect::Unique(nullptr, unique_bytes, sorted.data(), unique.data(), count.data(), n) ==
          cudaSuccess);
  const DeviceArray<char> scratch(std::max(sort_bytes, unique_bytes));
  REQUIRE(cub::DeviceRadixSort::SortKeys(scratch.data(), sort_bytes, in.data(), sorted.data(), n) == cudaSuccess);
  REQUIRE(cub::DeviceSelect::Unique(scratch.data(), unique_bytes, sorted.data(), unique.data(), count.data(), n) ==
          cudaSuccess);
  std::sort(keys.begin(), keys.end());
  CHECK(sorted.values() == keys);
  CHECK(count.values() == std::vector<int>{1009});
}
