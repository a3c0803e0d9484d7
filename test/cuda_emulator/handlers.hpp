// What the files of instruction handlers share: choosing a handler by type, and the decoders of each group of
// instructions.
#pragma once

#include <cstdint>
#include <type_traits>

#include "machine.hpp"
#include "numbers.hpp"

namespace sparrow::emulator {

/// Calls f with a value of the C++ type that stands for a PTX type of one number; false if there is none.
template <class F>
bool with_type(Type type, F f) {
  switch (type) {
    case Type::b8:
    case Type::u8:
      f(uint8_t{});
      return true;
    case Type::s8:
      f(int8_t{});
      return true;
    case Type::b16:
    case Type::u16:
      f(uint16_t{});
      return true;
    case Type::s16:
      f(int16_t{});
      return true;
    case Type::f16:
      f(Half{});
      return true;
    case Type::bf16:
      f(BFloat16{});
      return true;
    case Type::b32:
    case Type::u32:
      f(uint32_t{});
      return true;
    case Type::s32:
      f(int32_t{});
      return true;
    case Type::f32:
      f(float{});
      return true;
    case Type::b64:
    case Type::u64:
      f(uint64_t{});
      return true;
    case Type::s64:
      f(int64_t{});
      return true;
    case Type::f64:
      f(double{});
      return true;
    default:
      return false;
  }
}

enum TypeSet : unsigned { kIntegers = 1, kFloats = 2, kHalves = 4, kAllTypes = 7 };

template <class Q>
constexpr unsigned type_set_of() {
  return std::is_integral_v<Q> ? kIntegers : is_half<Q> ? kHalves : kFloats;
}

/// to = Op(a), Op(a, b) or Op(a, b, c) lane by lane. kExpensive: only for the lanes that execute.
template <class Q, class Op, int kArity, bool kExpensive>
void lanewise(Context& context, const Instruction& in) {
  const Q* a = context.lanes<Q>(in.arguments[1]);
  const Q* b = kArity > 1 ? context.lanes<Q>(in.arguments[2]) : a;
  const Q* c = kArity > 2 ? context.lanes<Q>(in.arguments[3]) : a;
  const auto compute = [=](int lane) -> Q {
    if constexpr (kArity == 1) {
      return Op::apply(a[lane]);
    } else if constexpr (kArity == 2) {
      return Op::apply(a[lane], b[lane]);
    } else {
      return Op::apply(a[lane], b[lane], c[lane]);
    }
  };
  if constexpr (kExpensive) {
    context.write_active(context.lanes<Q>(in.arguments[0]), compute);
  } else {
    context.write(context.lanes<Q>(in.arguments[0]), compute);
  }
}

/// Op on both values of a pair.
template <class Op>
struct Paired {
  template <class P, class... Rest>
  static P apply(P a, Rest... rest) {
    P result;
    for (int k = 0; k < 2; ++k) result.value[k] = Op::apply(a.value[k], rest.value[k]...);
    return result;
  }
};

/// The handler of an operation for a type; null when the operation has no such type.
template <class Op, int kArity, unsigned kTypes, bool kExpensive = false>
Handler handler_for(Type type) {
  Handler handler = nullptr;
  if constexpr ((kTypes & kHalves) != 0) {
    if (type == Type::f16x2) return lanewise<Pair<Half>, Paired<Op>, kArity, kExpensive>;
    if (type == Type::bf16x2) return lanewise<Pair<BFloat16>, Paired<Op>, kArity, kExpensive>;
  }
  with_type(type, [&](auto q) {
    using Q = decltype(q);
    if constexpr ((kTypes & type_set_of<Q>()) != 0) handler = lanewise<Q, Op, kArity, kExpensive>;
  });
  return handler;
}

/// Makes the first n operands arguments of `size` bytes.
inline void set_arguments(Module& module, Instruction& in, int n, int size) {
  for (int k = 0; k < n; ++k)
    in.arguments[k] = argument_of(module, in.source->operands.at(static_cast<size_t>(k)), size);
}
inline void set_argument(Module& module, Instruction& in, int k, int size) {
  in.arguments[k] = argument_of(module, in.source->operands.at(static_cast<size_t>(k)), size);
}

/// Bytes of the instruction's type; 0 for predicates.
inline int type_bytes(const Instruction& in) {
  return in.type == Type::pred ? 0 : size_of(in.type);
}

/// Variants of Control::barrier: wait, pass without waiting, and wait for a reduction of a predicate over the block.
enum class BarrierKind : uint8_t { wait, arrive, count, all, any };

/// Handlers of what is not supported, and of what needs nothing done.
void refuse(Context& context, const Instruction& in);
void do_nothing(Context& context, const Instruction& in);

// Each decoder returns whether the instruction is one of its own. Left without a handler, it will be refused when it is
// executed.
bool decode_control(Module& module, Instruction& in);
bool decode_arithmetic(Module& module, Instruction& in);
bool decode_comparison(Module& module, Instruction& in);
bool decode_bits(Module& module, Instruction& in);
bool decode_bit_fields(Module& module, Instruction& in);
bool decode_move(Module& module, Instruction& in);
bool decode_conversion(Module& module, Instruction& in);
bool decode_load_store(Module& module, Instruction& in);
bool decode_atomic(Module& module, Instruction& in);
bool decode_async_copy(Module& module, Instruction& in);
bool decode_mma(Module& module, Instruction& in);
bool decode_matrix_move(Module& module, Instruction& in);
bool decode_collective(Module& module, Instruction& in);

}  // namespace sparrow::emulator
