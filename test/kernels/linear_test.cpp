// Linear layers forward and backward.
#include "base/error.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

struct Case {
  int64_t b, k, n;
};

/// Every batch with a few shapes, and every size as k and as n once.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const int64_t b : kBatches) {
    for (const auto& [k, n] : std::vector<std::pair<int64_t, int64_t>>{{13, 64}, {64, 1}, {1, 1}, {7, 3}, {100, 16}}) {
      all.push_back({b, k, n});
    }
  }
  for (const int64_t size : kDims) {
    all.push_back({33, size, 17});
    all.push_back({19, 31, size});
    all.push_back({5, size, 1});
  }
  all.push_back({300, 415, 128});  // more than one thread's worth of rows
  all.push_back({700, 256, 1});
  all.push_back({3, 0, 4});
  all.push_back({3, 4, 0});
  return all;
}

const std::vector<std::pair<DType, DType>> kTypes{
    {DType::f32, DType::f32}, {DType::bf16, DType::bf16}, {DType::bf16, DType::f32}};  // of x and w, of the output

std::string describe(const Case& c) {
  return "b " + std::to_string(c.b) + ", k " + std::to_string(c.k) + ", n " + std::to_string(c.n);
}

}  // namespace

TEST_CASE("A linear layer is x w^T + bias, then ReLU where asked") {
  on_every_backend([](const Harness& h) {
    for (const Case& c : cases()) {
      for (const auto& [type, out_type] : kTypes) {
        for (const bool relu : {false, true}) {
          for (const int64_t gap : {0, 5}) {
            INFO(describe(c) << ", bf16 in " << (type == DType::bf16) << ", bf16 out " << (out_type == DType::bf16)
                             << ", gap " << gap);
            const auto x = all_stored(type, random_values(c.b * c.k, 1));
            const auto w = all_stored(type, random_values(c.n * c.k, 2));
            const auto bias = all_stored(DType::f32, random_values(c.n, 3));
            std::vector<ExactSum> exact;
            for (int64_t i = 0; i < c.b; ++i) {
              for (int64_t o = 0; o < c.n; ++o) {
                ExactSum sum;
                sum.add(bias[o]);
                for (int64_t j = 0; j < c.k; ++j) sum.add(x[i * c.k + j] * w[o * c.k + j]);
                if (relu) sum.value = std::max(sum.value, 0.0);
                exact.push_back(sum);
              }
            }
            const TestMatrix x_matrix(h, type, c.b, c.k, x, gap), w_matrix(h, type, c.n, c.k, w, gap);
            const TestMatrix y(h, out_type, c.b, c.n, gap);
            const Array<float> bias_array = h.upload(std::vector<float>(bias.begin(), bias.end()));
            h.backend().linear_forward(h.stream(), x_matrix, w_matrix, bias_array.data(), relu, y);
            check_sums(y.values(), exact, out_type);
          }
        }
      }
    }
  });
}

TEST_CASE("The input gradient of a linear layer is dy w, zero where the ReLU before it was") {
  on_every_backend([](const Harness& h) {
    for (const Case& c : cases()) {
      for (const auto& [type, out_type] : kTypes) {
        for (const bool masked : {false, true}) {
          for (const int64_t gap : {0, 3}) {
            INFO(describe(c) << ", bf16 in " << (type == DType::bf16) << ", bf16 out " << (out_type == DType::bf16)
                             << ", masked " << masked << ", gap " << gap);
            const auto dy = all_stored(type, random_values(c.b * c.n, 1));
            const auto w = all_stored(type, random_values(c.n * c.k, 2));
            auto active = all_stored(type, random_values(c.b * c.k, 3));
            for (size_t i = 0; i < active.size(); i += 3) active[i] = 0.0;
            std::vector<ExactSum> exact;
            for (int64_t i = 0; i < c.b; ++i) {
              for (int64_t j = 0; j < c.k; ++j) {
                ExactSum sum;
                for (int64_t o = 0; o < c.n; ++o) sum.add(dy[i * c.n + o] * w[o * c.k + j]);
                if (masked && active[i * c.k + j] <= 0) sum = {};
                exact.push_back(sum);
              }
            }
            const TestMatrix dy_matrix(h, type, c.b, c.n, dy, gap), w_matrix(h, type, c.n, c.k, w, gap);
            const TestMatrix active_matrix(h, type, c.b, c.k, active, gap);
            const TestMatrix dx(h, out_type, c.b, c.k, gap);
            h.backend().linear_backward_input(h.stream(), dy_matrix, w_matrix,
                                              masked ? Matrix(active_matrix) : Matrix(), dx);
            check_sums(dx.values(), exact, out_type);
          }
        }
      }
    }
  });
}

