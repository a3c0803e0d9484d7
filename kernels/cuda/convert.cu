// Conversion between fp32 and bf16.
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"

namespace sparrow::cuda {
namespace {

template <class From, class To>
__global__ void convert_kernel(const From* from, int64_t from_stride, To* to, int64_t to_stride, int64_t rows,
                               int cols) {
  const int64_t row = row_of_thread();
  if (row >= rows) return;
  const From* source = from + row * from_stride;
  To* target = to + row * to_stride;
  for_columns(
      cols, [&](int c) { store4(target + c, load4(source + c)); },
      [&](int c) { target[c] = from_float<To>(to_float(source[c])); });
}

}  // namespace

// Reads and writes every element once.
void CudaBackend::convert(Stream& stream, const Matrix& from, const Matrix& to) {
  SPARROW_CHECK(from.rows == to.rows && from.cols == to.cols, "convert: ({}, {}) to ({}, {})", from.rows, from.cols,
                to.rows, to.cols);
  if (from.rows == 0 || from.cols == 0) return;
  const Launch launch = row_launch(from.rows, from.cols);
  with_type(from.type, [&](auto* from_type) {
    with_type(to.type, [&](auto* to_type) {
      convert_kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(
          static_cast<decltype(from_type)>(from.data), from.stride, static_cast<decltype(to_type)>(to.data), to.stride,
          from.rows, static_cast<int>(from.cols));
    });
  });
  SPARROW_CUDA(cudaGetLastError());
}

}  // namespace sparrow::cuda
