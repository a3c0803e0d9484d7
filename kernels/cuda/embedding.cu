// Rows of embedding tables: gathered, packed, pooled into bags, and their gradients summed. All of it is memory
// traffic: a row is read by threads side by side, 128 bits each, and indices come through the same cache line for a
// whole warp.
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"

namespace sparrow::cuda {
namespace {

template <class Out>
__device__ void copy_row(const float* row, Out* out, int dim) {
  for_columns(
      dim, [&](int c) { store4(out + c, load4(row + c)); }, [&](int c) { out[c] = from_float<Out>(row[c]); });
}

template <class Out>
__global__ void gather_rows_kernel(const float* values, const int64_t* slots, int64_t n, int dim, Out* out,
                                   int64_t stride) {
  const int64_t i = row_of_thread();
  if (i < n) copy_row(values + slots[i] * dim, out + i * stride, dim);
}

template <class Out>
__global__ void pack_rows_kernel(const float* const* rows, const int32_t* row_of_item, int64_t n, int dim, Out* out,
                                 int64_t stride) {
  const int64_t i = row_of_thread();
  if (i < n) copy_row(global_pointer(rows[row_of_item ? row_of_item[i] : i]), out + i * stride, dim);
}

__global__ void address_rows_kernel(const float* base, const int64_t* slots, int64_t n, int64_t dim,
                                    const float** addresses) {
  const int64_t i = flat_index();
  if (i < n) addresses[i] = base + (slots ? slots[i] : i) * dim;
}

__global__ void pool_bags_kernel(Bags bags, const float* const* rows, Matrix features) {
  const int64_t bag = row_of_thread();
  if (bag >= bags.samples * bags.tables) return;
  const int64_t table = bag / bags.samples, sample = bag % bags.samples;
  const int64_t begin = bags.offsets ? bags.offsets[bag] : bag;
  const int64_t end = bags.offsets ? bags.offsets[bag + 1] : bag + 1;
  float* out = values<float>(features) + (sample * (bags.tables + 1) + 1 + table) * features.stride;
  for_columns(
      static_cast<int>(features.cols),
      [&](int c) {
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        for (int64_t l = begin; l < end; ++l) sum = sum + load4(global_pointer(rows[bags.row_of_lookup[l]]) + c);
        store4(out + c, sum);
      },
      [&](int c) {
        float sum = 0.0f;
        for (int64_t l = begin; l < end; ++l) sum += global_pointer(rows[bags.row_of_lookup[l]])[c];
        out[c] = sum;
      });
}

__global__ void lookup_bags_kernel(const int64_t* offsets, int64_t bags, const int32_t* lookups, int64_t n,
                                   int32_t* bags_of) {
  const int64_t i = flat_index();
  if (i >= n) return;
  const int32_t lookup = lookups[i];
  // The last bag that begins at or before the lookup; empty bags that begin there too come before it.
  int64_t low = 0, high = bags;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (offsets[middle] <= lookup ? low : high) = middle;
  }
  bags_of[i] = static_cast<int32_t>(low);
}

// sum_rows. Groups differ in size by four orders of magnitude (a table of three rows, a table of millions), so threads
// get equal runs of items, not groups. The items are cut into kRuns runs; a group that lies in one run is summed and
// written there. A group that is cut leaves a partial sum in each of its runs: at the run's head where it began in an
// earlier run, at its tail where it goes on in a later one. The second kernel adds those in order, and writes zeros for
// empty groups. The number of items is known on the device only, so the cut is made there; sums depend on the sizes
// alone.
//
//   runs of 4 items:     a a a b | b b b b | b b c d      partial sums: tail 0 = b, head 1 = b b b b, head 2 = b b; c
//   and d whole
constexpr int64_t kRuns = 4096;
constexpr int64_t kShortestRun = 16;

__device__ int64_t run_length(const Groups& groups) {
  const int64_t items = groups.offsets[groups.count];
  return max((items + kRuns - 1) / kRuns, kShortestRun);
}

/// The group that item `position` is in.
__device__ int64_t group_at(const Groups& groups, int64_t position) {
  int64_t low = 0, high = groups.count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (groups.offsets[middle] <= position ? low : high) = middle;
  }
  return low;
}

