// The layers of the multi-layer perceptrons. Products go to oneDNN; a layer with one output is a matrix-vector product,
// bound by memory, which is written out here.
#include <algorithm>

#include "base/error.hpp"
#include "kernels/host/host_backend.hpp"
#include "kernels/host/numbers.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::host {
namespace {

constexpr int64_t kGrainElements = 1 << 14;

void check_linear(const char* operation, const Matrix& x, const Matrix& w, const Matrix& y) {
  SPARROW_CHECK(x.cols == w.cols && y.rows == x.rows && y.cols == w.rows,
                "{}: input ({}, {}), weights ({}, {}), output ({}, {})", operation, x.rows, x.cols, w.rows, w.cols,
                y.rows, y.cols);
  SPARROW_CHECK(x.stride >= x.cols && w.stride >= w.cols && y.stride >= y.cols, "{}: a stride is shorter than its row",
                operation);
}

template <class T>
float dot(const T* a, const T* b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += to_float(a[i]) * to_float(b[i]);
  return sum;
}

/// y = max(y, 0). Not left to oneDNN, whose ReLU turns NaN into 0.
void rectify(int threads, const Matrix& y) {
  with_type(y.type, [&](auto y_zero) {
    using T = decltype(y_zero);
    parallel_ranges(threads, y.rows, kGrainElements / y.cols, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        T* values = row_of<T>(y, row);
#pragma omp simd
        for (int64_t i = 0; i < y.cols; ++i) clear_if(is_negative(values[i]), values[i]);
      }
    });
  });
}

/// dx = 0 where active <= 0.
template <class Out, class Active>
void mask_row(Out* dx, const Active* active, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) clear_if(is_not_positive(active[i]), dx[i]);
}

/// sums[0..n) += scale * row.
template <class T>
void add_scaled(float* sums, const T* row, float scale, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) sums[i] += scale * to_float(row[i]);
}

}  // namespace

void HostBackend::linear_forward(Stream& stream, const Matrix& x, const Matrix& w, const float* bias, bool relu,
                                 const Matrix& y) {
  check_linear("linear_forward", x, w, y);
  SPARROW_CHECK(x.type == w.type && (y.type == DType::f32 || y.type == x.type), "linear_forward: types do not fit");
  if (y.rows == 0 || y.cols == 0) return;
  if (y.cols > 1 && x.cols > 0) {
    host_stream(stream).gemm.multiply(threads_, {x}, {w, true}, bias, y);
    if (relu) rectify(threads_, y);
    return;
  }
  with_type(x.type, [&](auto x_zero) {
    with_type(y.type, [&](auto y_zero) {
      using In = decltype(x_zero);
      using Out = decltype(y_zero);
      parallel_ranges(threads_, y.rows, kGrainElements / std::max<int64_t>(x.cols, 1), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          for (int64_t col = 0; col < y.cols; ++col) {
            const float value = dot(row_of<const In>(x, row), row_of<const In>(w, col), x.cols) + bias[col];
            row_of<Out>(y, row)[col] = from_float<Out>(relu && value < 0.0f ? 0.0f : value);
          }
        }
      });
    });
  });
}

void HostBackend::linear_backward_input(Stream& stream, const Matrix& dy, const Matrix& w, const Matrix& active,
                                        const Matrix& dx) {
  check_linear("linear_backward_input", dx, w, dy);
  SPARROW_CHECK(dy.type == w.type && (dx.type == DType::f32 || dx.type == dy.type),
                "linear_backward_input: types do not fit");
  SPARROW_CHECK(!active.data || (active.rows == dx.rows && active.cols == dx.cols),
                "linear_backward_input: dx ({}, {}), active ({}, {})", dx.rows, dx.cols, active.rows, active.cols);
  if (dx.rows == 0 || dx.cols == 0) return;
  const bool product = dy.cols > 1;
  if (product) host_stream(stream).gemm.multiply(threads_, {dy}, {w}, nullptr, dx);
  if (product && !active.data) return;
  with_type(dy.type, [&](auto dy_zero) {
    with_type(dx.type, [&](auto dx_zero) {
      using In = decltype(dy_zero);
      using Out = decltype(dx_zero);
      parallel_ranges(threads_, dx.rows, kGrainElements / dx.cols, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          Out* out = row_of<Out>(dx, row);
          if (!product) {
            const float scale = dy.cols == 1 ? to_float(*row_of<const In>(dy, row)) : 0.0f;
            const In* weights = dy.cols == 1 ? row_of<const In>(w, 0) : nullptr;
#pragma omp simd
            for (int64_t col = 0; col < dx.cols; ++col) {
              out[col] = from_float<Out>(weights ? scale * to_float(weights[col]) : 0.0f);
            }
          }
          if (active.data) {
            with_type(active.type, [&](auto active_zero) {
              mask_row(out, row_of<const decltype(active_zero)>(active, row), dx.cols);
            });
          }
        }
      });
    });
  });
}

void HostBackend::linear_backward_weights(Stream& stream, const Matrix& dy, const Matrix& x, float* dw, float* dbias) {
  const int64_t n = dy.cols;
  const int64_t k = x.cols;
  SPARROW_CHECK(dy.rows == x.rows, "linear_backward_weights: dy ({}, {}), x ({}, {})", dy.rows, n, x.rows, k);
  SPARROW_CHECK(dy.type == x.type, "linear_backward_weights: types do not fit");
  const bool product = n > 1 && k > 0 && x.rows > 0;
  HostStream& own = host_stream(stream);
  if (product) own.gemm.multiply(threads_, {dy, true}, {x}, nullptr, Matrix::f32(dw, n, k));
  if (n == 0) return;

  // One row of sums per part: the bias, and the weights too where they are a single row. Parts are then added in their
  // order.
  const int64_t width = product ? n : n * (k + 1);
  const int parts = part_count(threads_, x.rows, kGrainElements / width);
  float* sums = own.partial_sums.take<float>(parts * width);
  with_type(dy.type, [&](auto type_zero) {
    using T = decltype(type_zero);
    parallel_parts(threads_, parts, [&](int part) {
      float* bias_sums = sums + part * width;
      std::fill(bias_sums, bias_sums + width, 0.0f);
      for (int64_t row = part_begin(x.rows, part, parts); row < part_begin(x.rows, part + 1, parts); ++row) {
        const T* gradient = row_of<const T>(dy, row);
        add_scaled(bias_sums, gradient, 1.0f, n);
        if (!product && n == 1) add_scaled(bias_sums + 1, row_of<const T>(x, row), to_float(*gradient), k);
      }
    });
  });
  for (int part = 1; part < parts; ++part) add_scaled(sums, sums + part * width, 1.0f, width);
  std::copy(sums, sums + n, dbias);
  if (!product) std::copy(sums + n, sums + width, dw);
}

}  // namespace sparrow::host
