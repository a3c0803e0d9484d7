// Logic, shifts, and instructions on bytes.
#include <algorithm>
#include <cstdint>

#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

struct And {
  template <class Q>
  static Q apply(Q a, Q b) {
    return static_cast<Q>(a & b);
  }
};
struct Or {
  template <class Q>
  static Q apply(Q a, Q b) {
    return static_cast<Q>(a | b);
  }
};
struct Xor {
  template <class Q>
  static Q apply(Q a, Q b) {
    return static_cast<Q>(a ^ b);
  }
};
struct Not {
  template <class Q>
  static Q apply(Q a) {
    return static_cast<Q>(~a);
  }
};
struct IsZero {
  template <class Q>
  static Q apply(Q a) {
    return a == 0;
  }
};
/// Predicates are masks: one operation for all lanes.
template <class Op>
void logic_on_predicates(Context& context, const Instruction& in) {
  uint32_t result;
  if constexpr (std::is_same_v<Op, Not>) {
    result = ~context.mask(in.arguments[1]);
  } else {
    result = Op::apply(context.mask(in.arguments[1]), context.mask(in.arguments[2]));
  }
  context.write_mask(context.lanes<uint32_t>(in.arguments[0]), result);
}

template <class Op, int kArity>
void decode_logic(Module& module, Instruction& in) {
  set_arguments(module, in, kArity + 1, type_bytes(in));
  in.handler = in.type == Type::pred ? logic_on_predicates<Op> : handler_for<Op, kArity, kIntegers>(in.type);
}

/// Shifts by the width or more leave nothing but the sign.
template <class Q, bool kLeft>
void shift(Context& context, const Instruction& in) {
  const Q* a = context.lanes<Q>(in.arguments[1]);
  const uint32_t* amounts = context.lanes<uint32_t>(in.arguments[2]);
  context.write(context.lanes<Q>(in.arguments[0]), [=](int lane) -> Q {
    const uint32_t amount = amounts[lane];
    if constexpr (kLeft) {
      return amount >= kBits<Q> ? Q{0} : static_cast<Q>(static_cast<Unsigned<Q>>(a[lane]) << (amount & (kBits<Q> - 1)));
    } else if constexpr (std::is_signed_v<Q>) {
      return static_cast<Q>(a[lane] >> std::min(amount, kBits<Q> - 1));
    } else {
      return amount >= kBits<Q> ? Q{0} : static_cast<Q>(a[lane] >> (amount & (kBits<Q> - 1)));
    }
  });
}

/// 32 bits out of the 64 of b:a.
template <bool kLeft, bool kWraps>
void funnel_shift(Context& context, const Instruction& in) {
  const auto *a = context.lanes<uint32_t>(in.arguments[1]), *b = context.lanes<uint32_t>(in.arguments[2]);
  const uint32_t* amounts = context.lanes<uint32_t>(in.arguments[3]);
  context.write(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) {
    const uint32_t amount = kWraps ? amounts[lane] & 31 : std::min(amounts[lane], 32u);
    const uint64_t both = uint64_t{b[lane]} << 32 | a[lane];
    return kLeft ? static_cast<uint32_t>((both << amount) >> 32) : static_cast<uint32_t>(both >> amount);
  });
}

/// Which four of the eight bytes of b:a; modes as the manual names them.
enum class Permute : uint8_t { general, f4e, b4e, rc8, ecl, ecr, rc16 };

void permute_bytes(Context& context, const Instruction& in) {
  const auto *a = context.lanes<uint32_t>(in.arguments[1]), *b = context.lanes<uint32_t>(in.arguments[2]);
  const uint32_t* selectors = context.lanes<uint32_t>(in.arguments[3]);
  const auto mode = static_cast<Permute>(in.variant);
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) {
    const uint64_t bytes = uint64_t{b[lane]} << 32 | a[lane];
    const auto start = static_cast<int>(selectors[lane] & 3);
    uint32_t result = 0;
    for (int k = 0; k < 4; ++k) {
      int from = 0;
      switch (mode) {
        case Permute::general:
          from = static_cast<int>(selectors[lane] >> 4 * k & 15);
          break;
        case Permute::f4e:
          from = start + k;
          break;
        case Permute::b4e:
          from = (start - k) & 7;
          break;
        case Permute::rc8:
          from = start;
          break;
        case Permute::ecl:
          from = std::max(k, start);
          break;
        case Permute::ecr:
          from = std::min(k, start);
          break;
        case Permute::rc16:
          from = (start & 1) * 2 + (k & 1);
          break;
      }
      auto byte = static_cast<uint8_t>(bytes >> 8 * (from & 7));
      if (mode == Permute::general && (from & 8)) byte = byte & 128 ? 255 : 0;  // its sign, eight times
      result |= uint32_t{byte} << 8 * k;
    }
    return result;
  });
}