/// One value, or four side by side.
__device__ void load_value(const float* from, float& to) {
  to = *from;
}
__device__ void load_value(const bf16* from, float& to) {
  to = to_float(*from);
}
template <class T>
__device__ void load_value(const T* from, float4& to) {
  to = load4(from);
}
__device__ void store_value(float* to, float from) {
  *to = from;
}
__device__ void store_value(float* to, float4 from) {
  store4(to, from);
}

/// The columns that begin at c, of every group in the run.
template <class Value, class T>
__device__ void sum_run(const Groups& groups, int64_t run, int64_t begin, int64_t end, const T* rows, int64_t stride,
                        int dim, int c, float* out, int64_t out_stride, float* heads, float* tails) {
  int64_t g = group_at(groups, begin);
  for (int64_t p = begin; p < end;) {
    while (groups.offsets[g + 1] <= p) ++g;
    const int64_t group_end = groups.offsets[g + 1], stop = min(end, group_end);
    const bool began_before = groups.offsets[g] < begin;
    Value sum{};
    for (; p < stop; ++p) {
      Value value;
      load_value(rows + groups.items[p] * stride + c, value);
      sum = sum + value;
    }
    float* target = began_before ? heads + run * dim : group_end > end ? tails + run * dim : out + g * out_stride;
    store_value(target + c, sum);
  }
}

template <class T>
__global__ void sum_runs_kernel(Groups groups, const T* rows, int64_t stride, int dim, float* out, int64_t out_stride,
                                float* heads, float* tails) {
  const int64_t run = row_of_thread();
  const int64_t length = run_length(groups);
  const int64_t begin = run * length, end = min(begin + length, int64_t{groups.offsets[groups.count]});
  if (begin >= end) return;
  for_columns(
      dim,
      [&](int c) { sum_run<float4>(groups, run, begin, end, rows, stride, dim, c, out, out_stride, heads, tails); },
      [&](int c) { sum_run<float>(groups, run, begin, end, rows, stride, dim, c, out, out_stride, heads, tails); });
}

__global__ void join_runs_kernel(Groups groups, int dim, float* out, int64_t out_stride, const float* heads,
                                 const float* tails) {
  const int64_t g = row_of_thread();
  if (g >= groups.count) return;
  const int64_t begin = groups.offsets[g], end = groups.offsets[g + 1], length = run_length(groups);
  float* target = out + g * out_stride;
  if (begin == end) {
    for (int c = static_cast<int>(threadIdx.x); c < dim; c += static_cast<int>(blockDim.x)) target[c] = 0.0f;
    return;
  }
  const int64_t first_run = begin / length, last_run = (end - 1) / length;
  if (first_run == last_run) return;
  for (int c = static_cast<int>(threadIdx.x); c < dim; c += static_cast<int>(blockDim.x)) {
    // A group that begins exactly with a run began in no earlier one and goes on: its first partial sum is that run's
    // tail, too.
    float sum = tails[first_run * dim + c];
    for (int64_t run = first_run + 1; run <= last_run; ++run) sum += heads[run * dim + c];
    target[c] = sum;
  }
}

}  // namespace

// Reads n rows and n slots (8 n bytes), writes n rows: n (4 dim + 8 + size dim) bytes.
void CudaBackend::gather_rows(Stream& stream, const RowStore& store, const int64_t* slots, int64_t n,
                              const Matrix& out) {
  SPARROW_CHECK(out.rows == n && out.cols == store.dim, "gather_rows: {} rows of {} into ({}, {})", n, store.dim,
                out.rows, out.cols);
  if (n == 0 || store.dim == 0) return;
  const Launch launch = row_launch(n, store.dim);
  with_type(out.type, [&](auto* type) {
    gather_rows_kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(
        store.values, slots, n, static_cast<int>(store.dim), static_cast<decltype(type)>(out.data), out.stride);
  });
  SPARROW_CUDA(cudaGetLastError());
}

