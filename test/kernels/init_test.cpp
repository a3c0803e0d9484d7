// Initial values of rows.
#include "base/error.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

std::vector<float> initial(const Harness& h, const std::vector<int64_t>& ids, int64_t dim, float bound,
                           uint64_t seed = 42) {
  const auto n = static_cast<int64_t>(ids.size());
  const Array<int64_t> id_array = h.upload(ids);
  const Array<float> values = h.poisoned<float>(n * dim);
  h.backend().init_rows(h.stream(), seed, 7, id_array.data(), n, dim, bound, values.data());
  return h.download(values, n * dim);
}

}  // namespace

TEST_CASE("Initial values are the documented words of (seed, stream, id, element), uniform in (-bound, bound)") {
  on_every_backend([](const Harness& h) {
    for (const int64_t dim : kDims) {
      const std::vector<int64_t> ids{0, 5, 1, 5, int64_t{1} << 40, INT64_MAX};
      const auto values = initial(h, ids, dim, 0.25f);
      int64_t wrong = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        for (int64_t e = 0; e < dim; ++e) {
          const Philox4 words = random_words(42, 7, static_cast<uint64_t>(ids[i]), static_cast<uint32_t>(e / 4));
          // 2 u - 1 is exact in fp32 and 0.25 a power of two, so the value is exact.
          wrong += double{values[i * dim + e]} != (2.0 * double{uniform_float(words.v[e % 4])} - 1.0) * 0.25;
        }
      }
      INFO("dim " << dim);
      CHECK(wrong == 0);
    }
  });
}

TEST_CASE("Initial values do not depend on the number of threads or on what else is asked for") {
  check_same_everywhere([](const Harness& h) {
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < 3000; ++i) ids.push_back(i * 3);
    const auto all = initial(h, ids, 13, 0.1f);
    const auto one = initial(h, {2999 * 3}, 13, 0.1f);
    CHECK(std::vector<float>(all.end() - 13, all.end()) == one);
    CHECK(initial(h, ids, 13, 0.1f, 43) != all);
    CHECK(initial(h, {}, 13, 0.1f).empty());
    return all;
  });
}

TEST_CASE("Initial values have the mean and variance of the uniform distribution") {
  on_every_backend([](const Harness& h) {
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < 4000; ++i) ids.push_back(i);
    const auto values = initial(h, ids, 25, 1.0f);
    double sum = 0, squares = 0, largest = 0;
    for (const float value : values) {
      sum += double{value};
      squares += double{value} * double{value};
      largest = std::max(largest, std::abs(double{value}));
    }
    const auto n = static_cast<double>(values.size());
    // Five standard errors: variance 1/3 of a value, 4/45 of its square.
    CHECK(std::abs(sum / n) < 5 * std::sqrt(1.0 / 3.0 / n));
    CHECK(std::abs(squares / n - 1.0 / 3.0) < 5 * std::sqrt(4.0 / 45.0 / n));
    CHECK(largest < 1.0);
  });
}
