// Dot interaction forward and backward.
#include "base/error.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

struct Case {
  int64_t b, vectors, dim;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const int64_t dim : kDims) all.push_back({3, 27, dim});
  for (const int64_t dim : {8, 32, 48, 80}) all.push_back({3, 27, dim});
  for (const int64_t b : kBatches) all.push_back({b, 27, 16});
  for (const int64_t vectors : {1, 2, 3, 8, 9, 16, 17, 33, 50}) all.push_back({4, vectors, 20});
  all.push_back({130, 5, 16});  // more than one thread's worth of samples
  return all;
}

int64_t pairs(int64_t vectors) {
  return vectors * (vectors - 1) / 2;
}

/// z of one sample in float64: written from the formula, pair by pair.
std::vector<ExactSum> reference_forward(const Case& c, const std::vector<double>& features) {
  std::vector<ExactSum> z;
  for (int64_t s = 0; s < c.b; ++s) {
    const double* f = features.data() + s * c.vectors * c.dim;
    for (int64_t d = 0; d < c.dim; ++d) z.push_back({f[d], 0.0, 0});
    for (int64_t i = 1; i < c.vectors; ++i) {
      for (int64_t j = 0; j < i; ++j) {
        ExactSum sum;
        for (int64_t d = 0; d < c.dim; ++d) sum.add(f[i * c.dim + d] * f[j * c.dim + d]);
        z.push_back(sum);
      }
    }
  }
  return z;
}

struct Gradients {
  std::vector<ExactSum> dense, bags;
};

Gradients reference_backward(const Case& c, const std::vector<double>& features, const std::vector<double>& dz) {
  Gradients g{std::vector<ExactSum>(c.b * c.dim), std::vector<ExactSum>((c.vectors - 1) * c.b * c.dim)};
  for (int64_t s = 0; s < c.b; ++s) {
    const double* f = features.data() + s * c.vectors * c.dim;
    const double* d = dz.data() + s * (c.dim + pairs(c.vectors));
    const auto gradient = [&](int64_t i, int64_t col) -> ExactSum& {
      return i == 0 ? g.dense[s * c.dim + col] : g.bags[((i - 1) * c.b + s) * c.dim + col];
    };
    for (int64_t col = 0; col < c.dim; ++col) gradient(0, col).add(d[col]);
    int64_t pair = c.dim;
    for (int64_t i = 1; i < c.vectors; ++i) {
      for (int64_t j = 0; j < i; ++j, ++pair) {
        for (int64_t col = 0; col < c.dim; ++col) {
          gradient(i, col).add(d[pair] * f[j * c.dim + col]);
          gradient(j, col).add(d[pair] * f[i * c.dim + col]);
        }
      }
    }
    for (int64_t col = 0; col < c.dim; ++col) {
      if (f[col] <= 0) gradient(0, col) = {};
    }
  }
  return g;
}

}  // namespace

TEST_CASE("The interaction is the dense vector and the dot products of all pairs in order") {
  on_every_backend([](const Harness& h) {
    for (const Case& c : cases()) {
      for (const DType type : {DType::f32, DType::bf16}) {
        for (const int64_t gap : {0, 3}) {
          INFO("b " << c.b << ", vectors " << c.vectors << ", dim " << c.dim << ", bf16 " << (type == DType::bf16)
                    << ", gap " << gap);
          const auto features = all_stored(DType::f32, random_values(c.b * c.vectors * c.dim, 1));
          const TestMatrix f(h, DType::f32, c.b * c.vectors, c.dim, features, gap);
          const TestMatrix z(h, type, c.b, c.dim + pairs(c.vectors), gap);
          h.backend().interaction_forward(h.stream(), f, c.vectors, z);
          check_sums(z.values(), reference_forward(c, features), type);
        }
      }
    }
  });
}

TEST_CASE("The gradient of the interaction is that of its formula, masked by the ReLU of the dense vector") {
  on_every_backend([](const Harness& h) {
    for (const Case& c : cases()) {
      for (const DType type : {DType::f32, DType::bf16}) {
        for (const int64_t gap : {0, 3}) {
          INFO("b " << c.b << ", vectors " << c.vectors << ", dim " << c.dim << ", bf16 " << (type == DType::bf16)
                    << ", gap " << gap);
          auto features = all_stored(DType::f32, random_values(c.b * c.vectors * c.dim, 1));
          for (size_t i = 0; i < features.size(); i += 5) features[i] = 0.0;
          const auto dz = all_stored(type, random_values(c.b * (c.dim + pairs(c.vectors)), 2));
          const TestMatrix f(h, DType::f32, c.b * c.vectors, c.dim, features, gap);
          const TestMatrix dz_matrix(h, type, c.b, c.dim + pairs(c.vectors), dz, gap);
          const TestMatrix ddense(h, type, c.b, c.dim, gap);
          const TestMatrix dbags(h, DType::f32, (c.vectors - 1) * c.b, c.dim, gap);
          h.backend().interaction_backward(h.stream(), f, c.vectors, dz_matrix, ddense, dbags);
          const Gradients exact = reference_backward(c, features, dz);
          check_sums(ddense.values(), exact.dense, type);
          check_sums(dbags.values(), exact.bags);
        }
      }
    }
  });
}

