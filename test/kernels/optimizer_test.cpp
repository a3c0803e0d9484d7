// Optimisers on dense parameters and on rows.
#include <numeric>

#include "base/error.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

constexpr float kLr = 0.05f, kEps = 1e-8f;

/// One parameter after one update in float64, and its state.
struct Updated {
  double w, a;
};

Updated reference(OptimizerKind kind, double w, double g, double a, double mean_square) {
  switch (kind) {
    case OptimizerKind::sgd:
      return {w - kLr * g, a};
    case OptimizerKind::adagrad:
      a += g * g;
      break;
    case OptimizerKind::rowwise_adagrad:
      a += mean_square;
      break;
  }
  return {w - kLr * g / (std::sqrt(a) + kEps), a};
}

/// w and the step are below 2 here and take some five roundings, and the state's error (relative, a sum of n squares)
/// halves in the root.
double tolerance(int64_t n) {
  return static_cast<double>(n + 12) * kRoundoffF32;
}

const std::vector<OptimizerKind> kKinds{OptimizerKind::sgd, OptimizerKind::adagrad, OptimizerKind::rowwise_adagrad};

std::vector<float> floats(int64_t n, uint32_t seed, bool positive = false) {
  std::vector<float> result;
  for (const double value : random_values(n, seed))
    result.push_back(static_cast<float>(positive ? std::abs(value) : value));
  return result;
}

double worst_difference(const std::vector<float>& values, const std::vector<double>& exact) {
  double worst = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double difference = std::abs(double{values[i]} - exact[i]);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

}  // namespace

TEST_CASE("Dense parameters take one step of SGD or Adagrad") {
  on_every_backend([](const Harness& h) {
    for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adagrad}) {
      for (const int64_t n : {0, 1, 7, 100, 70000}) {
        const auto w = floats(n, 1), g = floats(n, 2), a = floats(n, 3, true);
        const Array<float> params = h.upload(w), grads = h.upload(g), state = h.upload(a);
        const bool with_state = kind != OptimizerKind::sgd;
        h.backend().update_dense(h.stream(), {kind, kLr, kEps}, params.data(), grads.data(),
                                 with_state ? state.data() : nullptr, n);
        std::vector<double> exact, exact_state;
        for (int64_t i = 0; i < n; ++i) {
          const Updated updated = reference(kind, double{w[i]}, double{g[i]}, double{a[i]}, 0);
          exact.push_back(updated.w);
          exact_state.push_back(updated.a);
        }
        CHECK(worst_difference(h.download(params, n), exact) <= tolerance(1));
        CHECK(worst_difference(h.download(state, n), exact_state) <= 2 * tolerance(1));
      }
    }
  });
}

TEST_CASE("Rows named by their slots take one step, and all other rows and states stay as they are") {
  on_every_backend([](const Harness& h) {
    for (const OptimizerKind kind : kKinds) {
      for (const int64_t dim : kDims) {
        for (const int64_t n : {0, 1, 2, 33, 1200}) {
          INFO("kind " << static_cast<int>(kind) << ", dim " << dim << ", n " << n);
          const int64_t slots = 2 * n + 3, states = state_dim(kind, dim);
          const auto w = floats(slots * dim, 1), g = floats(n * dim, 2), a = floats(slots * states, 3, true);
          std::vector<int64_t> chosen;
          for (int64_t i = 0; i < n; ++i) chosen.push_back(2 * ((i * 7 + 3) % n) + 1);  // odd slots in a mixed order
          if (n % 7 == 0) std::iota(chosen.begin(), chosen.end(), 1);
          const Array<float> values = h.upload(w), state = h.upload(a);
          const Array<int64_t> slot_array = h.upload(chosen);
          const TestMatrix grads(h, DType::f32, n, dim, {g.begin(), g.end()}, 2);
          const RowStore store{values.data(), states ? state.data() : nullptr, slots, dim, states};
          h.backend().update_rows(h.stream(), {kind, kLr, kEps}, store, slot_array.data(), grads, n);
          std::vector<double> exact(w.begin(), w.end()), exact_state(a.begin(), a.end());
          for (int64_t i = 0; i < n; ++i) {
            double mean_square = 0;
            for (int64_t c = 0; c < dim; ++c)
              mean_square += double{g[i * dim + c]} * double{g[i * dim + c]} / static_cast<double>(dim);
            for (int64_t c = 0; c < dim; ++c) {
              const int64_t at = chosen[i] * dim + c;
              const int64_t state_at = kind == OptimizerKind::adagrad ? at : chosen[i];
              const double before = states ? double{a[state_at]} : 0.0;
              const Updated updated = reference(kind, double{w[at]}, double{g[i * dim + c]}, before, mean_square);
              exact[at] = updated.w;
              if (states) exact_state[state_at] = updated.a;
            }
          }
          const auto result = h.download(values, slots * dim);
          CHECK(worst_difference(result, exact) <= tolerance(dim));
          CHECK(worst_difference(h.download(state, slots * states), exact_state) <= 2 * tolerance(dim));
          int64_t touched = 0;
          for (int64_t slot = 0; slot < slots; slot += 2) {
            for (int64_t c = 0; c < dim && n % 7 != 0; ++c) touched += result[slot * dim + c] != w[slot * dim + c];
          }
          CHECK(touched == 0);
        }
      }
    }
  });
}

