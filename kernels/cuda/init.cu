// Initial values of rows: a pure function of seed, stream, row id and element.
#include "base/random.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"

namespace sparrow::cuda {
namespace {

__global__ void init_rows_kernel(uint64_t seed, uint32_t stream_id, const int64_t* ids, int64_t n, int dim, float bound,
                                 float* values) {
  const int64_t i = row_of_thread();
  if (i >= n) return;
  float* row = values + i * dim;
  for (int e = 4 * static_cast<int>(threadIdx.x); e < dim; e += 4 * static_cast<int>(blockDim.x)) {
    const Philox4 words = random_words(seed, stream_id, static_cast<uint64_t>(ids[i]), static_cast<uint32_t>(e / 4));
    for (int q = 0; q < 4 && e + q < dim; ++q) row[e + q] = (2.0f * uniform_float(words.v[q]) - 1.0f) * bound;
  }
}

}  // namespace

// Writes 4 n dim bytes; some 25 integer multiplications for every 4 values.
void CudaBackend::init_rows(Stream& stream, uint64_t seed, uint32_t stream_id, const int64_t* ids, int64_t n,
                            int64_t dim, float bound, float* values) {
  SPARROW_CHECK(n >= 0 && dim >= 0, "init_rows: {} rows of {}", n, dim);
  if (n == 0 || dim == 0) return;
  const Launch launch = row_launch(n, dim);
  init_rows_kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(seed, stream_id, ids, n, static_cast<int>(dim),
                                                                     bound, values);
  SPARROW_CUDA(cudaGetLastError());
}

}  // namespace sparrow::cuda
