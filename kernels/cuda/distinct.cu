// The distinct keys of a batch by a custom hash table, and items sorted by group with CUB.
//
// Why a hash: sorting n 64-bit keys with their 32-bit numbers by radix moves 8 passes * 24 bytes * n through memory;
// the hash below moves about 40 n bytes, and its table of 2 n to 4 n places * 12 bytes stays in the second-level cache
// of a GPU for the usual some 10^5 keys.
//
// Why the result is the same every run although threads race for places: a key's entry keeps the least number of all
// its occurrences (an atomic minimum, whatever the order), and keys are listed in order of first occurrence, as the
// host does. Which place an entry got is not seen.
#include <cub/device/device_radix_sort.cuh>

#include <bit>

#include "base/random.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"

namespace sparrow::cuda {
namespace {

constexpr int64_t kEmpty = -1;                 // keys are >= 0; also what memset to 0xff leaves
constexpr int32_t kNoOccurrence = 0x7f7f7f7f;  // more than any key's number; what memset to 0x7f leaves
constexpr int kScanThreads = 256;

struct Table {
  unsigned long long* keys;  ///< [mask + 1], kEmpty where free
  int32_t* first;            ///< [mask + 1], least number of the key's occurrences
  uint64_t mask;
};

/// place_of_key[i] = where key i is in the table.
__global__ void insert_kernel(const int64_t* keys, int64_t n, Table table, int32_t* place_of_key) {
  const int64_t i = flat_index();
  if (i >= n) return;
  const auto key = static_cast<unsigned long long>(keys[i]);
  uint64_t place = mix64(key) & table.mask;
  // A key that occurs thousands of times would have its atomics queue up: look first, and most find nothing left to do.
  while (true) {
    unsigned long long found = *const_cast<volatile unsigned long long*>(&table.keys[place]);
    if (found == static_cast<unsigned long long>(kEmpty)) found = atomicCAS(&table.keys[place], found, key);
    if (found == static_cast<unsigned long long>(kEmpty) || found == key) break;
    place = (place + 1) & table.mask;
  }
  const auto number = static_cast<int32_t>(i);
  if (*const_cast<volatile int32_t*>(&table.first[place]) > number) atomicMin(&table.first[place], number);
  place_of_key[i] = static_cast<int32_t>(place);
}

__device__ bool is_first(const Table& table, const int32_t* place_of_key, int64_t i, int64_t n) {
  return i < n && table.first[place_of_key[i]] == i;
}

/// counts[block] = first occurrences among its keys.
__global__ void count_first_kernel(Table table, const int32_t* place_of_key, int64_t n, int32_t* counts) {
  const int count = __syncthreads_count(is_first(table, place_of_key, flat_index(), n));
  if (threadIdx.x == 0) counts[blockIdx.x] = count;
}

/// Exclusive prefix sums of counts [n] in place; counts [n] = their total. One block.
__global__ void scan_counts_kernel(int32_t* counts, int64_t n) {
  __shared__ int32_t warp_sums[kScanThreads / 32];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  int32_t carry = 0;
  for (int64_t begin = 0; begin < n; begin += kScanThreads) {
    const int64_t i = begin + threadIdx.x;
    const int32_t own = i < n ? counts[i] : 0;
    int32_t sum = own;  // inclusive within the warp
    for (int distance = 1; distance < 32; distance *= 2) {
      const int32_t below = __shfl_up_sync(~0u, sum, distance);
      if (lane >= distance) sum += below;
    }
    if (lane == 31) warp_sums[warp] = sum;
    __syncthreads();
    int32_t before = carry, total = carry;
    for (int w = 0; w < kScanThreads / 32; ++w) {
      if (w < warp) before += warp_sums[w];
      total += warp_sums[w];
    }
    if (i < n) counts[i] = before + sum - own;
    carry = total;
    __syncthreads();
  }
  if (threadIdx.x == 0) counts[n] = carry;
}

/// distinct_before[i] = first occurrences before key i; and the keys that are one, listed.
__global__ void list_first_kernel(const int64_t* keys, Table table, const int32_t* place_of_key, int64_t n,
                                  const int32_t* block_offsets, int32_t* distinct_before, int64_t* distinct_keys) {
  __shared__ int32_t warp_counts[kScanThreads / 32];
  const int64_t i = flat_index();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const bool first = is_first(table, place_of_key, i, n);
  const unsigned firsts = __ballot_sync(~0u, first);
  if (lane == 0) warp_counts[warp] = __popc(firsts);
  __syncthreads();
  int32_t before = block_offsets[blockIdx.x] + __popc(firsts & ((1u << lane) - 1));
  for (int w = 0; w < warp; ++w) before += warp_counts[w];
  if (i >= n) return;
  distinct_before[i] = before;
  if (first) distinct_keys[before] = keys[i];
}

/// row_of_key holds places in the table before and rows after.
__global__ void number_rows_kernel(Table table, const int32_t* distinct_before, int64_t n, int32_t* row_of_key) {
  const int64_t i = flat_index();
  if (i < n) row_of_key[i] = distinct_before[table.first[row_of_key[i]]];
}

/// distinct_segments[t] = first occurrences before segment t.
__global__ void cut_segments_kernel(const int64_t* segments, int64_t count, const int32_t* distinct_before, int64_t n,
                                    const int32_t* total, int64_t* distinct_segments) {
  const int64_t t = flat_index();
  if (t < count) distinct_segments[t] = segments[t] < n ? distinct_before[segments[t]] : *total;
}

__global__ void count_up_kernel(int32_t* numbers, int64_t n) {
  const int64_t i = flat_index();
  if (i < n) numbers[i] = static_cast<int32_t>(i);
}

/// offsets[g] = how many of the sorted groups are below g.
__global__ void group_offsets_kernel(const int32_t* sorted, int64_t n, int64_t groups, int32_t* offsets) {
  const int64_t g = flat_index();
  if (g > groups) return;
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (sorted[middle] < g) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  offsets[g] = static_cast<int32_t>(low);
}

void check_segments(std::span<const int64_t> segments) {
  SPARROW_CHECK(!segments.empty() && segments.front() == 0, "distinct: segments must begin with 0");
  for (size_t t = 1; t < segments.size(); ++t) {
    SPARROW_CHECK(segments[t - 1] <= segments[t], "distinct: segment {} ends at {}, before its begin {}", t - 1,
                  segments[t], segments[t - 1]);
  }
  SPARROW_CHECK(segments.back() < kNoOccurrence, "distinct: {} keys are too many", segments.back());
}

}  // namespace

// n keys, d of them distinct: about 40 n + 8 d bytes in order, 2 n random accesses to the table of 12 bytes * (2 n to 4
// n).
void CudaBackend::distinct(Stream& stream, const int64_t* keys, std::span<const int64_t> segments,
                           int64_t* distinct_keys, int64_t* distinct_segments, int32_t* row_of_key) {
  check_segments(segments);
  const int64_t n = segments.back();
  const auto boundaries = static_cast<int64_t>(segments.size());
  if (n == 0) {
    copy(stream, distinct_segments, segments.data(), boundaries * static_cast<int64_t>(sizeof(int64_t)));
    return;
  }
  const auto places = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(2 * n)));
  const Launch per_key = flat_launch(n);
  static_assert(kScanThreads == 256, "flat_launch's blocks are scanned");

  ScratchPlan plan;
  const int64_t keys_at = plan.add<unsigned long long>(places), first_at = plan.add<int32_t>(places);
  const int64_t before_at = plan.add<int32_t>(n), counts_at = plan.add<int32_t>(per_key.grid.x + 1);
  const int64_t segments_at = plan.add<int64_t>(boundaries), found_at = plan.add<int64_t>(boundaries);
  plan.allocate(stream);
  const Table table{plan.get<unsigned long long>(keys_at), plan.get<int32_t>(first_at),
                    static_cast<uint64_t>(places - 1)};
  auto *before = plan.get<int32_t>(before_at), *counts = plan.get<int32_t>(counts_at);
  auto *segments_there = plan.get<int64_t>(segments_at), *found = plan.get<int64_t>(found_at);
  const cudaStream_t queue = handle(stream);

  SPARROW_CUDA(cudaMemsetAsync(table.keys, 0xff, static_cast<size_t>(places) * sizeof(*table.keys), queue));
  SPARROW_CUDA(cudaMemsetAsync(table.first, 0x7f, static_cast<size_t>(places) * sizeof(*table.first), queue));
  copy(stream, segments_there, segments.data(), boundaries * static_cast<int64_t>(sizeof(int64_t)));
  insert_kernel<<<per_key.grid, per_key.block, 0, queue>>>(keys, n, table, row_of_key);
  SPARROW_CUDA(cudaGetLastError());
  count_first_kernel<<<per_key.grid, per_key.block, 0, queue>>>(table, row_of_key, n, counts);
  SPARROW_CUDA(cudaGetLastError());
  scan_counts_kernel<<<1, kScanThreads, 0, queue>>>(counts, per_key.grid.x);
  SPARROW_CUDA(cudaGetLastError());
  list_first_kernel<<<per_key.grid, per_key.block, 0, queue>>>(keys, table, row_of_key, n, counts, before,
                                                               distinct_keys);
  SPARROW_CUDA(cudaGetLastError());
  number_rows_kernel<<<per_key.grid, per_key.block, 0, queue>>>(table, before, n, row_of_key);
  SPARROW_CUDA(cudaGetLastError());
  const Launch per_segment = flat_launch(boundaries);
  cut_segments_kernel<<<per_segment.grid, per_segment.block, 0, queue>>>(segments_there, boundaries, before, n,
                                                                         counts + per_key.grid.x, found);
  SPARROW_CUDA(cudaGetLastError());
  copy(stream, distinct_segments, found, boundaries * static_cast<int64_t>(sizeof(int64_t)));
}

