// The CUDA matrix products at the edges of their tiles (64 and 128 wide, slabs of 8, 16 and 32, slices of the depth
// from 512 on), on both kinds of arithmetic.
#include "kernels/cuda_module.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

struct Case {
  int64_t b, k, n;
};

const std::vector<Case> kEdges{{63, 33, 65},   {64, 32, 64},   {65, 31, 63}, {127, 17, 129}, {128, 16, 128},
                               {129, 15, 127}, {257, 72, 130}, {600, 8, 70}, {70, 600, 5},   {1100, 65, 66}};

/// How a product is to be computed: on which operands, and with fp32 ones rounded to tf32 or not.
struct Arithmetic {
  DType type;
  bool tf32;
};

/// Values that bf16 and so tf32 hold exactly: then all three kinds of arithmetic have the same exact products.
std::vector<double> exact_values(int64_t n, uint32_t seed) {
  return all_stored(DType::bf16, random_values(n, seed));
}

/// The exact product out (m, n) = sum over depth of a (i, d) b (j, d).
template <class A, class B>
std::vector<ExactSum> exact_product(int64_t m, int64_t n, int64_t depth, const A& a, const B& b) {
  std::vector<ExactSum> sums(m * n);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t d = 0; d < depth; ++d) sums[i * n + j].add(a(i, d) * b(j, d));
    }
  }
  return sums;
}

void check_layer(const Harness& h, const Case& c, DType type, int64_t gap) {
  const auto x = exact_values(c.b * c.k, 1), w = exact_values(c.n * c.k, 2), dy = exact_values(c.b * c.n, 3);
  const TestMatrix x_matrix(h, type, c.b, c.k, x, gap), w_matrix(h, type, c.n, c.k, w, gap),
      dy_matrix(h, type, c.b, c.n, dy, gap);
  const auto at = [](const std::vector<double>& values, int64_t i, int64_t j, int64_t cols) {
    return values[i * cols + j];
  };
  {
    const TestMatrix y(h, DType::f32, c.b, c.n, gap);
    const Array<float> bias = h.upload(std::vector<float>(c.n, 0.0f));
    h.backend().linear_forward(h.stream(), x_matrix, w_matrix, bias.data(), false, y);
    check_sums(y.values(), exact_product(
                               c.b, c.n, c.k, [&](int64_t i, int64_t d) { return at(x, i, d, c.k); },
                               [&](int64_t j, int64_t d) { return at(w, j, d, c.k); }));
  }
  {
    const TestMatrix dx(h, DType::f32, c.b, c.k, gap);
    h.backend().linear_backward_input(h.stream(), dy_matrix, w_matrix, {}, dx);
    check_sums(dx.values(), exact_product(
                                c.b, c.k, c.n, [&](int64_t i, int64_t d) { return at(dy, i, d, c.n); },
                                [&](int64_t j, int64_t d) { return at(w, d, j, c.k); }));
  }
  const TestMatrix dw(h, DType::f32, c.n, c.k), dbias(h, DType::f32, 1, c.n);
  h.backend().linear_backward_weights(h.stream(), dy_matrix, x_matrix, Matrix(dw).f32(), Matrix(dbias).f32());
  check_sums(dw.values(), exact_product(
                              c.n, c.k, c.b, [&](int64_t i, int64_t d) { return at(dy, d, i, c.n); },
                              [&](int64_t j, int64_t d) { return at(x, d, j, c.k); }));
  check_sums(dbias.values(), exact_product(
                                 1, c.n, c.b, [](int64_t, int64_t) { return 1.0; },
                                 [&](int64_t j, int64_t d) { return at(dy, d, j, c.n); }));
}

}  // namespace

TEST_CASE(
    "CUDA products are right at the edges of tiles, in fp32, tf32 and bf16, in rows that 128-bit reads fit and do "
    "not") {
  for (const Arithmetic arithmetic : {Arithmetic{DType::f32, false}, {DType::f32, true}, {DType::bf16, false}}) {
    const auto backend =
        make_cuda_backend({.device = 0, .tf32 = arithmetic.tf32, .arena_bytes = 0}, SPARROW_CUDA_MODULE_DIR);
    const Harness h(*backend);
    for (const Case& c : kEdges) {
      for (const int64_t gap : {int64_t{0}, int64_t{3}}) {
        INFO("b " << c.b << ", k " << c.k << ", n " << c.n << ", bf16 " << (arithmetic.type == DType::bf16) << ", tf32 "
                  << arithmetic.tf32 << ", gap " << gap);
        check_layer(h, c, arithmetic.type, gap);
      }
    }
  }
}

TEST_CASE("tf32 keeps ten bits of the mantissa") {
  const auto backend = make_cuda_backend({.device = 0, .tf32 = true, .arena_bytes = 0}, SPARROW_CUDA_MODULE_DIR);
  const Harness h(*backend);
  // 1 + 2^-10 is a tf32 number; 1 + 2^-12 rounds to 1. Times 1, summed with nothing else: exact.
  const TestMatrix x(h, DType::f32, 2, 1, std::vector<double>{1 + 0x1p-10, 1 + 0x1p-12}),
      w(h, DType::f32, 1, 1, std::vector<double>{1.0}), y(h, DType::f32, 2, 1);
  const Array<float> bias = h.upload(std::vector<float>{0.0f});
  h.backend().linear_forward(h.stream(), x, w, bias.data(), false, y);
  CHECK(y.values() == std::vector<double>{1 + 0x1p-10, 1.0});
}
