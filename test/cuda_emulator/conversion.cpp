// cvt: between integers and floating-point numbers of every width.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

constexpr uint32_t kToInteger = kRoundNearestInt | kRoundZeroInt | kRoundDownInt | kRoundUpInt;
constexpr uint32_t kDirected = kRoundZero | kRoundDown | kRoundUp;

/// A float that is an integer, rounded as the flags say.
double rounded_to_integer(double v, uint32_t flags) {
  if (flags & kRoundNearestInt) return std::nearbyint(v);
  if (flags & kRoundDownInt) return std::floor(v);
  if (flags & kRoundUpInt) return std::ceil(v);
  return std::trunc(v);
}

/// Out of range is the nearest end of the range, a NaN 0.
template <class D>
D clamped(double v) {
  using Limits = std::numeric_limits<D>;
  if (v != v) return 0;
  if (v <= static_cast<double>(Limits::min())) return Limits::min();
  if (v >= static_cast<double>(Limits::max())) return Limits::max();
  return static_cast<D>(v);
}

/// The neighbour of a rounded result, where rounding to nearest went the wrong way.
template <class D>
D next_towards(D value, bool down) {
  if constexpr (sizeof(D) == 4) {
    return std::nextafter(value, down ? -INFINITY : INFINITY);
  } else {
    auto bits = std::bit_cast<uint16_t>(value);
    const bool negative = bits >> 15;
    bits = static_cast<uint16_t>(down != negative ? bits - 1 : bits + 1);
    return std::bit_cast<D>(bits);
  }
}

template <class D>
D rounded_as_directed(double exact, uint32_t flags) {
  D result = D(static_cast<Wide<D>>(exact));
  if constexpr (sizeof(D) < 8) {
    const double got = static_cast<double>(static_cast<Wide<D>>(result));
    const bool down = (flags & kRoundDown) || ((flags & kRoundZero) && exact > 0);
    const bool up = (flags & kRoundUp) || ((flags & kRoundZero) && exact < 0);
    if ((down && got > exact) || (up && got < exact)) result = next_towards(result, down);
  }
  return result;
}

template <class S, class D>
D convert_value(S value, uint32_t flags) {
  if constexpr (std::is_integral_v<S> && std::is_integral_v<D>) {
    if (!(flags & kSaturate)) return static_cast<D>(value);
    __extension__ using Wide128 = __int128;
    const auto v = static_cast<Wide128>(value), low = static_cast<Wide128>(std::numeric_limits<D>::min()),
               high = static_cast<Wide128>(std::numeric_limits<D>::max());
    return static_cast<D>(v < low ? low : v > high ? high : v);
  } else if constexpr (std::is_integral_v<S>) {
    if constexpr (std::is_same_v<D, float>) {
      // A 64-bit integer is not exact in double.
      const auto nearest = static_cast<float>(value);
      const auto exact = static_cast<long double>(value), got = static_cast<long double>(nearest);
      if ((flags & kRoundZero) && std::fabs(got) > std::fabs(exact)) return std::nextafter(nearest, 0.0f);
      if ((flags & kRoundDown) && got > exact) return std::nextafter(nearest, -INFINITY);
      if ((flags & kRoundUp) && got < exact) return std::nextafter(nearest, INFINITY);
      return nearest;
    } else if constexpr (std::is_same_v<D, double>) {
      return static_cast<double>(value);
    } else {
      return D(static_cast<float>(value));
    }
  } else if constexpr (std::is_integral_v<D>) {
    return clamped<D>(rounded_to_integer(static_cast<double>(static_cast<Wide<S>>(value)), flags));
  } else {
    double v = static_cast<double>(static_cast<Wide<S>>(value));
    if (flags & kToInteger) v = rounded_to_integer(v, flags);
    if (flags & kSaturate) v = v > 0 ? (v < 1 ? v : 1) : 0;
    if ((flags & kRelu) && v < 0) v = 0;
    if constexpr (std::is_same_v<S, double> && std::is_same_v<D, Half>) {
      if (!(flags & kDirected)) return Half(v);  // once, not by way of float
    }
    return rounded_as_directed<D>(v, flags);
  }
}

/// The register of the result may be wider than its type: R is what it holds, sign or zero extended.
template <class S, class D, class R>
void convert(Context& context, const Instruction& in) {
  const S* a = context.lanes<S>(in.arguments[1]);
  const uint32_t flags = in.flags;
  R* to = context.lanes<R>(in.arguments[0]);
  if (flags == 0 && !(std::is_same_v<S, double> && std::is_same_v<D, Half>)) {  // vectorises
    context.write(to, [=](int lane) {
      if constexpr (std::is_integral_v<S> == std::is_integral_v<D> && !is_half<S> && !is_half<D>) {
        return static_cast<R>(static_cast<D>(a[lane]));
      } else {
        return R(convert_value<S, D>(a[lane], 0));
      }
    });
    return;
  }
  context.write_active(to, [=](int lane) { return R(convert_value<S, D>(a[lane], flags)); });
}

