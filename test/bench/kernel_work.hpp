// What each launcher of this folder moves and computes, as a function of its shapes: bytes of global memory read and
// written if every operand is touched once, and arithmetic operations (a multiply-add is two). A roofline is made of
// them (kernels/README.md, test/bench/cuda_bench); the launchers' own comments say where a kernel moves more.
#pragma once

#include <cstdint>

#include "kernels/backend.hpp"

namespace sparrow::cuda {

/// What the operations are counted in: the unit of the GPU that does them.
enum class Arithmetic : uint8_t { fp32, tf32, bf16, fp64 };

struct Work {
  double bytes = 0, flops = 0;
  Arithmetic arithmetic = Arithmetic::fp32;
};

namespace detail {
constexpr double product(int64_t a, int64_t b, int64_t c = 1) {
  return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
}
constexpr Arithmetic arithmetic_of(DType type) {
  return type == DType::bf16 ? Arithmetic::bf16 : Arithmetic::fp32;
}
constexpr double width(DType type) {
  return static_cast<double>(size_of(type));
}
}  // namespace detail

constexpr Work convert_work(DType from, DType to, int64_t elements) {
  return {detail::product(elements, size_of(from) + size_of(to)), 0};
}

/// x (b, k), w (n, k), y (b, n), all of `type`; bias f32.
constexpr Work linear_forward_work(DType type, int64_t b, int64_t k, int64_t n) {
  const double elements = detail::product(b, k) + detail::product(n, k) + detail::product(b, n);
  return {detail::width(type) * elements + 4.0 * static_cast<double>(n), 2 * detail::product(b, k, n),
          detail::arithmetic_of(type)};
}

/// Also reads `active` (b, k).
constexpr Work linear_backward_input_work(DType type, int64_t b, int64_t k, int64_t n) {
  const double elements = detail::product(b, n) + detail::product(n, k) + 2 * detail::product(b, k);
  return {detail::width(type) * elements, 2 * detail::product(b, k, n), detail::arithmetic_of(type)};
}

/// dw f32; dy is read a second time for the bias.
constexpr Work linear_backward_weights_work(DType type, int64_t b, int64_t k, int64_t n) {
  const double elements = 2 * detail::product(b, n) + detail::product(b, k);
  return {detail::width(type) * elements + 4 * detail::product(n, k) + 4.0 * static_cast<double>(n),
          2 * detail::product(b, k, n), detail::arithmetic_of(type)};
}

constexpr Work interaction_forward_work(DType type, int64_t b, int64_t vectors, int64_t dim) {
  const int64_t pairs = vectors * (vectors - 1) / 2;
  return {4 * detail::product(b, vectors, dim) + detail::width(type) * detail::product(b, dim + pairs),
          2 * detail::product(b, pairs, dim)};
}

constexpr Work interaction_backward_work(DType type, int64_t b, int64_t vectors, int64_t dim) {
  const int64_t pairs = vectors * (vectors - 1) / 2;
  return {4 * detail::product(b, vectors, dim) + detail::width(type) * detail::product(b, dim + pairs) +
              detail::width(type) * detail::product(b, dim) + 4 * detail::product(b, vectors - 1, dim),
          2 * detail::product(b, vectors * (vectors - 1), dim)};
}

/// Some 50 operations in fp64 for each sample.
constexpr Work loss_work(DType type, int64_t b) {
  return {static_cast<double>(b) * (8 + detail::width(type)), 50.0 * static_cast<double>(b), Arithmetic::fp64};
}

/// n keys, d of them distinct. The hash table (12 bytes a place, 2 n to 4 n places, 3 n on average) is cleared once,
/// and a key's place is looked at twice; that part stays in the second-level cache and is not counted beyond the
/// clearing.
constexpr Work distinct_work(int64_t n, int64_t d) {
  return {static_cast<double>(n) * (40 + 36) + 8.0 * static_cast<double>(d), 0};
}

/// Radix sort of n pairs of 4 bytes by ceil(log2(groups) / 8) digits, each pass reading and writing the pairs.
constexpr Work group_work(int64_t n, int64_t groups) {
  int passes = 1;
  for (int64_t left = (groups - 1) / 256; left > 0; left /= 256) ++passes;
  return {static_cast<double>(n) * (4 + 16 * passes) + 4.0 * static_cast<double>(groups), 0};
}

constexpr Work gather_rows_work(DType out, int64_t n, int64_t dim) {
  return {detail::product(n, dim) * (4 + detail::width(out)) + 8.0 * static_cast<double>(n), 0};
}

/// Reads an address and an item number for each row.
constexpr Work pack_rows_work(DType out, int64_t n, int64_t dim) {
  return {detail::product(n, dim) * (4 + detail::width(out)) + 12.0 * static_cast<double>(n), 0};
}

constexpr Work address_rows_work(int64_t n) {
  return {16.0 * static_cast<double>(n), 0};
}

/// `lookups` in `bags` bags, of `distinct` rows: a row that is looked up again comes from the cache where it fits.
constexpr Work pool_bags_work(int64_t lookups, int64_t distinct, int64_t bags, int64_t dim) {
  return {4 * detail::product(distinct + bags, dim) + 4.0 * static_cast<double>(lookups) +
              8.0 * static_cast<double>(distinct) + 8.0 * static_cast<double>(bags),
          detail::product(lookups, dim)};
}

/// `items` in `groups` groups, of which some are summed in `pieces` together. Both kernels read the groups' offsets.
constexpr Work sum_rows_work(DType type, int64_t items, int64_t groups, int64_t dim, int64_t pieces) {
  return {detail::width(type) * detail::product(items, dim) + 4.0 * static_cast<double>(items) +
              4 * detail::product(groups, dim) + 8.0 * static_cast<double>(groups) + 8 * detail::product(pieces, dim),
          detail::product(items + pieces, dim)};
}

/// Offsets are searched in the second-level cache.
constexpr Work lookup_bags_work(int64_t lookups, int64_t bags) {
  return {8.0 * static_cast<double>(lookups) + 8.0 * static_cast<double>(bags), 0};
}

constexpr Work update_dense_work(OptimizerKind kind, int64_t n) {
  const bool sgd = kind == OptimizerKind::sgd;
  return {static_cast<double>(n) * (sgd ? 12 : 20), static_cast<double>(n) * (sgd ? 2 : 6)};
}

constexpr Work update_rows_work(OptimizerKind kind, int64_t n, int64_t dim) {
  const double per_value = kind == OptimizerKind::adagrad ? 20 : 12;
  const double per_row = kind == OptimizerKind::rowwise_adagrad ? 16 : 8;
  return {detail::product(n, dim) * per_value + static_cast<double>(n) * per_row,
          detail::product(n, dim) * (kind == OptimizerKind::sgd ? 2 : 6)};
}

/// Some 25 integer multiplications for every four values, counted as operations.
constexpr Work init_rows_work(int64_t n, int64_t dim) {
  return {4 * detail::product(n, dim) + 8.0 * static_cast<double>(n), detail::product(n, dim) * 25 / 4};
}

}  // namespace sparrow::cuda
