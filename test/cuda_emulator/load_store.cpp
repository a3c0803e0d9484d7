// ld and st, of one value or of vectors of two to eight.
#include <cstdint>

#include "address.hpp"
#include "handlers.hpp"
#include "races.hpp"

namespace sparrow::emulator {
namespace {

constexpr int kLongestVector = 8;

void fence_if_ordered(Context& context, const Instruction& in) {
  if ((in.flags & kOrdered) && checks_global_races()) note_fence(context);
}

/// M: the type in memory; R: what the register holds, at least as wide.
template <class M, class R>
void load(Context& context, const Instruction& in) {
  alignas(64) uint64_t pointers[kLanes];
  lane_pointers(context, in, in.arguments[1], pointers, static_cast<int>(sizeof(M)) * in.vector_size, false);
  fence_if_ordered(context, in);
  if (in.vector_size == 1) {
    context.write(context.lanes<R>(in.arguments[0]),
                  [&](int lane) { return static_cast<R>(*reinterpret_cast<const M*>(pointers[lane])); });
    return;
  }
  // All are read before the first is written: the address may be in one of the registers.
  R values[kLongestVector][kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const M* from = reinterpret_cast<const M*>(pointers[lane]);
    for (int k = 0; k < in.vector_size; ++k) values[k][lane] = static_cast<R>(from[k]);
  }
  for (size_t k = 0; k < in.elements.size(); ++k) {
    context.write(context.lanes<R>(in.elements[k]), [&](int lane) { return values[k][lane]; });
  }
}

/// A kernel's parameter at a fixed place: the same for all lanes.
template <class M, class R>
void load_parameter(Context& context, const Instruction& in) {
  const R value = static_cast<R>(*reinterpret_cast<const M*>(context.launch->parameters.data() + in.immediate));
  context.write(context.lanes<R>(in.arguments[0]), [=](int) { return value; });
}

template <class M, class R>
void store(Context& context, const Instruction& in) {
  alignas(64) uint64_t pointers[kLanes];
  fence_if_ordered(context, in);
  lane_pointers(context, in, in.arguments[0], pointers, static_cast<int>(sizeof(M)) * in.vector_size, true);
  const auto store_element = [&](const Argument& from, size_t k) {
    const R* values = context.lanes<R>(from);
    for_lanes(context.active,
              [&](int lane) { reinterpret_cast<M*>(pointers[lane])[k] = static_cast<M>(values[lane]); });
  };
  if (in.vector_size == 1) return store_element(in.arguments[1], 0);
  for (size_t k = 0; k < in.elements.size(); ++k) store_element(in.elements[k], k);
}

/// Calls f with a value of the memory's type and one of the register's.
template <class F>
Handler with_memory_types(Type type, int register_size, F f) {
  const auto widened = [&](auto m, auto two, auto four, auto eight) -> Handler {
    switch (register_size) {
      case 1:
        return sizeof m == 1 ? f(m, m) : nullptr;
      case 2:
        return sizeof m <= 2 ? f(m, two) : nullptr;
      case 4:
        return sizeof m <= 4 ? f(m, four) : nullptr;
      case 8:
        return f(m, eight);
      default:
        return nullptr;
    }
  };
  switch (type) {
    case Type::b8:
    case Type::u8:
      return widened(uint8_t{}, uint16_t{}, uint32_t{}, uint64_t{});
    case Type::s8:
      return widened(int8_t{}, int16_t{}, int32_t{}, int64_t{});
    case Type::b16:
    case Type::u16:
    case Type::f16:
    case Type::bf16:
      return widened(uint16_t{}, uint16_t{}, uint32_t{}, uint64_t{});
    case Type::s16:
      return widened(int16_t{}, int16_t{}, int32_t{}, int64_t{});
    case Type::b32:
    case Type::u32:
    case Type::f32:
      return widened(uint32_t{}, uint32_t{}, uint32_t{}, uint64_t{});
    case Type::s32:
      return widened(int32_t{}, int32_t{}, int32_t{}, int64_t{});
    case Type::b64:
    case Type::u64:
    case Type::s64:
    case Type::f64:
      return f(uint64_t{}, uint64_t{});
    default:
      return nullptr;
  }
}

/// The register's width: of the first element that is one.
int register_size_of(const Operand& operand, int otherwise) {
  if (operand.kind == Operand::reg) return operand.size;
  for (const Operand& element : operand.elements) {
    if (element.kind == Operand::reg) return element.size;
  }
  return otherwise;
}

/// Sets the value side of a load or store: an argument, or elements.
int set_values(Module& module, Instruction& in, int argument, const Operand& values) {
  const int size = register_size_of(values, size_of(in.type));
  if (values.kind != Operand::vector) {
    in.arguments[argument] = argument_of(module, values, size);
    return size;
  }
  in.vector_size = static_cast<uint8_t>(values.elements.size());
  for (const Operand& element : values.elements) in.elements.push_back(argument_of(module, element, size));
  if (in.vector_size == 1) in.arguments[argument] = in.elements[0];
  return size;
}

}  // namespace

bool decode_load_store(Module& module, Instruction& in) {
  const Source& source = *in.source;
  if (source.opcode == "ld" || source.opcode == "ldu") {
    const Operand &to = source.operands.at(0), &memory = source.operands.at(1);
    const int size = set_values(module, in, 0, to);
    in.arguments[1] = base_of(memory);
    in.immediate = static_cast<int64_t>(memory.value);
    const bool uniform =
        in.space == Space::param && !in.arguments[1].present && memory.value < kKernelParameters && in.vector_size == 1;
    in.handler = with_memory_types(in.type, size, [&](auto m, auto r) -> Handler {
      return uniform ? load_parameter<decltype(m), decltype(r)> : load<decltype(m), decltype(r)>;
    });
    return true;
  }
  if (source.opcode == "st") {
    const Operand &memory = source.operands.at(0), &from = source.operands.at(1);
    const int size = set_values(module, in, 1, from);
    in.arguments[0] = base_of(memory);
    in.immediate = static_cast<int64_t>(memory.value);
    in.handler =
        with_memory_types(in.type, size, [](auto m, auto r) -> Handler { return store<decltype(m), decltype(r)>; });
    return true;
  }
  return false;
}

}  // namespace sparrow::emulator
