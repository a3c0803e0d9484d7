// Directed rounding, by the processor's own rounding mode.
#include <immintrin.h>

#include <cmath>

#include "arithmetic.hpp"

namespace sparrow::emulator {
namespace {

template <class Q>
Q compute_rounded(Rounded operation, Q a, Q b, Q c) {
  switch (operation) {
    case Rounded::add:
      return a + b;
    case Rounded::subtract:
      return a - b;
    case Rounded::multiply:
      return a * b;
    case Rounded::multiply_add:
      return sizeof(Q) == 4
                 ? static_cast<Q>(__builtin_fmaf(static_cast<float>(a), static_cast<float>(b), static_cast<float>(c)))
                 : static_cast<Q>(__builtin_fma(a, b, c));
    case Rounded::divide:
      return a / b;
    case Rounded::square_root:
      return std::sqrt(a);
    default:
      return Q(1) / a;
  }
}

template <class Q>
__attribute__((noinline)) void rounded(Context& context, const Instruction& in) {
  constexpr unsigned kModes = 0x6000, kDown = 0x2000, kUp = 0x4000;
  const Q* a = context.lanes<Q>(in.arguments[1]);
  const Q* b = in.arguments[2].present ? context.lanes<Q>(in.arguments[2]) : a;
  const Q* c = in.arguments[3].present ? context.lanes<Q>(in.arguments[3]) : a;
  const unsigned before = _mm_getcsr();
  _mm_setcsr((before & ~kModes) | (in.flags & kRoundZero ? kModes : in.flags & kRoundDown ? kDown : kUp));
  Q results[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    // volatile: nothing may be computed before the mode is set, or after it is put back
    volatile Q x = a[lane], y = b[lane], z = c[lane];
    volatile Q result = compute_rounded<Q>(static_cast<Rounded>(in.variant), x, y, z);
    results[lane] = result;
  }
  _mm_setcsr(before);
  context.write(context.lanes<Q>(in.arguments[0]), [&](int lane) {
    const Q v = results[lane];
    return in.flags & kSaturate ? (v > Q(0) ? (v < Q(1) ? v : Q(1)) : Q(0)) : v;
  });
}

}  // namespace

bool set_rounded(Instruction& in, Rounded operation) {
  const bool is_float = in.type == Type::f32 || in.type == Type::f64;
  if (!is_float || !(in.flags & (kRoundZero | kRoundDown | kRoundUp))) return false;
  in.variant = static_cast<uint8_t>(operation);
  in.handler = in.type == Type::f32 ? rounded<float> : rounded<double>;
  return true;
}

}  // namespace sparrow::emulator
