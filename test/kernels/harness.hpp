// What the tests of operations share: data on a device, random values, and errors measured against float64 references.
#pragma once

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/random.hpp"
#include "test/kernels/backends.hpp"

namespace sparrow::test {

inline const std::vector<int64_t> kDims{1, 3, 4, 7, 13, 16, 64, 100, 128, 256};
inline const std::vector<int64_t> kBatches{0, 1, 2, 7, 33};

/// Unit roundoffs: half the distance of neighbouring numbers, relative.
inline constexpr double kRoundoffF32 = 0x1p-24;
inline constexpr double kRoundoffBf16 = 0x1p-8;

inline float bf16_to_float(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

/// Rounding to bf16, to nearest even, by comparing the neighbours (finite values inside bf16's range).
inline uint16_t bf16_nearest(double value) {
  const auto below = static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(value)) >> 16);
  const auto above = static_cast<uint16_t>(below + 1);
  const double to_below = std::abs(value - double{bf16_to_float(below)});
  const double to_above = std::abs(value - double{bf16_to_float(above)});
  if (to_below != to_above) return to_below < to_above ? below : above;
  return below % 2 == 0 ? below : above;
}

/// A value as it is once stored in `type`.
inline double stored(DType type, double value) {
  return type == DType::f32 ? double{static_cast<float>(value)} : double{bf16_to_float(bf16_nearest(value))};
}

/// n numbers in (-1, 1), the same for the same seed.
inline std::vector<double> random_values(int64_t n, uint32_t seed) {
  std::vector<double> values(n);
  for (int64_t i = 0; i < n; ++i) {
    const Philox4 words = random_words(seed, 1, static_cast<uint64_t>(i), 0);
    values[i] = 2.0 * uniform_double(words.v[0], words.v[1]) - 1.0;
  }
  return values;
}

/// n integers in [0, below).
inline std::vector<int64_t> random_integers(int64_t n, int64_t below, uint32_t seed) {
  std::vector<int64_t> values(n);
  for (int64_t i = 0; i < n; ++i) {
    const Philox4 words = random_words(seed, 2, static_cast<uint64_t>(i), 0);
    values[i] = static_cast<int64_t>((uint64_t{words.v[0]} << 32 | words.v[1]) % static_cast<uint64_t>(below));
  }
  return values;
}

/// A sum of products as it should be, and what bounds the error of a computed one: recursive or pairwise summation of n
/// terms in fp32 errs by at most n roundoffs of the sum of the terms' magnitudes, each product by one more (Higham,
/// Accuracy and Stability of Numerical Algorithms, 3.1).
struct ExactSum {
  double value = 0;
  double magnitude = 0;
  int64_t terms = 0;

  void add(double term) {
    value += term;
    magnitude += std::abs(term);
    ++terms;
  }
  double tolerance(DType type = DType::f32) const {
    const double summed = static_cast<double>(terms + 2) * kRoundoffF32 * magnitude;
    return summed + (type == DType::bf16 ? kRoundoffBf16 * (std::abs(value) + summed) : 0.0);
  }
};

/// Checks that values are the exact sums, each within its tolerance; one assertion, which names the worst.
inline void check_sums(const std::vector<double>& values, const std::vector<ExactSum>& exact, DType type = DType::f32) {
  REQUIRE(values.size() == exact.size());
  size_t worst = 0;
  double worst_excess = -1;
  for (size_t i = 0; i < values.size(); ++i) {
    const double excess = std::abs(values[i] - exact[i].value) - exact[i].tolerance(type);
    if (!(excess <= worst_excess)) {  // a NaN is the worst
      worst = i;
      worst_excess = excess;
      if (std::isnan(excess)) break;
    }
  }
  if (values.empty()) return;
  INFO("element " << worst << " is " << values[worst] << ", should be " << exact[worst].value << " within "
                  << exact[worst].tolerance(type));
  CHECK(worst_excess <= 0.0);
}

/// One backend with one stream.
class Harness {
 public:
  explicit Harness(Backend& backend) : backend_(backend), stream_(backend.make_stream()) {}

  Backend& backend() const { return backend_; }
  Stream& stream() const { return *stream_; }

  /// A device array with these values; one element more than needed, so that an empty one has an address.
  template <class T>
  Array<T> upload(const std::vector<T>& values) const {
    Array<T> array(backend_, Memory::device, static_cast<int64_t>(values.size()) + 1);
    copy(array.data(), values.data(), static_cast<int64_t>(values.size() * sizeof(T)));
    return array;
  }