// Radix sort of pairs: ceil(log2(groups) / 8) passes of 16 n bytes; and (groups + 1) binary searches.
void CudaBackend::group(Stream& stream, const int32_t* group_of, int64_t n, int64_t groups, int32_t* offsets,
                        int32_t* items) {
  SPARROW_CHECK(n >= 0 && n <= INT32_MAX && groups >= 0 && groups < INT32_MAX, "group: {} items in {} groups", n,
                groups);
  if (n == 0) {
    zero(stream, offsets, (groups + 1) * static_cast<int64_t>(sizeof(int32_t)));
    return;
  }
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(groups - 1))));
  const cudaStream_t queue = handle(stream);
  const int32_t* no_items = nullptr;
  int32_t* no_result = nullptr;
  size_t sort_bytes = 0;
  SPARROW_CUDA(cub::DeviceRadixSort::SortPairs(nullptr, sort_bytes, group_of, no_result, no_items, items,
                                               static_cast<int>(n), 0, bits, queue));
  ScratchPlan plan;
  const int64_t sorted_at = plan.add<int32_t>(n), numbers_at = plan.add<int32_t>(n);
  const int64_t sort_at = plan.add<char>(static_cast<int64_t>(sort_bytes));
  plan.allocate(stream);
  auto *sorted = plan.get<int32_t>(sorted_at), *numbers = plan.get<int32_t>(numbers_at);

  const Launch per_item = flat_launch(n);
  count_up_kernel<<<per_item.grid, per_item.block, 0, queue>>>(numbers, n);
  SPARROW_CUDA(cudaGetLastError());
  SPARROW_CUDA(cub::DeviceRadixSort::SortPairs(plan.get<char>(sort_at), sort_bytes, group_of, sorted, numbers, items,
                                               static_cast<int>(n), 0, bits, queue));
  const Launch per_group = flat_launch(groups + 1);
  group_offsets_kernel<<<per_group.grid, per_group.block, 0, queue>>>(sorted, n, groups, offsets);
  SPARROW_CUDA(cudaGetLastError());
}

}  // namespace sparrow::cuda
