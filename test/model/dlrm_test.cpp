// The model on one rank: its parameters, its arithmetic, and its gradients against differences of its loss.
#include "model/dlrm.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <random>

#include "base/error.hpp"

using namespace sparrow;

namespace {

constexpr int kTables = 3;
constexpr int64_t kSamples = 5;
constexpr int64_t kInputs = 13;

/// A model with rows to look up: table t of sample s looks up row (s + t) mod 4 of table t, the last table rows twice.
struct Fixture {
  explicit Fixture(DType precision, const ModelOptions& model_options = {4, {6, 5}, {7}})
      : options(model_options),
        backend(make_host_backend(1)),
        stream(backend->make_stream()),
        model(*backend, *stream, ModelShape(options, kInputs, kTables), precision, kSamples, 17),
        rows(4 * kTables * options.embedding_dim),
        dense(kSamples * kInputs),
        labels{0, 1, 1, 0, 1} {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& x : rows) x = uniform(random);
    for (float& x : dense) x = std::abs(uniform(random));
    for (int t = 0; t < kTables; ++t)
      for (int64_t s = 0; s < kSamples; ++s) {
        offsets.push_back(static_cast<int64_t>(row_of_lookup.size()));
        for (int i = 0; i < (t + 1 == kTables ? 2 : 1); ++i)
          row_of_lookup.push_back(static_cast<int32_t>(4 * t + (s + t + i) % 4));
      }
    offsets.push_back(static_cast<int64_t>(row_of_lookup.size()));
    for (size_t i = 0; i < rows.size(); i += static_cast<size_t>(options.embedding_dim)) addresses.push_back(&rows[i]);
  }

  Bags bags() const { return {kSamples, kTables, offsets.data(), row_of_lookup.data()}; }

  double loss() {
    model.refresh(*stream);
    model.forward(*stream, dense.data(), bags(), addresses.data());
    double sum = 0;
    model.loss(*stream, labels.data(), &sum);
    return sum / static_cast<double>(kSamples);
  }

  ModelOptions options;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Stream> stream;
  Dlrm model;
  std::vector<float> rows, dense, labels;
  std::vector<int64_t> offsets;
  std::vector<int32_t> row_of_lookup;
  std::vector<const float*> addresses;
};

/// Gradient of the loss by a central difference. fp32 losses near 1 are off by 1e-7, over 2 h = 0.02 by 1e-5; the third
/// derivative adds h^2 = 1e-4 of the gradient's scale.
double slope(Fixture& fixture, float& parameter) {
  const float before = parameter, h = 0.01f;
  parameter = before + h;
  const double up = fixture.loss();
  parameter = before - h;
  const double down = fixture.loss();
  parameter = before;
  return (up - down) / (2 * static_cast<double>(h));
}

}  // namespace

TEST_CASE("ParametersAreNamedAndShapedAsInDlrm") {
  const Fixture fixture(DType::f32);
  std::vector<std::string> names;
  int64_t end = 0;
  for (const DenseParameter& p : fixture.model.parameters()) {
    names.push_back(fmt::format("{} ({})", p.name, fmt::join(p.shape, ", ")));
    CHECK(p.offset == end);
    end += p.size();
  }
  // 4 of the dense vector and 4 * 3 / 2 dot products of 4 vectors go into the top MLP.
  CHECK(names == std::vector<std::string>{"bot_l.0.weight (6, 13)", "bot_l.0.bias (6)", "bot_l.2.weight (5, 6)",
                                          "bot_l.2.bias (5)", "bot_l.4.weight (4, 5)", "bot_l.4.bias (4)",
                                          "top_l.0.weight (7, 10)", "top_l.0.bias (7)", "top_l.2.weight (1, 7)",
                                          "top_l.2.bias (1)"});
  CHECK(fixture.model.parameter_count() == end);
}

TEST_CASE("InitialParametersAreAFunctionOfTheSeed") {
  const auto values = [](uint64_t seed, int64_t max_batch) {
    const auto backend = make_host_backend(1);
    const auto stream = backend->make_stream();
    const Dlrm model(*backend, *stream, ModelShape({16, {64, 32}, {64}}, kInputs, 26), DType::f32, max_batch, seed);
    return std::vector<float>(model.values(), model.values() + model.parameter_count());
  };
  const std::vector<float> first = values(1, 8);
  CHECK(values(1, 100) == first);
  CHECK(values(2, 8) != first);
  CHECK(std::none_of(first.begin(), first.end(), [](float x) { return x == 0; }));
}

