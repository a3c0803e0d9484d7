// SGD, Adagrad and row-wise Adagrad on dense parameters and on rows of tables. Rows are updated where they are, in
// device or pinned memory.
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"

namespace sparrow::cuda {
namespace {

__device__ float sgd(const OptimizerStep& step, float w, float g) {
  return w - step.lr * g;
}

/// Updates the state a, and returns the parameter.
__device__ float adagrad(const OptimizerStep& step, float w, float g, float& a) {
  a += g * g;
  return w - step.lr * (g / (sqrtf(a) + step.eps));
}

__device__ float4 sgd(const OptimizerStep& step, float4 w, float4 g) {
  return make_float4(sgd(step, w.x, g.x), sgd(step, w.y, g.y), sgd(step, w.z, g.z), sgd(step, w.w, g.w));
}

__device__ float4 adagrad(const OptimizerStep& step, float4 w, float4 g, float4& a) {
  return make_float4(adagrad(step, w.x, g.x, a.x), adagrad(step, w.y, g.y, a.y), adagrad(step, w.z, g.z, a.z),
                     adagrad(step, w.w, g.w, a.w));
}

/// The threads of one row: sgd or adagrad on its n values.
template <OptimizerKind kKind>
__device__ void update_values(const OptimizerStep& step, float* w, const float* g, float* a, int n) {
  for_columns(
      n,
      [&](int c) {
        if constexpr (kKind == OptimizerKind::sgd) {
          store4(w + c, sgd(step, load4(w + c), load4(g + c)));
        } else {
          float4 state = load4(a + c);
          store4(w + c, adagrad(step, load4(w + c), load4(g + c), state));
          store4(a + c, state);
        }
      },
      [&](int c) {
        if constexpr (kKind == OptimizerKind::sgd) {
          w[c] = sgd(step, w[c], g[c]);
        } else {
          w[c] = adagrad(step, w[c], g[c], a[c]);
        }
      });
}

constexpr int kDensePart = 1024;  // parameters to a block of 256 threads

template <OptimizerKind kKind>
__global__ void update_dense_kernel(OptimizerStep step, float* params, const float* grads, float* state, int64_t n) {
  const int64_t begin = int64_t{blockIdx.x} * kDensePart;
  update_values<kKind>(step, params + begin, grads + begin, state + begin,
                       static_cast<int>(min(n - begin, int64_t{kDensePart})));
}

template <OptimizerKind kKind>
__global__ void update_rows_kernel(OptimizerStep step, RowStore store, const int64_t* slots, const float* grads,
                                   int64_t stride, int64_t n) {
  const int64_t i = row_of_thread();
  if (i >= n) return;
  update_values<kKind>(step, store.values + slots[i] * store.dim, grads + i * stride,
                       store.state + slots[i] * store.state_dim, static_cast<int>(store.dim));
}

/// One warp a row: lanes add the squares of their columns, and the lanes' sums are added in a tree.
__global__ void update_rows_rowwise_kernel(OptimizerStep step, RowStore store, const int64_t* slots, const float* grads,
                                           int64_t stride, int64_t n) {
  const int64_t i = row_of_thread();
  if (i >= n) return;  // a whole warp
  const float* g = grads + i * stride;
  float* w = store.values + slots[i] * store.dim;
  const int dim = static_cast<int>(store.dim), lane = static_cast<int>(threadIdx.x);
  float squares = 0.0f;
  for (int c = lane; c < dim; c += 32) squares += g[c] * g[c];
  for (int distance = 16; distance > 0; distance /= 2) squares += __shfl_xor_sync(~0u, squares, distance);
  float* state = store.state + slots[i];
  const float a = *state + squares / static_cast<float>(dim);
  __syncwarp();  // every lane has read the state before lane 0 writes it
  if (lane == 0) *state = a;
  const float divisor = sqrtf(a) + step.eps;
  for (int c = lane; c < dim; c += 32) w[c] -= step.lr * (g[c] / divisor);
}

}  // namespace

// sgd: 12 n bytes, 2 n flops. adagrad: 20 n bytes, 6 n flops.
void CudaBackend::update_dense(Stream& stream, const OptimizerStep& step, float* params, const float* grads,
                               float* state, int64_t n) {
  SPARROW_CHECK(step.kind != OptimizerKind::rowwise_adagrad, "update_dense: dense parameters have no rows");
  SPARROW_CHECK(step.kind == OptimizerKind::sgd || state || n == 0, "update_dense: Adagrad needs its state");
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>((n + kDensePart - 1) / kDensePart);
  if (step.kind == OptimizerKind::sgd) {
    update_dense_kernel<OptimizerKind::sgd><<<blocks, 256, 0, handle(stream)>>>(step, params, grads, state, n);
  } else {
    update_dense_kernel<OptimizerKind::adagrad><<<blocks, 256, 0, handle(stream)>>>(step, params, grads, state, n);
  }
  SPARROW_CUDA(cudaGetLastError());
}

// sgd: n (12 dim + 8) bytes, adagrad: n (20 dim + 8), rowwise: n (12 dim + 16), with the second read of the gradient
// from cache.
void CudaBackend::update_rows(Stream& stream, const OptimizerStep& step, const RowStore& store, const int64_t* slots,
                              const Matrix& grads, int64_t n) {
  SPARROW_CHECK(grads.type == DType::f32 && grads.rows == n && grads.cols == store.dim,
                "update_rows: {} rows of {} by ({}, {})", n, store.dim, grads.rows, grads.cols);
  SPARROW_CHECK(store.state_dim == state_dim(step.kind, store.dim), "update_rows: rows of {} with a state of {}",
                store.dim, store.state_dim);
  if (n == 0 || store.dim == 0) return;
  const Launch launch = row_launch(n, step.kind == OptimizerKind::rowwise_adagrad ? 128 : store.dim);
  auto* kernel = step.kind == OptimizerKind::sgd       ? update_rows_kernel<OptimizerKind::sgd>
                 : step.kind == OptimizerKind::adagrad ? update_rows_kernel<OptimizerKind::adagrad>
                                                       : update_rows_rowwise_kernel;
  kernel<<<launch.grid, launch.block, 0, handle(stream)>>>(step, store, slots, grads.f32(), grads.stride, n);
  SPARROW_CUDA(cudaGetLastError());
}

}  // namespace sparrow::cuda