  /// A device array of n values, each byte 0xFF: NaN as floating-point numbers, -1 as integers.
  template <class T>
  Array<T> poisoned(int64_t n) const {
    return upload(poison<T>(n));
  }

  template <class T>
  std::vector<T> download(const Array<T>& array, int64_t n) const {
    std::vector<T> values(n);
    copy(values.data(), array.data(), n * static_cast<int64_t>(sizeof(T)));
    return values;
  }

  template <class T>
  static std::vector<T> poison(int64_t n) {
    std::vector<T> values(n);
    if (n > 0) std::memset(values.data(), 0xFF, values.size() * sizeof(T));
    return values;
  }

  /// Copies and waits, through pinned memory: host memory of tests is not the backend's.
  void copy(void* to, const void* from, int64_t bytes) const {
    if (bytes == 0) return;
    backend_.copy(*stream_, to, from, bytes);
    backend_.synchronize(*stream_);
  }

 private:
  Backend& backend_;
  std::unique_ptr<Stream> stream_;
};

/// A matrix on a device whose elements, and the gaps between its rows, start as NaN.
class TestMatrix {
 public:
  TestMatrix(const Harness& harness, DType type, int64_t rows, int64_t cols, int64_t gap = 0)
      : harness_(harness), bytes_(harness.poisoned<uint8_t>(rows * (cols + gap) * size_of(type))) {
    matrix_ = Matrix::of(type, bytes_.data(), rows, cols, cols + gap);
  }
  TestMatrix(const Harness& harness, DType type, int64_t rows, int64_t cols, const std::vector<double>& values,
             int64_t gap = 0)
      : TestMatrix(harness, type, rows, cols, gap) {
    set(values);
  }

  operator const Matrix&() const { return matrix_; }

  void set(const std::vector<double>& values) {
    REQUIRE(static_cast<int64_t>(values.size()) == matrix_.rows * matrix_.cols);
    std::vector<uint8_t> bytes = Harness::poison<uint8_t>(byte_count());
    for (int64_t r = 0; r < matrix_.rows; ++r) {
      for (int64_t c = 0; c < matrix_.cols; ++c) {
        const double value = values[r * matrix_.cols + c];
        uint8_t* place = bytes.data() + (r * matrix_.stride + c) * size_of(matrix_.type);
        if (matrix_.type == DType::f32) {
          const auto element = static_cast<float>(value);
          std::memcpy(place, &element, 4);
        } else {
          const uint16_t element = bf16_nearest(value);
          std::memcpy(place, &element, 2);
        }
      }
    }
    harness_.copy(bytes_.data(), bytes.data(), byte_count());
  }

  /// All elements, row by row; checks that the gaps between rows were not written.
  std::vector<double> values() const {
    const std::vector<uint8_t> bytes = harness_.download(bytes_, byte_count());
    std::vector<double> values;
    bool gaps_untouched = true;
    for (int64_t r = 0; r < matrix_.rows; ++r) {
      for (int64_t c = 0; c < matrix_.stride; ++c) {
        const uint8_t* place = bytes.data() + (r * matrix_.stride + c) * size_of(matrix_.type);
        float element = 0;
        if (matrix_.type == DType::f32) {
          std::memcpy(&element, place, 4);
        } else {
          uint16_t bits = 0;
          std::memcpy(&bits, place, 2);
          element = bf16_to_float(bits);
        }
        if (c < matrix_.cols) {
          values.push_back(double{element});
        } else {
          gaps_untouched =
              gaps_untouched && std::all_of(place, place + size_of(matrix_.type), [](uint8_t b) { return b == 0xFF; });
        }
      }
    }
    CHECK(gaps_untouched);
    return values;
  }

 private:
  int64_t byte_count() const { return matrix_.rows * matrix_.stride * size_of(matrix_.type); }

  const Harness& harness_;
  Array<uint8_t> bytes_;
  Matrix matrix_;
};

inline std::vector<double> all_stored(DType type, std::vector<double> values) {
  for (double& value : values) value = stored(type, value);
  return values;
}

/// Runs a test on every backend.
template <class Test>
void on_every_backend(const Test& test) {
  for (const NamedBackend& named : backends_under_test()) {
    INFO(named.name);
    test(Harness(*named.backend));
  }
}

/// Runs `compute`, which returns what must not depend on the number of threads, on every backend.
template <class Compute>
void check_same_everywhere(const Compute& compute) {
  decltype(compute(std::declval<const Harness&>())) first;
  bool have_first = false;
  on_every_backend([&](const Harness& harness) {
    const auto result = compute(harness);
    if (have_first) {
      CHECK(result == first);
    } else {
      first = result;
      have_first = true;
    }
  });
}

}  // namespace sparrow::test
