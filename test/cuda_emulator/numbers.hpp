// The numbers of PTX in C++: its 16-bit floating-point types, which calculate in float and fit registers, and integers
// taken as bits.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace sparrow::emulator {

struct Half {
  _Float16 value;

  Half() = default;
  explicit Half(float v) : value(static_cast<_Float16>(v)) {}
  explicit Half(double v) : value(static_cast<_Float16>(v)) {}
  operator float() const { return static_cast<float>(value); }
};

struct BFloat16 {
  uint16_t bits;

  BFloat16() = default;
  /// To nearest, ties to even; a NaN becomes the canonical one.
  explicit BFloat16(float v) {
    const auto word = std::bit_cast<uint32_t>(v);
    bits = v != v ? uint16_t{0x7fff} : static_cast<uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
  }
  operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

/// Two values in one 32-bit register.
template <class Q>
struct Pair {
  Q value[2];
};

template <class Q>
constexpr bool is_half = std::is_same_v<Q, Half> || std::is_same_v<Q, BFloat16>;

/// The type that arithmetic on Q is done in.
template <class Q>
using Wide = std::conditional_t<is_half<Q>, float, Q>;

template <class Q>
using Unsigned = std::make_unsigned_t<Q>;

template <class Q>
constexpr uint32_t kBits = 8 * sizeof(Q);

}  // namespace sparrow::emulator