TEST_CASE("The weight gradient of a linear layer is dy^T x, the bias gradient the column sums of dy") {
  on_every_backend([](const Harness& h) {
    for (const Case& c : cases()) {
      for (const DType type : {DType::f32, DType::bf16}) {
        for (const int64_t gap : {0, 3}) {
          INFO(describe(c) << ", bf16 " << (type == DType::bf16) << ", gap " << gap);
          const auto dy = all_stored(type, random_values(c.b * c.n, 1));
          const auto x = all_stored(type, random_values(c.b * c.k, 2));
          std::vector<ExactSum> exact(c.n * c.k), exact_bias(c.n);
          for (int64_t i = 0; i < c.b; ++i) {
            for (int64_t o = 0; o < c.n; ++o) {
              exact_bias[o].add(dy[i * c.n + o]);
              for (int64_t j = 0; j < c.k; ++j) exact[o * c.k + j].add(dy[i * c.n + o] * x[i * c.k + j]);
            }
          }
          const TestMatrix dy_matrix(h, type, c.b, c.n, dy, gap), x_matrix(h, type, c.b, c.k, x, gap);
          const Array<float> dw = h.poisoned<float>(c.n * c.k), dbias = h.poisoned<float>(c.n);
          h.backend().linear_backward_weights(h.stream(), dy_matrix, x_matrix, dw.data(), dbias.data());
          const std::vector<float> dw_values = h.download(dw, c.n * c.k), dbias_values = h.download(dbias, c.n);
          check_sums({dw_values.begin(), dw_values.end()}, exact);
          check_sums({dbias_values.begin(), dbias_values.end()}, exact_bias);
        }
      }
    }
  });
}

TEST_CASE("Gradients of a linear layer are what finite differences of the layer give") {
  // The layer is linear, so central differences of L = sum of dy * y are exact but for fp32 rounding of y, whose error
  // of about (k + 2) 2^-24 in each of b n sums is divided by the step 2 h = 1: below 1e-4 for these sizes.
  constexpr int64_t b = 5, k = 13, n = 7;
  constexpr double kStep = 0.5, kTolerance = 1e-4;
  on_every_backend([&](const Harness& h) {
    auto x = all_stored(DType::f32, random_values(b * k, 1));
    auto w = all_stored(DType::f32, random_values(n * k, 2));
    const auto dy = all_stored(DType::f32, random_values(b * n, 3));
    const Array<float> bias = h.upload(std::vector<float>(n, 0.25f));
    const auto objective = [&] {
      const TestMatrix x_matrix(h, DType::f32, b, k, x), w_matrix(h, DType::f32, n, k, w), y(h, DType::f32, b, n);
      h.backend().linear_forward(h.stream(), x_matrix, w_matrix, bias.data(), false, y);
      double sum = 0;
      const auto values = y.values();
      for (size_t i = 0; i < values.size(); ++i) sum += values[i] * dy[i];
      return sum;
    };
    const TestMatrix x_matrix(h, DType::f32, b, k, x), w_matrix(h, DType::f32, n, k, w),
        dy_matrix(h, DType::f32, b, n, dy);
    const TestMatrix dx(h, DType::f32, b, k), dw(h, DType::f32, n, k);
    const Array<float> dbias = h.poisoned<float>(n);
    h.backend().linear_backward_input(h.stream(), dy_matrix, w_matrix, {}, dx);
    h.backend().linear_backward_weights(h.stream(), dy_matrix, x_matrix, Matrix(dw).f32(), dbias.data());
    const auto check = [&](std::vector<double>& parameter, const std::vector<double>& gradient) {
      for (size_t i = 0; i < parameter.size(); i += 4) {
        const double original = parameter[i];
        parameter[i] = original + kStep;
        const double above = objective();
        parameter[i] = original - kStep;
        const double below = objective();
        parameter[i] = original;
        CHECK(gradient[i] == Approx((above - below) / (2 * kStep)).margin(kTolerance));
      }
    };
    check(x, dx.values());
    check(w, dw.values());
  });
}