TEST_CASE("The gradient of the interaction is what finite differences of the float64 formula give") {
  // The formula is quadratic in each element, so central differences of it are exact; what is left is the kernel's fp32
  // error, at most (27 + 2) terms of magnitude below 1: 29 * 29 * 2^-24 < 1e-4.
  const Case c{2, 27, 16};
  auto features = all_stored(DType::f32, random_values(c.b * c.vectors * c.dim, 1));
  for (double& value : features) value = std::abs(value);  // no masked elements
  const auto dz = all_stored(DType::f32, random_values(c.b * (c.dim + pairs(c.vectors)), 2));
  const auto objective = [&] {
    const auto z = reference_forward(c, features);
    double sum = 0;
    for (size_t i = 0; i < z.size(); ++i) sum += z[i].value * dz[i];
    return sum;
  };
  std::vector<double> differences;
  for (double& value : features) {
    const double original = value;
    value = original + 0.5;
    const double above = objective();
    value = original - 0.5;
    differences.push_back(above - objective());
    value = original;
  }
  on_every_backend([&](const Harness& h) {
    const TestMatrix f(h, DType::f32, c.b * c.vectors, c.dim, features);
    const TestMatrix dz_matrix(h, DType::f32, c.b, c.dim + pairs(c.vectors), dz);
    const TestMatrix ddense(h, DType::f32, c.b, c.dim), dbags(h, DType::f32, (c.vectors - 1) * c.b, c.dim);
    h.backend().interaction_backward(h.stream(), f, c.vectors, dz_matrix, ddense, dbags);
    const auto dense = ddense.values(), bags = dbags.values();
    double worst = 0;
    for (int64_t s = 0; s < c.b; ++s) {
      for (int64_t i = 0; i < c.vectors; ++i) {
        for (int64_t d = 0; d < c.dim; ++d) {
          const double gradient = i == 0 ? dense[s * c.dim + d] : bags[((i - 1) * c.b + s) * c.dim + d];
          worst = std::max(worst, std::abs(gradient - differences[(s * c.vectors + i) * c.dim + d]));
        }
      }
    }
    CHECK(worst < 1e-4);
  });
}

TEST_CASE("A NaN in one sample is seen in that sample's interaction and in no other") {
  on_every_backend([](const Harness& h) {
    const Case c{3, 27, 16};
    auto features = random_values(c.b * c.vectors * c.dim, 1);
    features[(1 * c.vectors + 26) * c.dim + 3] = std::numeric_limits<double>::quiet_NaN();
    const TestMatrix f(h, DType::f32, c.b * c.vectors, c.dim, features);
    const TestMatrix z(h, DType::f32, c.b, c.dim + pairs(c.vectors));
    h.backend().interaction_forward(h.stream(), f, c.vectors, z);
    const auto values = z.values();
    const int64_t width = c.dim + pairs(c.vectors);
    for (int64_t i = 0; i < c.b * width; ++i) {
      const bool should = i / width == 1 && i % width >= c.dim + pairs(26);
      CHECK(std::isnan(values[i]) == should);
    }
  });
}

TEST_CASE("The interaction refuses shapes that contradict each other") {
  on_every_backend([](const Harness& h) {
    const TestMatrix f(h, DType::f32, 6, 4), z(h, DType::f32, 2, 7), narrow(h, DType::f32, 2, 6),
        half(h, DType::bf16, 6, 4);
    const TestMatrix ddense(h, DType::f32, 2, 4), dbags(h, DType::f32, 4, 4), few(h, DType::f32, 3, 4);
    CHECK_THROWS_AS(h.backend().interaction_forward(h.stream(), f, 3, narrow), Error);
    CHECK_THROWS_AS(h.backend().interaction_forward(h.stream(), f, 2, z), Error);
    CHECK_THROWS_AS(h.backend().interaction_forward(h.stream(), f, 0, z), Error);
    CHECK_THROWS_AS(h.backend().interaction_forward(h.stream(), half, 3, z), Error);
    CHECK_THROWS_AS(h.backend().interaction_backward(h.stream(), f, 3, z, ddense, few), Error);
    CHECK_THROWS_AS(h.backend().interaction_backward(h.stream(), f, 3, z, few, dbags), Error);
  });
}
