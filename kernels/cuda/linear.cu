// The linear layer: forward, gradient of the input, gradient of the weights.
#include <algorithm>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/gemm.cuh"

namespace sparrow::cuda {
namespace {

constexpr int kColumns = 32, kRowLanes = 8;

/// partial [slices][n] = sums over each slice of rows. One block: 32 columns of one slice; its 8 row lanes are added in
/// order.
template <class T>
__global__ void column_sums_kernel(const T* values, int64_t rows, int64_t n, int64_t stride, int64_t rows_per_slice,
                                   float* partial) {
  __shared__ float lanes[kRowLanes][kColumns];
  const int64_t column = int64_t{blockIdx.x} * kColumns + threadIdx.x;
  const int64_t end = min(rows, (blockIdx.y + 1) * rows_per_slice);
  float sum = 0.0f;
  if (column < n) {
    for (int64_t i = blockIdx.y * rows_per_slice + threadIdx.y; i < end; i += kRowLanes)
      sum += to_float(values[i * stride + column]);
  }
  lanes[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && column < n) {
    for (int lane = 1; lane < kRowLanes; ++lane) sum += lanes[lane][threadIdx.x];
    partial[blockIdx.y * n + column] = sum;
  }
}

__global__ void add_column_slices_kernel(const float* partial, int slices, int64_t n, float* sums) {
  const int64_t column = flat_index();
  if (column >= n) return;
  float sum = 0.0f;
  for (int s = 0; s < slices; ++s) sum += partial[s * n + column];
  sums[column] = sum;
}

int column_slices(int64_t rows) {
  return static_cast<int>(std::clamp<int64_t>(rows / 256, 1, 64));
}

/// sums [n] = column sums of a matrix. Reads it once: rows * n * size bytes, as many flops as elements.
void column_sums(Stream& stream, const Matrix& matrix, float* sums) {
  if (matrix.cols == 0) return;
  const int slices = column_slices(matrix.rows);
  const int64_t rows_per_slice = (matrix.rows + slices - 1) / slices;
  ScratchPlan plan;
  const int64_t partial_at = plan.add<float>(slices * matrix.cols);
  plan.allocate(stream);
  auto* partial = plan.get<float>(partial_at);
  const dim3 grid(static_cast<unsigned>((matrix.cols + kColumns - 1) / kColumns), static_cast<unsigned>(slices));
  with_type(matrix.type, [&](auto* type) {
    column_sums_kernel<<<grid, dim3(kColumns, kRowLanes), 0, handle(stream)>>>(
        static_cast<decltype(type)>(matrix.data), matrix.rows, matrix.cols, matrix.stride, rows_per_slice, partial);
  });
  SPARROW_CUDA(cudaGetLastError());
  const Launch launch = flat_launch(matrix.cols);
  add_column_slices_kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(partial, slices, matrix.cols, sums);
  SPARROW_CUDA(cudaGetLastError());
}

/// Of the partial sums of a product of up to these sizes: as cut_slices takes them for tiles of 128, the larger. A cut
/// product has at most 256 slices and tiles together.
int64_t product_scratch_bytes(int64_t m, int64_t n, int64_t depth) {
  constexpr int64_t kTile = 128;
  if (depth < 2 * 256) return 0;
  return 4 * std::min(256 * kTile * kTile, depth / 256 * m * n);
}

void multiply(Stream& stream, const Product& product, DType type, bool tf32) {
  if (type == DType::bf16 || tf32) {
    multiply_tensor(stream, product, type);
  } else {
    multiply_fp32(stream, product);
  }
}

}  // namespace

int64_t linear_scratch_bytes(const LayerShape& layer) {
  const auto [b, k, n, type] = layer;
  return std::max({product_scratch_bytes(b, n, k), product_scratch_bytes(b, k, n), product_scratch_bytes(n, k, b),
                   4 * n * column_slices(b)});
}

// (b k + n k) * size read and b n * size written at least, 2 b n k flops.
void CudaBackend::linear_forward(Stream& stream, const Matrix& x, const Matrix& w, const float* bias, bool relu,
                                 const Matrix& y) {
  SPARROW_CHECK(x.cols == w.cols && y.rows == x.rows && y.cols == w.rows && x.type == w.type,
                "linear_forward: x ({}, {}), w ({}, {}), y ({}, {})", x.rows, x.cols, w.rows, w.cols, y.rows, y.cols);
  Product product{x.rows, w.rows, x.cols, {x.data, x.stride, true}, {w.data, w.stride, true}, {bias, relu, {}, y}};
  multiply(stream, product, x.type, tf32_);
}

// (b n + n k) * size read, b k * size written (and read, for active), 2 b n k flops.
void CudaBackend::linear_backward_input(Stream& stream, const Matrix& dy, const Matrix& w, const Matrix& active,
                                        const Matrix& dx) {
  SPARROW_CHECK(dy.cols == w.rows && dx.rows == dy.rows && dx.cols == w.cols && dy.type == w.type,
                "linear_backward_input: dy ({}, {}), w ({}, {}), dx ({}, {})", dy.rows, dy.cols, w.rows, w.cols,
                dx.rows, dx.cols);
  SPARROW_CHECK(!active.data || (active.rows == dx.rows && active.cols == dx.cols),
                "linear_backward_input: active ({}, {}), dx ({}, {})", active.rows, active.cols, dx.rows, dx.cols);
  Product product{
      dy.rows, w.cols, dy.cols, {dy.data, dy.stride, true}, {w.data, w.stride, false}, {nullptr, false, active, dx}};
  multiply(stream, product, dy.type, tf32_);
}

// (b n + b k) * size read, n k * 4 written (times 2 * slices + 1 where the batch is cut), 2 b n k flops; and column
// sums of dy.
void CudaBackend::linear_backward_weights(Stream& stream, const Matrix& dy, const Matrix& x, float* dw, float* dbias) {
  SPARROW_CHECK(dy.rows == x.rows && dy.type == x.type, "linear_backward_weights: dy ({}, {}), x ({}, {})", dy.rows,
                dy.cols, x.rows, x.cols);
  const Matrix out = Matrix::f32(dw, dy.cols, x.cols);
  Product product{
      dy.cols, x.cols, dy.rows, {dy.data, dy.stride, false}, {x.data, x.stride, false}, {nullptr, false, {}, out}};
  multiply(stream, product, dy.type, tf32_);
  column_sums(stream, dy, dbias);
}

}  // namespace sparrow::cuda
