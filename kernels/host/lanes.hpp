// A vector of floats as wide as the processor's registers, in the compiler's own vector extension: +, * and comparisons
// work lane by lane.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/host/numbers.hpp"

namespace sparrow::host {

#ifdef __AVX512F__
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif

using Lanes = float __attribute__((vector_size(kLanes * 4)));
using UnalignedLanes = float __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

inline Lanes load(const float* from) {
  return *reinterpret_cast<const UnalignedLanes*>(from);
}
inline Lanes load(const Bf16* from) {
  using Halves = uint16_t __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));
  using Words = uint32_t __attribute__((vector_size(kLanes * 4)));
  return std::bit_cast<Lanes>(__builtin_convertvector(*reinterpret_cast<const Halves*>(from), Words) << 16);
}
inline void store(float* to, Lanes value) {
  *reinterpret_cast<UnalignedLanes*>(to) = value;
}

/// The first `count` lanes of value (all, none: also beyond the width), zeros behind them.
inline Lanes first_lanes(Lanes value, int64_t count) {
  using Numbers = int32_t __attribute__((vector_size(kLanes * 4)));
  Numbers lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  return lane < static_cast<int32_t>(count) ? value : Lanes{};
}

/// n rounded up to whole vectors.
constexpr int64_t whole_lanes(int64_t n) {
  return (n + kLanes - 1) / kLanes * kLanes;
}

namespace detail {

/// One level of a transposition: exchanges the off-diagonal S x S blocks of the 2 S x 2 S blocks that rows a and b (S
/// apart) lie in.
template <int S, int... L>
inline void exchange(Lanes& a, Lanes& b, std::integer_sequence<int, L...>) {
  const Lanes upper = __builtin_shufflevector(a, b, ((L & S) ? kLanes + L - S : L)...);
  b = __builtin_shufflevector(a, b, ((L & S) ? kLanes + L : L + S)...);
  a = upper;
}

template <int S>
inline void transpose_levels(Lanes* rows) {
  for (int i = 0; i < kLanes; ++i) {
    if (!(i & S)) exchange<S>(rows[i], rows[i + S], std::make_integer_sequence<int, kLanes>{});
  }
  if constexpr (S > 1) transpose_levels<S / 2>(rows);
}

}  // namespace detail

/// Transposes a square of kLanes x kLanes values in registers.
inline void transpose(Lanes (&rows)[kLanes]) {
  detail::transpose_levels<kLanes / 2>(rows);
}

/// Calls f(0), f(1), ... f(N - 1) with no loop left, so that arrays indexed by the argument become registers.
template <int N, class F>
inline void unrolled(const F& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) {
    (f(I), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

/// Calls f(first, count) for blocks of rows that cover [begin, end): count is a std::integral_constant of at most Max,
/// so that f can keep a block's accumulators in registers.
template <int Max, class F>
inline void for_row_blocks(int64_t begin, int64_t end, const F& f) {
  for (; begin + Max <= end; begin += Max) f(begin, std::integral_constant<int, Max>{});
  if constexpr (Max > 1) {
    if (begin < end) for_row_blocks<Max - 1>(begin, end, f);
  }
}

}  // namespace sparrow::host
