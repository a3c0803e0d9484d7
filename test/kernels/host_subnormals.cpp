// Subnormal numbers are zero on every thread of the host backend: in its own loops and in oneDNN's.
#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "base/error.hpp"
#include "base/subnormals.hpp"
#include "kernels/backend.hpp"

using namespace sparrow;

namespace {

constexpr int kThreads = 4;

}  // namespace

TEST_CASE("EveryThreadOfAHostLoopFlushesSubnormals") {
  const auto backend = make_host_backend(kThreads);
  const auto stream = backend->make_stream();
  constexpr int64_t kValues = 1 << 20;  // many times what one thread takes at least
  std::vector<float> values(kValues, 0), gradients(kValues, 1e-30f);
  backend->update_dense(*stream, {OptimizerKind::sgd, 1e-10f, 0}, values.data(), gradients.data(), nullptr, kValues);
  CHECK(std::count(values.begin(), values.end(), 0.0f) == kValues);  // of -1e-40

  std::fill(values.begin(), values.end(), 1e-40f);
  std::fill(gradients.begin(), gradients.end(), 0.0f);
  backend->update_dense(*stream, {OptimizerKind::sgd, 1, 0}, values.data(), gradients.data(), nullptr, kValues);
  CHECK(std::count(values.begin(), values.end(), 0.0f) == kValues);
}

TEST_CASE("EveryThreadOfAMatrixProductFlushesSubnormals") {
  const auto backend = make_host_backend(kThreads);
  const auto stream = backend->make_stream();
  constexpr int64_t kSamples = 2048, kInputs = 64, kOutputs = 256;
  std::vector<float> x(kSamples * kInputs, 1e-20f), w(kOutputs * kInputs, 1e-20f), bias(kOutputs, 0);
  std::vector<float> y(kSamples * kOutputs, 1);
  backend->linear_forward(*stream, Matrix::f32(x.data(), kSamples, kInputs), Matrix::f32(w.data(), kOutputs, kInputs),
                          bias.data(), false, Matrix::f32(y.data(), kSamples, kOutputs));
  CHECK(std::count(y.begin(), y.end(), 0.0f) == kSamples * kOutputs);  // of 64 * 1e-40, which is subnormal too
}

TEST_CASE("AThreadThatKeepsSubnormalsGetsNoHostBackend") {
  const SubnormalMode mode(Subnormals::keep);
  CHECK_THROWS_WITH(make_host_backend(1), Catch::Contains("SubnormalMode"));
}