TEST_CASE("A zero gradient and a zero state leave an Adagrad parameter alone") {
  on_every_backend([](const Harness& h) {
    const Array<float> params = h.upload(std::vector<float>{0.5f}), grads = h.upload(std::vector<float>{0.0f});
    const Array<float> state = h.upload(std::vector<float>{0.0f});
    h.backend().update_dense(h.stream(), {OptimizerKind::adagrad, kLr, kEps}, params.data(), grads.data(), state.data(),
                             1);
    CHECK(h.download(params, 1)[0] == 0.5f);
  });
}

TEST_CASE("Updated rows are the same bits for every number of threads") {
  check_same_everywhere([](const Harness& h) {
    constexpr int64_t kRows = 2000, kDim = 20;
    std::vector<std::vector<float>> results;
    for (const OptimizerKind kind : kKinds) {
      const Array<float> values = h.upload(floats(kRows * kDim, 1)), state = h.upload(floats(kRows * kDim, 2, true));
      std::vector<int64_t> slots;
      for (int64_t i = 0; i < kRows; ++i) slots.push_back(kRows - 1 - i);
      const Array<int64_t> slot_array = h.upload(slots);
      const TestMatrix grads(h, DType::f32, kRows, kDim, random_values(kRows * kDim, 3));
      h.backend().update_rows(h.stream(), {kind, kLr, kEps},
                              {values.data(), state.data(), kRows, kDim, state_dim(kind, kDim)}, slot_array.data(),
                              grads, kRows);
      results.push_back(h.download(values, kRows * kDim));
      results.push_back(h.download(state, kRows));
    }
    return results;
  });
}

TEST_CASE("Updates refuse a state that does not fit the optimiser and gradients of another shape") {
  on_every_backend([](const Harness& h) {
    const Array<float> values = h.poisoned<float>(12), state = h.poisoned<float>(12);
    const Array<int64_t> slots = h.upload(std::vector<int64_t>{0, 2});
    const TestMatrix grads(h, DType::f32, 2, 4), narrow(h, DType::f32, 2, 3), half(h, DType::bf16, 2, 4);
    const auto update = [&](OptimizerKind kind, int64_t states, const Matrix& gradients) {
      h.backend().update_rows(h.stream(), {kind, kLr, kEps}, {values.data(), state.data(), 3, 4, states}, slots.data(),
                              gradients, 2);
    };
    CHECK_THROWS_AS(update(OptimizerKind::sgd, 1, grads), Error);
    CHECK_THROWS_AS(update(OptimizerKind::adagrad, 1, grads), Error);
    CHECK_THROWS_AS(update(OptimizerKind::rowwise_adagrad, 4, grads), Error);
    CHECK_THROWS_AS(update(OptimizerKind::sgd, 0, narrow), Error);
    CHECK_THROWS_AS(update(OptimizerKind::sgd, 0, half), Error);
    CHECK_THROWS_AS(h.backend().update_dense(h.stream(), {OptimizerKind::adagrad, kLr, kEps}, values.data(),
                                             state.data(), nullptr, 4),
                    Error);
  });
}
