// Binary cross-entropy with logits. One block does the whole batch: a rank's 2,048 to 65,536 logits take it a few
// microseconds, and the sum needs no second kernel and no atomics.
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device.cuh"

namespace sparrow::cuda {
namespace {

constexpr int kThreads = 512;

template <class T>
__global__ void __launch_bounds__(kThreads) loss_kernel(const float* logits, const float* labels, int64_t b,
                                                        float scale, T* dlogits, int64_t stride, double* loss_sum) {
  __shared__ double sums[kThreads];
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < b; i += kThreads) {
    const double x = logits[i], label = labels[i];
    const double decay = exp(-fabs(x));  // in [0, 1]: nothing overflows
    sum += fmax(x, 0.0) + log1p(decay) - label * x;
    const double sigmoid = (x >= 0.0 ? 1.0 : decay) / (1.0 + decay);
    if (dlogits) dlogits[i * stride] = from_float<T>(static_cast<float>(scale * (sigmoid - label)));
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *loss_sum = sums[0];
}

}  // namespace

int64_t loss_scratch_bytes() {
  return sizeof(double);
}

// Reads 8 b bytes, writes b * size; some 50 fp64 operations each.
void CudaBackend::loss(Stream& stream, const float* logits, const float* labels, int64_t b, float scale,
                       const Matrix& dlogits, double* loss_sum) {
  SPARROW_CHECK(!dlogits.data || (dlogits.rows == b && dlogits.cols == 1), "loss: gradient ({}, {}) of {} logits",
                dlogits.rows, dlogits.cols, b);
  ScratchPlan plan;
  const int64_t sum_at = plan.add<double>(1);
  plan.allocate(stream);
  auto* sum = plan.get<double>(sum_at);
  with_type(dlogits.type, [&](auto* type) {
    loss_kernel<<<1, kThreads, 0, handle(stream)>>>(logits, labels, b, scale, static_cast<decltype(type)>(dlogits.data),
                                                    dlogits.stride, sum);
  });
  SPARROW_CUDA(cudaGetLastError());
  copy(stream, loss_sum, sum, sizeof(double));
}

}  // namespace sparrow::cuda
