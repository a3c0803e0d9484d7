// Instructions that the lanes of a warp execute together: shuffles, votes, matches, reductions; and barriers.
// Context::active is the set of lanes that execute together, argument 4 the member mask that they name.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

enum class Shuffle : uint8_t { up, down, butterfly, index };

/// The immediate is the offset of the predicate that says whether the source lane was in range, or -1.
void shuffle(Context& context, const Instruction& in) {
  const auto *values = context.lanes<uint32_t>(in.arguments[1]), *amounts = context.lanes<uint32_t>(in.arguments[2]);
  const uint32_t* clamps = context.lanes<uint32_t>(in.arguments[3]);
  uint32_t results[kLanes], in_range = 0;
  for_lanes(context.active, [&](int lane) {
    const int amount = static_cast<int>(amounts[lane] & 31), clamp = static_cast<int>(clamps[lane] & 31);
    const int segment = static_cast<int>(clamps[lane] >> 8 & 31);
    const int last = (lane & segment) | (clamp & ~segment), first = lane & segment;
    int from = 0;
    bool good = false;
    switch (static_cast<Shuffle>(in.variant)) {
      case Shuffle::up:
        from = lane - amount;
        good = from >= last;
        break;
      case Shuffle::down:
        from = lane + amount;
        good = from <= last;
        break;
      case Shuffle::butterfly:
        from = lane ^ amount;
        good = from <= last;
        break;
      case Shuffle::index:
        from = first | (amount & ~segment);
        good = from <= last;
        break;
    }
    if (!good) from = lane;
    if (!(context.active >> from & 1)) fault(context, "shfl reads an inactive lane", lane);
    results[lane] = values[from];
    in_range |= uint32_t{good} << lane;
  });
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [&](int lane) { return results[lane]; });
  if (in.immediate >= 0) context.write_mask(reinterpret_cast<uint32_t*>(context.banks[0] + in.immediate), in_range);
}

enum class Vote : uint8_t { ballot, any, all, uniform };

void vote(Context& context, const Instruction& in) {
  const uint32_t members = context.lanes<uint32_t>(in.arguments[4])[context.first_active()] & context.active;
  const uint32_t votes = context.mask(in.arguments[1]) & members;
  uint32_t* to = context.lanes<uint32_t>(in.arguments[0]);
  const auto kind = static_cast<Vote>(in.variant);
  if (kind == Vote::ballot) return context.write_active(to, [=](int) { return votes; });
  const bool result = kind == Vote::any   ? votes != 0
                      : kind == Vote::all ? votes == members
                                          : votes == members || votes == 0;
  context.write_mask(to, result ? ~0u : 0);
}

/// Lanes with the same value (variant 0); all lanes if all have the same, else none (1).
template <class Q>
void match(Context& context, const Instruction& in) {
  const Q* values = context.lanes<Q>(in.arguments[1]);
  uint32_t results[kLanes], all_equal = 0;
  for_lanes(context.active, [&](int lane) {
    uint32_t equal = 0;
    for_lanes(context.active, [&](int other) { equal |= uint32_t{values[other] == values[lane]} << other; });
    const bool all = equal == context.active;
    results[lane] = in.variant == 0 ? equal : all ? context.active : 0;
    all_equal |= uint32_t{all} << lane;
  });
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [&](int lane) { return results[lane]; });
  if (in.immediate >= 0) context.write_mask(reinterpret_cast<uint32_t*>(context.banks[0] + in.immediate), all_equal);
}

enum class Reduce : uint8_t { add, bit_and, bit_or, bit_xor, min, max };

uint32_t reduced(Reduce operation, bool is_signed, uint32_t a, uint32_t b) {
  const auto x = static_cast<int32_t>(a), y = static_cast<int32_t>(b);
  switch (operation) {
    case Reduce::add:
      return a + b;
    case Reduce::bit_and:
      return a & b;
    case Reduce::bit_or:
      return a | b;
    case Reduce::bit_xor:
      return a ^ b;
    case Reduce::min:
      return is_signed ? static_cast<uint32_t>(std::min(x, y)) : std::min(a, b);
    case Reduce::max:
      return is_signed ? static_cast<uint32_t>(std::max(x, y)) : std::max(a, b);
  }
  return a;
}

void reduce(Context& context, const Instruction& in) {
  const uint32_t* values = context.lanes<uint32_t>(in.arguments[1]);
  const bool is_signed = is_signed_integer(in.type);
  uint32_t result = values[context.first_active()];
  for_lanes(context.active & (context.active - 1),
            [&](int lane) { result = reduced(static_cast<Reduce>(in.variant), is_signed, result, values[lane]); });
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [=](int) { return result; });
}