TEST_CASE("A NaN or an infinity in the input of a layer is seen in its output, ReLU or not") {
  on_every_backend([](const Harness& h) {
    for (const DType type : {DType::f32, DType::bf16}) {
      for (const int64_t n : {1, 16}) {
        for (const bool relu : {false, true}) {
          INFO("n " << n << ", relu " << relu << ", bf16 " << (type == DType::bf16));
          const TestMatrix x(h, type, 3, 40);  // NaN
          const TestMatrix w(h, type, n, 40, std::vector<double>(n * 40, 0.5));
          const TestMatrix y(h, type, 3, n);
          const Array<float> bias = h.upload(std::vector<float>(n, 1.0f));
          h.backend().linear_forward(h.stream(), x, w, bias.data(), relu, y);
          for (const double value : y.values()) CHECK(std::isnan(value));
        }
      }
    }
  });
}

TEST_CASE("A linear layer repeats bit for bit") {
  on_every_backend([](const Harness& h) {
    const TestMatrix x(h, DType::f32, 500, 100, random_values(500 * 100, 1)),
        dy(h, DType::f32, 500, 30, random_values(500 * 30, 2));
    const TestMatrix w(h, DType::f32, 30, 100, random_values(30 * 100, 3));
    const Array<float> bias = h.upload(std::vector<float>(30, 0.1f));
    std::vector<std::vector<double>> results;
    for (int run = 0; run < 2; ++run) {
      const TestMatrix y(h, DType::f32, 500, 30), dx(h, DType::f32, 500, 100), dw(h, DType::f32, 30, 100),
          db(h, DType::f32, 1, 30);
      h.backend().linear_forward(h.stream(), x, w, bias.data(), true, y);
      h.backend().linear_backward_input(h.stream(), dy, w, {}, dx);
      h.backend().linear_backward_weights(h.stream(), dy, x, Matrix(dw).f32(), Matrix(db).f32());
      for (const TestMatrix* matrix : {&y, &dx, &dw, &db}) results.push_back(matrix->values());
    }
    for (size_t i = 0; i < 4; ++i) CHECK(results[i] == results[i + 4]);
  });
}

TEST_CASE("A linear layer refuses shapes and types that contradict each other") {
  on_every_backend([](const Harness& h) {
    const TestMatrix x(h, DType::f32, 2, 3), w(h, DType::f32, 4, 3), y(h, DType::f32, 2, 4), odd(h, DType::f32, 2, 5);
    const TestMatrix half(h, DType::bf16, 2, 3);
    const Array<float> bias = h.poisoned<float>(20), dw = h.poisoned<float>(20);
    CHECK_THROWS_AS(h.backend().linear_forward(h.stream(), odd, w, bias.data(), false, y), Error);
    CHECK_THROWS_AS(h.backend().linear_forward(h.stream(), x, w, bias.data(), false, odd), Error);
    CHECK_THROWS_AS(h.backend().linear_forward(h.stream(), half, w, bias.data(), false, y), Error);
    CHECK_THROWS_AS(h.backend().linear_backward_input(h.stream(), y, w, odd, x), Error);
    CHECK_THROWS_AS(h.backend().linear_backward_input(h.stream(), odd, w, {}, x), Error);
    CHECK_THROWS_AS(h.backend().linear_backward_weights(h.stream(), y, w, dw.data(), bias.data()), Error);
    CHECK_THROWS_AS(h.backend().linear_backward_weights(h.stream(), y, half, dw.data(), bias.data()), Error);
  });
}
