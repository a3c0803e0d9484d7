// fp32 and bf16 elements under one name, so that a loop is written once for both.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/backend.hpp"

namespace sparrow::host {

struct Bf16 {
  uint16_t bits;
};
static_assert(sizeof(Bf16) == 2);

inline float to_float(float x) {
  return x;
}
inline float to_float(Bf16 x) {
  return std::bit_cast<float>(uint32_t{x.bits} << 16);
}

template <class T>
T from_float(float x);

template <>
inline float from_float<float>(float x) {
  return x;
}

/// Rounds to nearest even; a NaN stays one (its quiet bit is set, or rounding could carry it into infinity).
template <>
inline Bf16 from_float<Bf16>(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  return {static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded)};
}

/// Whether x < 0 (or -0), and x <= 0; false for NaN. For bf16 in integers, which keeps loops over them at full width.
inline bool is_negative(float x) {
  return x < 0.0f;
}
inline bool is_negative(Bf16 x) {
  return static_cast<uint16_t>(x.bits - 0x8000u) <= 0x7F80u;
}
inline bool is_not_positive(float x) {
  return x <= 0.0f;
}
inline bool is_not_positive(Bf16 x) {
  return is_negative(x) || x.bits == 0;
}

inline void clear_if(bool clear, float& x) {
  x = clear ? 0.0f : x;
}
inline void clear_if(bool clear, Bf16& x) {
  x.bits = clear ? uint16_t{0} : x.bits;
}

/// Calls f with a value of the C++ type of `type`.
template <class F>
void with_type(DType type, const F& f) {
  if (type == DType::f32) {
    f(float{});
  } else {
    f(Bf16{});
  }
}

template <class T>
T* row_of(const Matrix& matrix, int64_t row) {
  return static_cast<T*>(matrix.data) + row * matrix.stride;
}

}  // namespace sparrow::host
