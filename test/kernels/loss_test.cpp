// Binary cross-entropy with logits.
#include "base/error.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

struct Result {
  double loss;
  std::vector<double> gradient;
};

Result run_loss(const Harness& h, const std::vector<float>& logits, const std::vector<float>& labels, float scale,
                DType type) {
  const auto b = static_cast<int64_t>(logits.size());
  const Array<float> logit_array = h.upload(logits), label_array = h.upload(labels);
  const TestMatrix gradient(h, type, b, 1, 2);
  const Array<double> loss(h.backend(), Memory::pinned, 2);
  loss[0] = loss[1] = -1;
  h.backend().loss(h.stream(), logit_array.data(), label_array.data(), b, scale, gradient, loss.data());
  h.backend().loss(h.stream(), logit_array.data(), label_array.data(), b, scale, {}, loss.data() + 1);
  h.backend().synchronize(h.stream());
  CHECK(std::bit_cast<uint64_t>(loss[0]) == std::bit_cast<uint64_t>(loss[1]));  // with and without the gradient
  return {loss[0], gradient.values()};
}

}  // namespace

TEST_CASE("The loss is the sum of log(1 + exp(x)) - label x, its gradient scale (sigmoid(x) - label)") {
  on_every_backend([](const Harness& h) {
    for (const int64_t b : {0, 1, 2, 7, 33, 5000}) {
      for (const DType type : {DType::f32, DType::bf16}) {
        INFO("b " << b << ", bf16 " << (type == DType::bf16));
        const auto values = random_values(b, 1);
        std::vector<float> logits, labels;
        for (int64_t i = 0; i < b; ++i) {
          logits.push_back(static_cast<float>(8 * values[i]));
          labels.push_back(static_cast<float>(i % 3 == 0));
        }
        const float scale = 1.0f / 64.0f;
        const Result result = run_loss(h, logits, labels, scale, type);
        long double loss = 0;
        double worst = 0;
        for (int64_t i = 0; i < b; ++i) {
          const long double x = logits[i], label = labels[i];
          loss += std::log1p(std::exp(x)) - label * x;
          const auto exact = static_cast<double>(scale * (1 / (1 + std::exp(-x)) - label));
          worst = std::max(worst, std::abs(result.gradient[i] - exact) / std::abs(exact));
        }
        // fp64 sums of b terms that are each good to some roundoffs (2^-53) of a value below 16.
        CHECK(std::abs(result.loss - static_cast<double>(loss)) <=
              static_cast<double>(b + 4) * 16.0 * static_cast<double>(b) * 0x1p-53);
        // Two roundings to fp32 at most, and one to bf16.
        CHECK(worst <= (type == DType::f32 ? 4 * kRoundoffF32 : kRoundoffBf16 + 4 * kRoundoffF32));
      }
    }
  });
}

TEST_CASE("The loss of huge logits is finite and right, and their gradients are 0 or -1 times the label's error") {
  on_every_backend([](const Harness& h) {
    const Result result =
        run_loss(h, {1000.0f, -1000.0f, 1000.0f, -1000.0f, 3e38f}, {1.0f, 0.0f, 0.0f, 1.0f, 1.0f}, 0.5f, DType::f32);
    CHECK(result.loss == 2000.0);
    CHECK(result.gradient == std::vector<double>{0.0, 0.0, 0.5, -0.5, 0.0});
  });
}

TEST_CASE("A NaN logit makes the loss NaN") {
  on_every_backend([](const Harness& h) {
    const Result result = run_loss(h, {0.0f, std::numeric_limits<float>::quiet_NaN()}, {1.0f, 0.0f}, 1.0f, DType::f32);
    CHECK(std::isnan(result.loss));
    CHECK(result.gradient[0] == -0.5);
    CHECK(std::isnan(result.gradient[1]));
  });
}

TEST_CASE("The gradient of the loss is what finite differences of the loss give") {
  // Central differences err by h^2 / 6 times the third derivative (below 0.1) plus roundoff 2^-53 * 4 / h: below 1e-6
  // at h = 2^-10.
  constexpr float kStep = 0x1p-10f;
  on_every_backend([&](const Harness& h) {
    for (const float x : {-3.0f, -0.5f, 0.0f, 0.25f, 4.0f}) {
      for (const float label : {0.0f, 1.0f}) {
        const double above = run_loss(h, {x + kStep}, {label}, 1.0f, DType::f32).loss;
        const double below = run_loss(h, {x - kStep}, {label}, 1.0f, DType::f32).loss;
        CHECK(run_loss(h, {x}, {label}, 1.0f, DType::f32).gradient[0] ==
              Approx((above - below) / (2 * double{kStep})).margin(1e-6));
      }
    }
  });
}

TEST_CASE("The loss refuses a gradient of another size") {
  on_every_backend([](const Harness& h) {
    const Array<float> values = h.upload(std::vector<float>(4, 0.0f));
    const TestMatrix gradient(h, DType::f32, 3, 1);
    const Array<double> loss(h.backend(), Memory::pinned, 1);
    CHECK_THROWS_AS(h.backend().loss(h.stream(), values.data(), values.data(), 4, 1.0f, gradient, loss.data()), Error);
  });
}
