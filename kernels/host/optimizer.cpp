// SGD, Adagrad and row-wise Adagrad on dense parameters and on rows of tables.
#include <cmath>

#include "base/error.hpp"
#include "kernels/host/host_backend.hpp"
#include "kernels/host/numbers.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::host {
namespace {

constexpr int64_t kAhead = 16;  // rows asked for before they are used

void update_sgd(const OptimizerStep& step, float* __restrict w, const float* __restrict g, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) w[i] -= step.lr * g[i];
}

void update_adagrad(const OptimizerStep& step, float* __restrict w, const float* __restrict g, float* __restrict a,
                    int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    a[i] += g[i] * g[i];
    w[i] -= step.lr * (g[i] / (std::sqrt(a[i]) + step.eps));
  }
}

void update_rowwise_adagrad(const OptimizerStep& step, float* __restrict w, const float* __restrict g, float* a,
                            int64_t n) {
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < n; ++i) squares += g[i] * g[i];
  *a += squares / static_cast<float>(n);
  const float divisor = std::sqrt(*a) + step.eps;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) w[i] -= step.lr * (g[i] / divisor);
}

void update(const OptimizerStep& step, float* w, const float* g, float* a, int64_t n) {
  switch (step.kind) {
    case OptimizerKind::sgd:
      return update_sgd(step, w, g, n);
    case OptimizerKind::adagrad:
      return update_adagrad(step, w, g, a, n);
    case OptimizerKind::rowwise_adagrad:
      return update_rowwise_adagrad(step, w, g, a, n);
  }
}

void prefetch_to_write(const float* data, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(data + i, 1);
}

}  // namespace

void HostBackend::update_dense(Stream&, const OptimizerStep& step, float* params, const float* grads, float* state,
                               int64_t n) {
  SPARROW_CHECK(step.kind != OptimizerKind::rowwise_adagrad, "update_dense: dense parameters have no rows");
  SPARROW_CHECK(step.kind == OptimizerKind::sgd || state || n == 0, "update_dense: Adagrad needs its state");
  parallel_ranges(threads_, n, 1 << 14, [&](int64_t begin, int64_t end) {
    update(step, params + begin, grads + begin, state ? state + begin : nullptr, end - begin);
  });
}

void HostBackend::update_rows(Stream&, const OptimizerStep& step, const RowStore& store, const int64_t* slots,
                              const Matrix& grads, int64_t n) {
  SPARROW_CHECK(grads.type == DType::f32 && grads.rows == n && grads.cols == store.dim,
                "update_rows: {} rows of {} by ({}, {})", n, store.dim, grads.rows, grads.cols);
  SPARROW_CHECK(store.state_dim == state_dim(step.kind, store.dim), "update_rows: rows of {} with a state of {}",
                store.dim, store.state_dim);
  parallel_ranges(threads_, n, 512, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (i + kAhead < end) {
        const int64_t ahead = slots[i + kAhead];
        prefetch_to_write(store.values + ahead * store.dim, store.dim);
        prefetch_to_write(store.state + ahead * store.state_dim, store.state_dim);
      }
      update(step, store.values + slots[i] * store.dim, row_of<float>(grads, i),
             store.state + slots[i] * store.state_dim, store.dim);
    }
  });
}

}  // namespace sparrow::host
