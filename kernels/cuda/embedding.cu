// Rows of embedding tables: gathered, packed, pooled into bags, and their gradients summed. All of it is memory
// traffic: a row is read by threads side by side, 128 bits each, and indices come through the same cache line for a
// whole warp.
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/sum_pieces.hpp"

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
// get equal windows of items, not groups. A group of more than kPiece items is cut into pieces of kPiece, counted from
// its own begin, so that its sum does not depend on what lies before it. A thread sums the groups and the pieces that
// begin in its window of kPiece items; no more than two pieces do: one of a group that began before (partial sum 2 w of
// window w), and the first of a group that begins there (2 w + 1). The second kernel adds a group's pieces in order,
// and writes zeros for empty groups.
//
//   kPiece = 4, windows: a a b b | b b b b | b b c d      pieces of b: 2.. of window 0, 6.. of window 1; a, c, d whole
constexpr int64_t kPiece = kItemsPerPiece;

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

/// Columns c of items begin .. end - 1, in order.
template <class Value, class T>
__device__ Value sum_items(const Groups& groups, int64_t begin, int64_t end, const T* rows, int64_t stride, int c) {
  Value sum{};
  for (int64_t p = begin; p < end; ++p) {
    Value value;
    load_value(rows + groups.items[p] * stride + c, value);
    sum = sum + value;
  }
  return sum;
}

/// Columns c of the groups and pieces that begin in a window.
template <class Value, class T>
__device__ void sum_window(const Groups& groups, int64_t window, const T* rows, int64_t stride, int dim, int c,
                           float* out, int64_t out_stride, float* partial) {
  const int64_t begin = window * kPiece, end = min(begin + kPiece, groups.item_count);
  for (int64_t g = group_at(groups, begin); g < groups.count && groups.offsets[g] < end; ++g) {
    const int64_t first = groups.offsets[g], last = groups.offsets[g + 1];
    if (last - first <= kPiece) {
      if (first >= begin && first < last)
        store_value(out + g * out_stride + c, sum_items<Value>(groups, first, last, rows, stride, c));
      continue;
    }
    const bool begins_here = first >= begin;
    const int64_t piece = begins_here ? first : first + (begin - first + kPiece - 1) / kPiece * kPiece;
    if (piece >= min(end, last)) continue;
    store_value(partial + (2 * window + (begins_here ? 1 : 0)) * dim + c,
                sum_items<Value>(groups, piece, min(piece + kPiece, last), rows, stride, c));
  }
}

template <class T>
__global__ void sum_windows_kernel(Groups groups, const T* rows, int64_t stride, int dim, float* out,
                                   int64_t out_stride, float* partial) {
  const int64_t window = row_of_thread();
  if (window * kPiece >= groups.item_count) return;
  for_columns(
      dim, [&](int c) { sum_window<float4>(groups, window, rows, stride, dim, c, out, out_stride, partial); },
      [&](int c) { sum_window<float>(groups, window, rows, stride, dim, c, out, out_stride, partial); });
}

__global__ void join_pieces_kernel(Groups groups, int dim, float* out, int64_t out_stride, const float* partial) {
  const int64_t g = row_of_thread();
  if (g >= groups.count) return;
  const int64_t begin = groups.offsets[g], end = groups.offsets[g + 1];
  if (begin < end && end - begin <= kPiece) return;
  float* target = out + g * out_stride;
  for (int c = static_cast<int>(threadIdx.x); c < dim; c += static_cast<int>(blockDim.x)) {
    float sum = begin < end ? partial[(2 * (begin / kPiece) + 1) * dim + c] : 0.0f;
    for (int64_t piece = begin + kPiece; piece < end; piece += kPiece) sum += partial[2 * (piece / kPiece) * dim + c];
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

int64_t sum_rows_scratch_bytes(int64_t items, int64_t dim) {
  return 4 * 2 * ((items + kPiece - 1) / kPiece) * dim;
}

// Reads items * (size dim + 4) + groups * 8 bytes (offsets, in both kernels), writes groups * 4 dim; groups of more than
// kPiece items: 4 dim written and read again for each piece; (items + pieces) * dim flops.
void CudaBackend::sum_rows(Stream& stream, const Groups& groups, const Matrix& rows, const Matrix& out) {
  SPARROW_CHECK(out.type == DType::f32 && out.rows == groups.count && out.cols == rows.cols && groups.item_count >= 0,
                "sum_rows: {} groups of {} rows of {} into ({}, {})", groups.count, groups.item_count, rows.cols,
                out.rows, out.cols);
  if (groups.count == 0 || rows.cols == 0) return;
  const int64_t windows = (groups.item_count + kPiece - 1) / kPiece;
  ScratchPlan plan;
  const int64_t partial_at = plan.add<float>(2 * windows * rows.cols);
  plan.allocate(stream);
  auto* partial = plan.get<float>(partial_at);
  const int dim = static_cast<int>(rows.cols);
  if (windows > 0) {
    const Launch launch = row_launch(windows, dim);
    with_type(rows.type, [&](auto* type) {
      sum_windows_kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(
          groups, static_cast<decltype(type)>(rows.data), rows.stride, dim, out.f32(), out.stride, partial);
    });
    SPARROW_CUDA(cudaGetLastError());
  }
  const Launch joins = row_launch(groups.count, dim);
  join_pieces_kernel<<<joins.grid, joins.block, 0, handle(stream)>>>(groups, dim, out.f32(), out.stride, partial);
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