/// The lowest lane is the leader.
void elect(Context& context, const Instruction& in) {
  const int leader = context.first_active();
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [=](int) { return static_cast<uint32_t>(leader); });
  if (in.immediate >= 0) context.write_mask(reinterpret_cast<uint32_t*>(context.banks[0] + in.immediate), 1u << leader);
}

/// The offset of the predicate in d|p, or -1.
int64_t second_result(const Instruction& in) {
  return in.source->operands[0].second_offset;
}

uint8_t index_of_modifier(const Source& source, std::initializer_list<const char*> names) {
  uint8_t index = 0, found = 0;
  for (const char* name : names) {
    if (source.has(name)) found = index;
    ++index;
  }
  return found;
}

/// Barriers of the block: arguments 1 the barrier's number, 2 for how many threads, 3 a predicate to reduce; 0 its
/// result.
void decode_barrier(Module& module, Instruction& in) {
  const Source& source = *in.source;
  in.handler = do_nothing;
  in.control = Control::barrier;
  in.variant = static_cast<uint8_t>(BarrierKind::wait);
  if (source.has("cluster")) {  // a cluster is one block
    if (source.has("arrive")) {
      in.control = Control::none;
    } else {
      Operand zero;
      zero.kind = Operand::immediate;
      in.arguments[1] = argument_of(module, zero, 4);
    }
    return;
  }
  const bool reduces = source.has("red");
  const size_t first = reduces ? 1 : 0;
  if (reduces) {
    const BarrierKind kind = source.has("popc")  ? BarrierKind::count
                             : source.has("and") ? BarrierKind::all
                                                 : BarrierKind::any;
    in.variant = static_cast<uint8_t>(kind);
    set_argument(module, in, 0, kind == BarrierKind::count ? 4 : 0);
    in.arguments[3] = argument_of(module, source.operands.back(), 0);
  } else if (source.has("arrive")) {
    in.variant = static_cast<uint8_t>(BarrierKind::arrive);
  }
  in.arguments[1] = argument_of(module, source.operands.at(first), 4);
  if (source.operands.size() > first + (reduces ? 2 : 1))
    in.arguments[2] = argument_of(module, source.operands[first + 1], 4);
}

}  // namespace

bool decode_collective(Module& module, Instruction& in) {
  const Source& source = *in.source;
  const std::string& opcode = source.opcode;
  if ((opcode == "bar" || opcode == "barrier") && !source.has("warp")) {
    decode_barrier(module, in);
    return true;
  }
  if (opcode == "bar") {
    in.arguments[4] = argument_of(module, source.operands.at(0), 4);
    in.handler = do_nothing;
  } else if (opcode == "shfl") {
    if (!source.has("sync")) die("PTX line %d: shfl without .sync", source.line);
    set_arguments(module, in, 5, 4);
    in.immediate = second_result(in);
    in.variant = index_of_modifier(source, {"up", "down", "bfly", "idx"});
    in.handler = shuffle;
  } else if (opcode == "vote") {
    in.variant = index_of_modifier(source, {"ballot", "any", "all", "uni"});
    set_argument(module, in, 0, static_cast<Vote>(in.variant) == Vote::ballot ? 4 : 0);
    set_argument(module, in, 1, 0);
    in.arguments[4] = argument_of(module, source.operands.at(2), 4);
    in.handler = vote;
  } else if (opcode == "match") {
    in.variant = source.has("all");
    in.immediate = second_result(in);
    set_argument(module, in, 0, 4);
    set_argument(module, in, 1, type_bytes(in));
    in.arguments[4] = argument_of(module, source.operands.at(2), 4);
    in.handler = type_bytes(in) == 4 ? match<uint32_t> : match<uint64_t>;
  } else if (opcode == "redux") {
    in.variant = index_of_modifier(source, {"add", "and", "or", "xor", "min", "max"});
    set_arguments(module, in, 2, 4);
    in.arguments[4] = argument_of(module, source.operands.at(2), 4);
    in.handler = in.type == Type::f32 ? nullptr : reduce;
  } else if (opcode == "elect") {
    in.immediate = second_result(in);
    set_argument(module, in, 0, 4);
    in.arguments[4] = argument_of(module, source.operands.at(1), 4);
    in.handler = elect;
  } else {
    return false;
  }
  in.control = Control::sync;
  return true;
}

}  // namespace sparrow::emulator
