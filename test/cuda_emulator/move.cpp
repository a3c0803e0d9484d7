// mov, address conversions and other moves.
#include <cstring>
#include <ctime>

#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

template <class Q>
void move(Context& context, const Instruction& in) {
  const Q* a = context.lanes<Q>(in.arguments[1]);
  context.write(context.lanes<Q>(in.arguments[0]), [=](int lane) { return a[lane]; });
}

void move_predicate(Context& context, const Instruction& in) {
  context.write_mask(context.lanes<uint32_t>(in.arguments[0]), context.mask(in.arguments[1]));
}

/// Clocks: variant 0 counts instructions, 1 is the time of day in nanoseconds.
template <class Q>
void read_clock(Context& context, const Instruction& in) {
  uint64_t ticks = context.executed / kLanes + context.warp->steps;
  if (in.variant == 1) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    ticks = static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
  }
  context.write(context.lanes<Q>(in.arguments[0]), [=](int) { return static_cast<Q>(ticks); });
}

/// A register from the values of several narrower ones, which are the instruction's elements.
void pack(Context& context, const Instruction& in) {
  const size_t count = in.elements.size(), part = in.elements[0].size, whole = part * count;
  char* to = context.lanes<char>(in.arguments[0]);
  char values[kLanes * 16];
  for (size_t k = 0; k < count; ++k) {
    const char* from = context.lanes<char>(in.elements[k]);
    for (size_t lane = 0; lane < kLanes; ++lane)
      std::memcpy(values + lane * whole + k * part, from + lane * part, part);
  }
  for_lanes(context.active, [&](int lane) {
    std::memcpy(to + static_cast<size_t>(lane) * whole, values + static_cast<size_t>(lane) * whole, whole);
  });
}

/// The two most frequent cases.
template <class Half, class Whole>
void pack_two(Context& context, const Instruction& in) {
  const Half *low = context.lanes<Half>(in.elements[0]), *high = context.lanes<Half>(in.elements[1]);
  context.write(context.lanes<Whole>(in.arguments[0]),
                [=](int lane) { return static_cast<Whole>(Whole{low[lane]} | Whole{high[lane]} << 8 * sizeof(Half)); });
}

void unpack(Context& context, const Instruction& in) {
  const size_t count = in.elements.size(), whole = in.arguments[1].size, part = whole / count;
  char values[kLanes * 16];
  std::memcpy(values, context.lanes<char>(in.arguments[1]), kLanes * whole);
  for (size_t k = 0; k < count; ++k) {
    char* to = context.lanes<char>(in.elements[k]);
    for_lanes(context.active, [&](int lane) {
      std::memcpy(to + static_cast<size_t>(lane) * part, values + static_cast<size_t>(lane) * whole + k * part, part);
    });
  }
}

void set_elements(Module& module, Instruction& in, const Operand& vector, int size) {
  for (const Operand& element : vector.elements) in.elements.push_back(argument_of(module, element, size));
}

void decode_mov(Module& module, Instruction& in) {
  const Operand &to = in.source->operands.at(0), &from = in.source->operands.at(1);
  const int size = type_bytes(in);
  if (to.kind == Operand::vector && from.kind == Operand::vector) return;
  if (to.kind == Operand::vector) {
    set_elements(module, in, to, size / static_cast<int>(to.elements.size()));
    set_argument(module, in, 1, size);
    in.handler = unpack;
  } else if (from.kind == Operand::vector) {
    const int part = size / static_cast<int>(from.elements.size());
    set_argument(module, in, 0, size);
    set_elements(module, in, from, part);
    in.handler = from.elements.size() != 2 ? pack
                 : part == 2               ? pack_two<uint16_t, uint32_t>
                 : part == 4               ? pack_two<uint32_t, uint64_t>
                                           : pack;
  } else if (from.kind == Operand::reg &&
             (from.offset == offset_of(Special::clock) || from.offset == offset_of(Special::globaltimer))) {
    set_argument(module, in, 0, size);
    in.variant = from.offset == offset_of(Special::globaltimer);
    in.handler = size == 4 ? read_clock<uint32_t> : read_clock<uint64_t>;
  } else {
    set_arguments(module, in, 2, size);
    switch (size) {
      case 0:
        in.handler = move_predicate;
        break;
      case 1:
        in.handler = move<uint8_t>;
        break;
      case 2:
        in.handler = move<uint16_t>;
        break;
      case 4:
        in.handler = move<uint32_t>;
        break;
      case 8:
        in.handler = move<uint64_t>;
        break;
      case 16:
        in.handler = move<Pair<uint64_t>>;
        break;
      default:
        break;
    }
  }
}

uint64_t window_of(Space space) {
  return space == Space::shared ? kSharedWindow : space == Space::local ? kLocalWindow : 0;
}

/// cvta: from an address in a space to a generic one; cvta.to: back.
template <bool kToSpace>
void convert_address(Context& context, const Instruction& in) {
  const uint64_t* a = context.lanes<uint64_t>(in.arguments[1]);
  const uint64_t window = window_of(in.space);
  context.write(context.lanes<uint64_t>(in.arguments[0]), [=](int lane) {
    if (window == 0) return a[lane];
    return kToSpace ? a[lane] & ~kWindowMask : a[lane] | window;
  });
}

void is_in_space(Context& context, const Instruction& in) {
  const uint64_t* a = context.lanes<uint64_t>(in.arguments[1]);
  const bool known = in.space == Space::global || in.space == Space::shared || in.space == Space::local;
  uint32_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    bits |= uint32_t{known && (a[lane] & kWindowMask) == window_of(in.space)} << lane;
  context.write_mask(context.lanes<uint32_t>(in.arguments[0]), bits);
}

void active_lanes(Context& context, const Instruction& in) {
  const uint32_t active = context.active;
  context.write(context.lanes<uint32_t>(in.arguments[0]), [=](int) { return active; });
}

/// A cache policy changes nothing here.
void create_policy(Context& context, const Instruction& in) {
  context.write(context.lanes<uint64_t>(in.arguments[0]), [](int) { return uint64_t{0}; });
}

}  // namespace

bool decode_move(Module& module, Instruction& in) {
  const std::string& opcode = in.source->opcode;
  if (opcode == "mov") {
    decode_mov(module, in);
  } else if (opcode == "cvta") {
    set_arguments(module, in, 2, 8);
    if (in.space != Space::param) in.handler = in.source->has("to") ? convert_address<true> : convert_address<false>;
  } else if (opcode == "isspacep") {
    set_argument(module, in, 0, 0);
    set_argument(module, in, 1, 8);
    in.handler = is_in_space;
  } else if (opcode == "activemask") {
    set_argument(module, in, 0, 4);
    in.handler = active_lanes;
  } else if (opcode == "createpolicy") {
    set_argument(module, in, 0, 8);
    in.handler = create_policy;
  } else {
    return false;
  }
  return true;
}

}  // namespace sparrow::emulator