/// Any function of three bits: the immediate is its table.
void logic_of_three(Context& context, const Instruction& in) {
  const auto *a = context.lanes<uint32_t>(in.arguments[1]), *b = context.lanes<uint32_t>(in.arguments[2]);
  const uint32_t* c = context.lanes<uint32_t>(in.arguments[3]);
  uint32_t table[8];
  for (int k = 0; k < 8; ++k) table[k] = in.immediate >> k & 1 ? ~0u : 0;
  context.write(context.lanes<uint32_t>(in.arguments[0]), [&](int lane) {
    uint32_t result = 0;
    for (int k = 0; k < 8; ++k) {
      result |= table[k] & (k & 4 ? a[lane] : ~a[lane]) & (k & 2 ? b[lane] : ~b[lane]) & (k & 1 ? c[lane] : ~c[lane]);
    }
    return result;
  });
}

/// Dot products of four bytes (variant 0), or of two 16-bit numbers with the lower (1) or upper (2) two bytes.
void dot_product(Context& context, const Instruction& in) {
  const auto *a = context.lanes<uint32_t>(in.arguments[1]), *b = context.lanes<uint32_t>(in.arguments[2]);
  const uint32_t* c = context.lanes<uint32_t>(in.arguments[3]);
  const bool a_signed = is_signed_integer(in.type);
  const bool b_signed = in.second_type == Type::none ? a_signed : is_signed_integer(in.second_type);
  const auto byte = [](uint32_t word, int k, bool is_signed) {
    const auto bits = static_cast<uint8_t>(word >> 8 * k);
    return is_signed ? int{static_cast<int8_t>(bits)} : int{bits};
  };
  const auto half = [](uint32_t word, int k, bool is_signed) {
    const auto bits = static_cast<uint16_t>(word >> 16 * k);
    return is_signed ? int{static_cast<int16_t>(bits)} : int{bits};
  };
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [&](int lane) {
    uint32_t sum = c[lane];
    if (in.variant == 0) {
      for (int k = 0; k < 4; ++k) sum += static_cast<uint32_t>(byte(a[lane], k, a_signed) * byte(b[lane], k, b_signed));
    } else {
      const int first = in.variant == 2 ? 2 : 0;
      for (int k = 0; k < 2; ++k)
        sum += static_cast<uint32_t>(half(a[lane], k, a_signed) * byte(b[lane], first + k, b_signed));
    }
    return sum;
  });
}

template <bool kLeft>
void decode_shift(Module& module, Instruction& in) {
  const int size = type_bytes(in);
  set_arguments(module, in, 2, size);
  set_argument(module, in, 2, 4);
  with_type(in.type, [&](auto q) {
    if constexpr (std::is_integral_v<decltype(q)>) in.handler = shift<decltype(q), kLeft>;
  });
}

}  // namespace

bool decode_bits(Module& module, Instruction& in) {
  const Source& source = *in.source;
  const std::string& opcode = source.opcode;
  if (opcode == "and") {
    decode_logic<And, 2>(module, in);
  } else if (opcode == "or") {
    decode_logic<Or, 2>(module, in);
  } else if (opcode == "xor") {
    decode_logic<Xor, 2>(module, in);
  } else if (opcode == "not") {
    decode_logic<Not, 1>(module, in);
  } else if (opcode == "cnot") {
    set_arguments(module, in, 2, type_bytes(in));
    in.handler = handler_for<IsZero, 1, kIntegers>(in.type);
  } else if (opcode == "shl") {
    decode_shift<true>(module, in);
  } else if (opcode == "shr") {
    decode_shift<false>(module, in);
  } else if (opcode == "shf") {
    set_arguments(module, in, 4, 4);
    const bool left = source.has("l"), wraps = source.has("wrap");
    in.handler = left ? (wraps ? funnel_shift<true, true> : funnel_shift<true, false>)
                      : (wraps ? funnel_shift<false, true> : funnel_shift<false, false>);
  } else if (opcode == "prmt") {
    set_arguments(module, in, 4, 4);
    static constexpr const char* kModes[] = {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
    for (uint8_t k = 0; k < 6; ++k) {
      if (source.has(kModes[k])) in.variant = static_cast<uint8_t>(k + 1);
    }
    in.handler = permute_bytes;
  } else if (opcode == "lop3") {
    if (source.modifiers.size() > 1) return true;  // with a predicate: refused
    set_arguments(module, in, 4, 4);
    in.immediate = static_cast<int64_t>(source.operands.at(4).value);
    in.handler = logic_of_three;
  } else if (opcode == "dp4a" || opcode == "dp2a") {
    set_arguments(module, in, 4, 4);
    in.variant = opcode == "dp4a" ? 0 : source.has("hi") ? 2 : 1;
    in.handler = dot_product;
  } else {
    return false;
  }
  return true;
}

}  // namespace sparrow::emulator
