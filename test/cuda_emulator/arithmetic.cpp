// Arithmetic on integers and floating-point numbers.
#include <cmath>
#include <cstdint>

#include "arithmetic.hpp"

namespace sparrow::emulator {
namespace {

/// Integer results wrap around: computed without sign, in 64 bits.
template <class Q>
constexpr bool is_integer = std::is_integral_v<Q>;

struct Add {
  template <class Q>
  static Q apply(Q a, Q b) {
    if constexpr (is_integer<Q>) {
      return static_cast<Q>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    } else {
      return Q(Wide<Q>(a) + Wide<Q>(b));
    }
  }
};

struct Subtract {
  template <class Q>
  static Q apply(Q a, Q b) {
    if constexpr (is_integer<Q>) {
      return static_cast<Q>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
    } else {
      return Q(Wide<Q>(a) - Wide<Q>(b));
    }
  }
};

struct Multiply {
  template <class Q>
  static Q apply(Q a, Q b) {
    if constexpr (is_integer<Q> && sizeof(Q) == 4) {
      return static_cast<Q>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
    } else if constexpr (is_integer<Q>) {
      return static_cast<Q>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    } else {
      return Q(Wide<Q>(a) * Wide<Q>(b));
    }
  }
};

/// a b + c, rounded once.
struct MultiplyAdd {
  template <class Q>
  static Q apply(Q a, Q b, Q c) {
    if constexpr (is_integer<Q>) {
      return Add::apply(Multiply::apply(a, b), c);
    } else if constexpr (std::is_same_v<Q, float>) {
      return __builtin_fmaf(a, b, c);
    } else if constexpr (std::is_same_v<Q, double>) {
      return __builtin_fma(a, b, c);
    } else {  // exact in double: 2 * 11 bits and an exponent that double holds
      const double exact =
          static_cast<double>(float(a)) * static_cast<double>(float(b)) + static_cast<double>(float(c));
      if constexpr (std::is_same_v<Q, Half>) {
        return Half(exact);
      } else {
        return BFloat16(static_cast<float>(exact));
      }
    }
  }
};

/// The result of Op clamped to [0, 1], a NaN to 0.
template <class Op>
struct Saturated {
  template <class Q, class... Rest>
  static Q apply(Q a, Rest... rest) {
    using W = Wide<Q>;
    const W v = Op::apply(a, rest...);
    return Q(v > W(0) ? (v < W(1) ? v : W(1)) : W(0));
  }
};

/// The result of Op, 0 where negative.
template <class Op>
struct Rectified {
  template <class Q, class... Rest>
  static Q apply(Q a, Rest... rest) {
    using W = Wide<Q>;
    const W v = Op::apply(a, rest...);
    return Q(v < W(0) ? W(0) : v);
  }
};

/// 32-bit addition and subtraction that stop at the ends of the range.
template <int kSign>
struct ClampedSum {
  static int32_t apply(int32_t a, int32_t b) {
    const int64_t sum = int64_t{a} + kSign * int64_t{b};
    return static_cast<int32_t>(std::min<int64_t>(std::max<int64_t>(sum, INT32_MIN), INT32_MAX));
  }
};

/// What the machine does with a division by zero is not defined; a crash of the emulator would be worse.
struct Divide {
  template <class Q>
  static Q apply(Q a, Q b) {
    if constexpr (is_integer<Q>) {
      if (b == 0) return static_cast<Q>(-1);
      if (std::is_signed_v<Q> && b == static_cast<Q>(-1)) return static_cast<Q>(0 - static_cast<uint64_t>(a));
      return static_cast<Q>(a / b);
    } else {
      return Q(Wide<Q>(a) / Wide<Q>(b));
    }
  }
};

struct Remainder {
  template <class Q>
  static Q apply(Q a, Q b) {
    if (b == 0) return a;
    return std::is_signed_v<Q> && b == static_cast<Q>(-1) ? Q{0} : static_cast<Q>(a % b);
  }
};

/// The smaller (kSign = 1) or larger (-1); of a NaN and a number the number, of zeros the one of the right sign.
template <int kSign>
struct Extreme {
  template <class Q>
  static Q apply(Q a, Q b) {
    if constexpr (is_integer<Q>) {
      return (kSign > 0 ? a < b : a > b) ? a : b;
    } else {
      using W = Wide<Q>;
      const W x = a, y = b;
      W result = (kSign > 0 ? x < y : x > y) ? x : y;
      if (x == y && std::signbit(x) == (kSign > 0)) result = x;
      if (x != x) result = y;
      if (y != y) result = x;
      return Q(result);
    }
  }
  template <class Q>
  static Q apply(Q a, Q b, Q c) {
    return apply(apply(a, b), c);
  }
};

/// The same, but a NaN wins.
template <int kSign>
struct ExtremeOrNan {
  template <class Q>
  static Q apply(Q a, Q b) {
    const Wide<Q> x = a, y = b;
    return x != x ? a : y != y ? b : Extreme<kSign>::apply(a, b);
  }
};

struct Absolute {
  template <class Q>
  static Q apply(Q a) {
    if constexpr (is_integer<Q>) {
      return a < 0 ? static_cast<Q>(0 - static_cast<uint64_t>(a)) : a;
    } else {
      return Q(Wide<Q>(std::fabs(Wide<Q>(a))));
    }
  }
};

struct Negate {
  template <class Q>
  static Q apply(Q a) {
    if constexpr (is_integer<Q>) {
      return static_cast<Q>(0 - static_cast<uint64_t>(a));
    } else {
      return Q(-Wide<Q>(a));
    }
  }
};

struct Reciprocal {
  template <class Q>
  static Q apply(Q a) {
    return Q(1) / a;
  }
};

struct SquareRoot {
  template <class Q>
  static Q apply(Q a) {
    return std::sqrt(a);
  }
};

struct ReciprocalSquareRoot {
  template <class Q>
  static Q apply(Q a) {
    return Q(1) / std::sqrt(a);
  }
};

/// The machine's approximate functions, here as exact as the C library's.
template <float (*kFunction)(float)>
struct Approximate {
  template <class Q>
  static Q apply(Q a) {
    return Q(kFunction(static_cast<float>(a)));
  }
};

/// |a - b| + c
struct AbsoluteDifference {
  template <class Q>
  static Q apply(Q a, Q b, Q c) {
    return Add::apply(c, a < b ? Subtract::apply(b, a) : Subtract::apply(a, b));
  }
};

struct CopySign {
  template <class Q>
  static Q apply(Q a, Q b) {
    return std::copysign(b, a);
  }
};

void decode_sum(Instruction& in, bool adds) {
  if (set_rounded(in, adds ? Rounded::add : Rounded::subtract)) return;
  if ((in.flags & kSaturate) && in.type == Type::s32) {
    in.handler = adds ? lanewise<int32_t, ClampedSum<1>, 2, false> : lanewise<int32_t, ClampedSum<-1>, 2, false>;
  } else if (in.flags & kSaturate) {
    in.handler = adds ? handler_for<Saturated<Add>, 2, kFloats | kHalves>(in.type)
                      : handler_for<Saturated<Subtract>, 2, kFloats | kHalves>(in.type);
  } else {
    in.handler = adds ? handler_for<Add, 2, kAllTypes>(in.type) : handler_for<Subtract, 2, kAllTypes>(in.type);
  }
}

void decode_product(Module& module, Instruction& in) {
  if (in.flags & kWide) return decode_wide_product(module, in, false);
  set_arguments(module, in, 3, type_bytes(in));
  if (in.flags & kHigh) {
    in.handler = high_product(in.type, false);
  } else if (!set_rounded(in, Rounded::multiply)) {
    in.handler = in.flags & kSaturate ? handler_for<Saturated<Multiply>, 2, kFloats | kHalves>(in.type)
                                      : handler_for<Multiply, 2, kAllTypes>(in.type);
  }
}

void decode_multiply_add(Module& module, Instruction& in) {
  if (in.flags & kWide) return decode_wide_product(module, in, true);
  set_arguments(module, in, 4, type_bytes(in));
  if (in.flags & kHigh) {
    in.handler = high_product(in.type, true);
  } else if (!set_rounded(in, Rounded::multiply_add)) {
    in.handler = in.flags & kSaturate ? handler_for<Saturated<MultiplyAdd>, 3, kFloats | kHalves>(in.type)
                 : in.flags & kRelu   ? handler_for<Rectified<MultiplyAdd>, 3, kFloats | kHalves>(in.type)
                                      : handler_for<MultiplyAdd, 3, kAllTypes>(in.type);
  }
}

template <int kSign>
void decode_extreme(Module& module, Instruction& in) {
  const bool three = in.source->operands.size() == 4;
  set_arguments(module, in, three ? 4 : 3, type_bytes(in));
  if (in.flags & kRelu) return;  // refused
  in.handler = three                       ? handler_for<Extreme<kSign>, 3, kFloats | kHalves>(in.type)
               : in.flags & kNanPropagates ? handler_for<ExtremeOrNan<kSign>, 2, kFloats | kHalves>(in.type)
                                           : handler_for<Extreme<kSign>, 2, kAllTypes>(in.type);
}

template <float (*kFunction)(float)>
void decode_approximate(Module& module, Instruction& in) {
  set_arguments(module, in, 2, type_bytes(in));
  in.handler = handler_for<Approximate<kFunction>, 1, kFloats | kHalves, true>(in.type);
}

}  // namespace

bool decode_arithmetic(Module& module, Instruction& in) {
  const std::string& opcode = in.source->opcode;
  const int size = type_bytes(in);
  if (opcode == "add" || opcode == "sub") {
    set_arguments(module, in, 3, size);
    decode_sum(in, opcode == "add");
  } else if (opcode == "mul") {
    decode_product(module, in);
  } else if (opcode == "mad" || opcode == "fma") {
    decode_multiply_add(module, in);
  } else if (opcode == "div") {
    set_arguments(module, in, 3, size);
    if (!set_rounded(in, Rounded::divide)) in.handler = handler_for<Divide, 2, kIntegers | kFloats, true>(in.type);
  } else if (opcode == "rem") {
    set_arguments(module, in, 3, size);
    in.handler = handler_for<Remainder, 2, kIntegers, true>(in.type);
  } else if (opcode == "min") {
    decode_extreme<1>(module, in);
  } else if (opcode == "max") {
    decode_extreme<-1>(module, in);
  } else if (opcode == "abs") {
    set_arguments(module, in, 2, size);
    in.handler = handler_for<Absolute, 1, kAllTypes>(in.type);
  } else if (opcode == "neg") {
    set_arguments(module, in, 2, size);
    in.handler = handler_for<Negate, 1, kAllTypes>(in.type);
  } else if (opcode == "sad") {
    set_arguments(module, in, 4, size);
    in.handler = handler_for<AbsoluteDifference, 3, kIntegers>(in.type);
  } else if (opcode == "rcp") {
    set_arguments(module, in, 2, size);
    if (!set_rounded(in, Rounded::reciprocal)) in.handler = handler_for<Reciprocal, 1, kFloats>(in.type);
  } else if (opcode == "sqrt") {
    set_arguments(module, in, 2, size);
    if (!set_rounded(in, Rounded::square_root)) in.handler = handler_for<SquareRoot, 1, kFloats>(in.type);
  } else if (opcode == "rsqrt") {
    set_arguments(module, in, 2, size);
    in.handler = handler_for<ReciprocalSquareRoot, 1, kFloats>(in.type);
  } else if (opcode == "ex2") {
    decode_approximate<exp2f>(module, in);
  } else if (opcode == "lg2") {
    decode_approximate<log2f>(module, in);
  } else if (opcode == "sin") {
    decode_approximate<sinf>(module, in);
  } else if (opcode == "cos") {
    decode_approximate<cosf>(module, in);
  } else if (opcode == "tanh") {
    decode_approximate<tanhf>(module, in);
  } else if (opcode == "copysign") {
    set_arguments(module, in, 3, size);
    in.handler = handler_for<CopySign, 2, kFloats>(in.type);
  } else {
    return false;
  }
  return true;
}

}  // namespace sparrow::emulator
