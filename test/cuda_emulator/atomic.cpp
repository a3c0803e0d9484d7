// atom and red: read-modify-write, lane after lane. Blocks may run on several host threads, so global memory is changed
// by the host's own atomic instructions.
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "address.hpp"
#include "handlers.hpp"
#include "races.hpp"

namespace sparrow::emulator {
namespace {

enum class Atomic : uint8_t {
  add,
  min,
  max,
  bit_and,
  bit_or,
  bit_xor,
  exchange,
  compare_and_swap,
  increment,
  decrement
};
constexpr const char* kNames[] = {"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"};

/// The new value of x; y is the operand, replacement the second one of compare-and-swap.
template <class Q>
Q updated(Atomic operation, Q x, Q y, Q replacement) {
  if constexpr (std::is_integral_v<Q>) {
    switch (operation) {
      case Atomic::add:
        return static_cast<Q>(static_cast<std::make_unsigned_t<Q>>(x) + static_cast<std::make_unsigned_t<Q>>(y));
      case Atomic::min:
        return x < y ? x : y;
      case Atomic::max:
        return x > y ? x : y;
      case Atomic::bit_and:
        return static_cast<Q>(x & y);
      case Atomic::bit_or:
        return static_cast<Q>(x | y);
      case Atomic::bit_xor:
        return static_cast<Q>(x ^ y);
      case Atomic::exchange:
        return y;
      case Atomic::compare_and_swap:
        return x == y ? replacement : x;
      case Atomic::increment:
        return x >= y ? Q{0} : static_cast<Q>(x + 1);
      case Atomic::decrement:
        return x == 0 || x > y ? y : static_cast<Q>(x - 1);
    }
    return x;
  } else if constexpr (std::is_floating_point_v<Q> || is_half<Q>) {
    return operation == Atomic::min   ? (x < y ? x : y)
           : operation == Atomic::max ? (x > y ? x : y)
                                      : Q(Wide<Q>(x) + Wide<Q>(y));
  } else {  // a pair: addition only
    Q sum;
    for (int k = 0; k < 2; ++k) sum.value[k] = updated(operation, x.value[k], y.value[k], y.value[k]);
    return sum;
  }
}

template <class Q>
using Word = std::conditional_t<sizeof(Q) == 2, uint16_t, std::conditional_t<sizeof(Q) == 4, uint32_t, uint64_t>>;

/// Returns the old value.
template <class Q>
Q update(Q* place, Atomic operation, Q y, Q replacement) {
  auto* word = reinterpret_cast<Word<Q>*>(place);
  Word<Q> old = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (true) {
    Q value;
    std::memcpy(static_cast<void*>(&value), &old, sizeof value);
    const Q changed = updated(operation, value, y, replacement);
    Word<Q> changed_word;
    std::memcpy(&changed_word, static_cast<const void*>(&changed), sizeof changed);
    if (__atomic_compare_exchange_n(word, &old, changed_word, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) return value;
  }
}

/// Arguments: result (absent for red), address, value, replacement. Vectors: values in elements, results in the
/// source's operand.
template <class Q>
void atomic(Context& context, const Instruction& in) {
  uint64_t pointers[kLanes];
  lane_addresses(context, in.arguments[1], in.immediate, pointers);
  resolve_addresses(context, pointers, static_cast<int>(sizeof(Q)) * in.vector_size, in.space, true, true);
  if ((in.flags & kOrdered) && checks_global_races()) note_fence(context);
  const auto operation = static_cast<Atomic>(in.variant);
  if (in.vector_size == 1) {
    const Q* y = context.lanes<Q>(in.arguments[2]);
    const Q* replacement = operation == Atomic::compare_and_swap ? context.lanes<Q>(in.arguments[3]) : y;
    for_lanes(context.active, [&](int lane) {
      const Q old = update(reinterpret_cast<Q*>(pointers[lane]), operation, y[lane], replacement[lane]);
      if (in.arguments[0].present) context.lanes<Q>(in.arguments[0])[lane] = old;
    });
    return;
  }
  for_lanes(context.active, [&](int lane) {
    for (size_t k = 0; k < in.elements.size(); ++k) {
      const Q y = context.lanes<Q>(in.elements[k])[lane];
      update(reinterpret_cast<Q*>(pointers[lane]) + k, operation, y, y);
    }
  });
}

Handler atomic_handler(Type type, Atomic operation) {
  const bool bits_only = operation == Atomic::exchange || operation == Atomic::compare_and_swap;
  const bool adds = operation == Atomic::add;
  switch (type) {
    case Type::b16:
    case Type::u16:
      return atomic<uint16_t>;
    case Type::b32:
    case Type::u32:
      return atomic<uint32_t>;
    case Type::s32:
      return atomic<int32_t>;
    case Type::b64:
    case Type::u64:
      return atomic<uint64_t>;
    case Type::s64:
      return atomic<int64_t>;
    case Type::f32:
      return bits_only ? atomic<uint32_t> : atomic<float>;
    case Type::f64:
      return bits_only ? atomic<uint64_t> : atomic<double>;
    case Type::f16:
      return adds ? atomic<Half> : nullptr;
    case Type::bf16:
      return adds ? atomic<BFloat16> : nullptr;
    case Type::f16x2:
      return adds ? atomic<Pair<Half>> : nullptr;
    case Type::bf16x2:
      return adds ? atomic<Pair<BFloat16>> : nullptr;
    default:
      return nullptr;
  }
}

}  // namespace

bool decode_atomic(Module& module, Instruction& in) {
  const Source& source = *in.source;
  const bool returns = source.opcode == "atom";
  if (!returns && source.opcode != "red") return false;
  int operation = -1;
  for (int k = 0; k < 10; ++k) {
    if (source.has(kNames[k])) operation = k;
  }
  if (operation < 0 || source.has("async")) return true;
  in.variant = static_cast<uint8_t>(operation);
  const size_t memory = returns ? 1 : 0;
  const Operand& values = source.operands.at(memory + 1);
  const int size = size_of(in.type);
  in.arguments[1] = base_of(source.operands.at(memory));
  in.immediate = static_cast<int64_t>(source.operands.at(memory).value);
  if (values.kind == Operand::vector) {
    if (returns && source.operands[0].kind != Operand::sink) return true;  // the old values of a vector: refused
    in.vector_size = static_cast<uint8_t>(values.elements.size());
    for (const Operand& element : values.elements) in.elements.push_back(argument_of(module, element, size));
  } else {
    in.vector_size = 1;
    in.arguments[2] = argument_of(module, values, size);
    if (returns && source.operands[0].kind != Operand::sink) set_argument(module, in, 0, size);
    if (static_cast<Atomic>(operation) == Atomic::compare_and_swap) {
      in.arguments[3] = argument_of(module, source.operands.at(memory + 2), size);
    }
  }
  in.handler = atomic_handler(in.type, static_cast<Atomic>(operation));
  return true;
}

}  // namespace sparrow::emulator