template <class S, class D>
Handler converter(int register_size) {
  if (register_size == static_cast<int>(sizeof(D))) return convert<S, D, D>;
  if constexpr (std::is_integral_v<D>) {
    constexpr bool kSigned = std::is_signed_v<D>;
    if (register_size == 2) return convert<S, D, std::conditional_t<kSigned, int16_t, uint16_t>>;
    if (register_size == 4) return convert<S, D, std::conditional_t<kSigned, int32_t, uint32_t>>;
    if (register_size == 8) return convert<S, D, std::conditional_t<kSigned, int64_t, uint64_t>>;
  }
  return nullptr;
}

/// The low part of a source register that is wider than its type, then as converter. Rare: through 64-bit integers.
template <class S, class D>
void convert_low_part(Context& context, const Instruction& in) {
  const char* from = context.lanes<char>(in.arguments[1]);
  char* to = context.lanes<char>(in.arguments[0]);
  const size_t from_size = in.arguments[1].size, to_size = in.arguments[0].size;
  for_lanes(context.active, [&](int lane) {
    S low;
    std::memcpy(&low, from + static_cast<size_t>(lane) * from_size, sizeof low);
    const D result = convert_value<S, D>(low, in.flags);
    if constexpr (std::is_integral_v<D>) {
      const auto extended = static_cast<uint64_t>(static_cast<int64_t>(result));
      std::memcpy(to + static_cast<size_t>(lane) * to_size, &extended, std::min<size_t>(to_size, 8));
    } else {
      std::memcpy(to + static_cast<size_t>(lane) * to_size, &result, sizeof result);
    }
  });
}

/// cvt.f16x2.f32 d, a, b: a into the upper half, b into the lower.
template <class D>
void convert_two(Context& context, const Instruction& in) {
  const float *high = context.lanes<float>(in.arguments[1]), *low = context.lanes<float>(in.arguments[2]);
  const bool relu = in.flags & kRelu;
  context.write(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) {
    const float h = relu && high[lane] < 0 ? 0.0f : high[lane], l = relu && low[lane] < 0 ? 0.0f : low[lane];
    return uint32_t{std::bit_cast<uint16_t>(D(h))} << 16 | std::bit_cast<uint16_t>(D(l));
  });
}

/// 10 bits of mantissa are left: to nearest with ties away from zero (.rna), or to even, or towards zero.
void convert_to_tf32(Context& context, const Instruction& in) {
  const uint32_t* a = context.lanes<uint32_t>(in.arguments[1]);
  const uint32_t flags = in.flags;
  context.write(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) {
    constexpr uint32_t kExponent = 0x7f800000, kDropped = 0x1fff;
    const uint32_t bits = a[lane];
    if ((bits & kExponent) == kExponent) return bits & 0x7fffff ? 0x7fffffffu : bits;
    if (flags & kRoundZero) return bits & ~kDropped;
    return (bits + (flags & kRoundNearestAway ? 0x1000 : 0xfff + (bits >> 13 & 1))) & ~kDropped;
  });
}

void decode_scalar(Module& module, Instruction& in) {
  const Operand &to = in.source->operands.at(0), &from = in.source->operands.at(1);
  const int to_size = to.kind == Operand::sink ? size_of(in.type) : to.size;
  const int from_size = from.kind == Operand::reg ? from.size : size_of(in.second_type);
  set_argument(module, in, 0, to_size);
  set_argument(module, in, 1, from_size);
  const bool low_part = from_size != size_of(in.second_type);
  with_type(in.second_type, [&](auto s) {
    with_type(in.type, [&](auto d) {
      using S = decltype(s);
      using D = decltype(d);
      in.handler = low_part ? convert_low_part<S, D> : converter<S, D>(to_size);
    });
  });
}

}  // namespace

bool decode_conversion(Module& module, Instruction& in) {
  if (in.source->opcode != "cvt") return false;
  const bool to_pair = in.type == Type::f16x2 || in.type == Type::bf16x2;
  if (to_pair && in.second_type == Type::f32) {
    set_arguments(module, in, 3, 4);
    in.handler = in.type == Type::f16x2 ? convert_two<Half> : convert_two<BFloat16>;
  } else if (in.type == Type::tf32) {
    set_arguments(module, in, 2, 4);
    in.handler = convert_to_tf32;
  } else {
    decode_scalar(module, in);
  }
  return true;
}

}  // namespace sparrow::emulator