// As gather_rows, with 8 bytes of address and 4 of item number each.
void CudaBackend::pack_rows(Stream& stream, const float* const* rows, const int32_t* row_of_item, int64_t n,
                            const Matrix& out) {
  SPARROW_CHECK(out.rows == n, "pack_rows: {} rows into ({}, {})", n, out.rows, out.cols);
  if (n == 0 || out.cols == 0) return;
  const Launch launch = row_launch(n, out.cols);
  with_type(out.type, [&](auto* type) {
    pack_rows_kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(
        rows, row_of_item, n, static_cast<int>(out.cols), static_cast<decltype(type)>(out.data), out.stride);
  });
  SPARROW_CUDA(cudaGetLastError());
}

// 16 n bytes (8 n where slots is null).
void CudaBackend::address_rows(Stream& stream, const float* base, const int64_t* slots, int64_t n, int64_t dim,
                               const float** addresses) {
  if (n == 0) return;
  const Launch launch = flat_launch(n);
  address_rows_kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(base, slots, n, dim, addresses);
  SPARROW_CUDA(cudaGetLastError());
}

// Reads lookups * (4 dim + 12) bytes, writes samples * tables * 4 dim; lookups * dim flops.
void CudaBackend::pool_bags(Stream& stream, const Bags& bags, const float* const* rows, const Matrix& features) {
  SPARROW_CHECK(features.type == DType::f32 && features.rows == bags.samples * (bags.tables + 1),
                "pool_bags: {} samples of {} tables into ({}, {})", bags.samples, bags.tables, features.rows,
                features.cols);
  if (bags.samples == 0 || bags.tables == 0 || features.cols == 0) return;
  const Launch launch = row_launch(bags.samples * bags.tables, features.cols);
  pool_bags_kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(bags, rows, features);
  SPARROW_CUDA(cudaGetLastError());
}

// Reads items * (size dim + 4) + groups * 8 bytes, writes groups * 4 dim; items * dim flops. Partial sums: at most 2 *
// kRuns rows.
void CudaBackend::sum_rows(Stream& stream, const Groups& groups, const Matrix& rows, const Matrix& out) {
  SPARROW_CHECK(out.type == DType::f32 && out.rows == groups.count && out.cols == rows.cols,
                "sum_rows: {} groups of rows of {} into ({}, {})", groups.count, rows.cols, out.rows, out.cols);
  if (groups.count == 0 || rows.cols == 0) return;
  ScratchPlan plan;
  const int64_t heads_at = plan.add<float>(kRuns * rows.cols), tails_at = plan.add<float>(kRuns * rows.cols);
  plan.allocate(stream);
  auto *heads = plan.get<float>(heads_at), *tails = plan.get<float>(tails_at);
  const int dim = static_cast<int>(rows.cols);
  const Launch runs = row_launch(kRuns, dim);
  with_type(rows.type, [&](auto* type) {
    sum_runs_kernel<<<runs.grid, runs.block, 0, handle(stream)>>>(
        groups, static_cast<decltype(type)>(rows.data), rows.stride, dim, out.f32(), out.stride, heads, tails);
  });
  SPARROW_CUDA(cudaGetLastError());
  const Launch joins = row_launch(groups.count, dim);
  join_runs_kernel<<<joins.grid, joins.block, 0, handle(stream)>>>(groups, dim, out.f32(), out.stride, heads, tails);
  SPARROW_CUDA(cudaGetLastError());
}

// 8 n bytes and log2(bags) reads of offsets each, which stay in the second-level cache.
void CudaBackend::lookup_bags(Stream& stream, const Bags& bags, const int32_t* lookups, int64_t n, int32_t* bags_of) {
  if (n == 0) return;
  if (!bags.offsets) {
    copy(stream, bags_of, lookups, n * static_cast<int64_t>(sizeof(int32_t)));
    return;
  }
  const Launch launch = flat_launch(n);
  lookup_bags_kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(bags.offsets, bags.samples * bags.tables,
                                                                       lookups, n, bags_of);
  SPARROW_CUDA(cudaGetLastError());
}

}  // namespace sparrow::cuda