TEST_CASE("AHandCountedForwardPass") {
  // Bottom: one layer of ones on dense values 1: 13 + bias 0.5 = 13.5 in both elements. Bags of rows (1, 2), (3, 4),
  // (5, 6) + (7, 8): dots 13.5 * 3, 13.5 * 7, 1 * 3 + 2 * 4, 13.5 * 26, 1 * 12 + 2 * 14, 3 * 12 + 4 * 14. The top layer
  // adds all with weight 0.001 and bias -0.25.
  const auto backend = make_host_backend(1);
  const auto stream = backend->make_stream();
  Dlrm model(*backend, *stream, ModelShape({2, {}, {}}, kInputs, 3), DType::f32, 1, 1);
  for (const DenseParameter& p : model.parameters()) {
    const float value = p.name == "bot_l.0.weight"   ? 1
                        : p.name == "bot_l.0.bias"   ? 0.5f
                        : p.name == "top_l.0.weight" ? 0.001f
                                                     : -0.25f;
    std::fill_n(model.values() + p.offset, p.size(), value);
  }
  const std::vector<float> dense(kInputs, 1), rows{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<const float*> addresses{&rows[0], &rows[2], &rows[4], &rows[6]};
  const std::vector<int64_t> offsets{0, 1, 2, 4};
  const std::vector<int32_t> row_of_lookup{0, 1, 2, 3};
  const float* logits =
      model.forward(*stream, dense.data(), {1, 3, offsets.data(), row_of_lookup.data()}, addresses.data());
  const double sum = 2 * 13.5 + 13.5 * 3 + 13.5 * 7 + 11 + 13.5 * 26 + 40 + 92;
  CHECK(logits[0] == Approx(0.001 * sum - 0.25).epsilon(1e-6));
}

TEST_CASE("GradientsAreTheSlopesOfTheLoss") {
  Fixture f(DType::f32);
  f.loss();
  double loss_sum = 0;
  const Matrix bag_gradients = f.model.backward(*f.stream, f.labels.data(), 1.0f / kSamples, &loss_sum);
  const int64_t dim = f.options.embedding_dim;
  REQUIRE(bag_gradients.rows == kTables * kSamples);
  const std::vector<float> bags(bag_gradients.f32(), bag_gradients.f32() + bag_gradients.rows * dim);
  const std::vector<float> gradients(f.model.gradients(), f.model.gradients() + f.model.parameter_count());
  CHECK(loss_sum / kSamples == Approx(f.loss()).epsilon(1e-6));

  double largest = 0;
  for (const float g : gradients) largest = std::max(largest, static_cast<double>(std::abs(g)));
  REQUIRE(largest > 0.05);
  int wrong = 0;  // a ReLU may switch within the step of a difference: a few parameters in a hundred, no more
  for (int64_t i = 0; i < f.model.parameter_count(); ++i)
    wrong += std::abs(slope(f, f.model.values()[i]) - static_cast<double>(gradients[i])) > 2e-3 * largest;
  CHECK(wrong <= f.model.parameter_count() * 5 / 100);

  wrong = 0;
  for (size_t row = 0; row < f.addresses.size(); ++row)
    for (int64_t e = 0; e < dim; ++e) {
      double gradient = 0;  // a row's is the sum over the bags that look it up
      for (int64_t bag = 0; bag < kTables * kSamples; ++bag)
        for (int64_t l = f.offsets[bag]; l < f.offsets[static_cast<size_t>(bag) + 1]; ++l)
          if (f.row_of_lookup[l] == static_cast<int32_t>(row)) gradient += static_cast<double>(bags[bag * dim + e]);
      const size_t element = row * static_cast<size_t>(dim) + static_cast<size_t>(e);
      wrong += std::abs(slope(f, f.rows[element]) - gradient) > 2e-3 * largest;
    }
  CHECK(wrong <= 2);
}

TEST_CASE("Bf16AgreesWithFp32ToItsPrecision") {
  Fixture exact(DType::f32), rounded(DType::bf16);
  CHECK(exact.loss() == Approx(rounded.loss()).margin(0.03));  // 2^-9 a rounding, six roundings of logits near 1
  CHECK(exact.loss() != rounded.loss());
}

TEST_CASE("NoSamplesAndTooManySamples") {
  Fixture f(DType::f32);
  const std::vector<int64_t> offsets{0};
  f.model.forward(*f.stream, nullptr, {0, kTables, offsets.data(), nullptr}, nullptr);
  double loss_sum = 1;
  CHECK(f.model.backward(*f.stream, nullptr, 0.1f, &loss_sum).rows == 0);
  CHECK(loss_sum == 0);
  for (int64_t i = 0; i < f.model.parameter_count(); ++i) CHECK(f.model.gradients()[i] == 0);
  Bags bags = f.bags();
  bags.samples = kSamples + 1;
  CHECK_THROWS_AS(f.model.forward(*f.stream, f.dense.data(), bags, f.addresses.data()), Error);
}
