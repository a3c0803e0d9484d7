// Decoding: arguments from operands, and the handler of each instruction from its group's decoder.
#include <cstring>
#include <exception>

#include "handlers.hpp"
#include "races.hpp"

namespace sparrow::emulator {
namespace {

/// The pool keeps each constant 32 times over, so that handlers read it like a register.
uint32_t constant_offset(Module& module, uint64_t value, int size) {
  const auto known = module.constant_offsets.find({value, size});
  if (known != module.constant_offsets.end()) return known->second;
  const auto offset = static_cast<uint32_t>(module.constants.size());
  const size_t bytes = size == 0 ? 4 : static_cast<size_t>(size);
  module.constants.resize(offset + kLanes * bytes);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    std::memcpy(&module.constants[offset + lane * bytes], &value, std::min<size_t>(bytes, sizeof value));
  }
  module.constant_offsets[{value, size}] = offset;
  return offset;
}

void end_kernel(Context& context, const Instruction&) {
  fault(context, "trap");
}

void fence(Context& context, const Instruction&) {
  if (checks_global_races()) note_fence(context);
}

}  // namespace

Argument argument_of(Module& module, const Operand& operand, int size) {
  Argument a;
  a.present = true;
  a.negated = operand.negated;
  a.size = static_cast<uint8_t>(size);
  switch (operand.kind) {
    case Operand::reg:
      if (operand.size != size) die("a register of %d bytes where %d are needed", operand.size, size);
      a.offset = static_cast<uint32_t>(operand.offset);
      return a;
    case Operand::immediate: {
      uint64_t value = operand.value;
      if (size == 0) value = value ? ~0u : 0;
      if (size > 0 && size < 8) value &= (1ull << 8 * size) - 1;
      a.bank = Bank::constants;
      a.offset = constant_offset(module, value, size);
      return a;
    }
    case Operand::sink:
      a.bank = Bank::sink;
      return a;
    default:
      die("an operand of kind %d where a value is needed", static_cast<int>(operand.kind));
  }
}

Argument base_of(const Operand& operand) {
  if (operand.kind != Operand::memory) die("a memory operand expected");
  Argument a;
  if (operand.offset < 0) return a;
  a.present = true;
  a.offset = static_cast<uint32_t>(operand.offset);
  a.size = operand.size;
  return a;
}

void refuse(Context& context, const Instruction&) {
  fault(context, "unsupported PTX instruction");
}

void do_nothing(Context&, const Instruction&) {}

bool decode_control(Module& module, Instruction& in) {
  const std::string& opcode = in.source->opcode;
  in.handler = do_nothing;
  if (opcode == "bra") return true;
  if (opcode == "brx") {
    set_argument(module, in, 0, 4);
  } else if (opcode == "ret") {
    in.control = Control::ret;
  } else if (opcode == "exit") {
    in.control = Control::exit;
  } else if (opcode == "call") {
    in.control = Control::call;
  } else if (opcode == "nanosleep") {
    in.control = Control::yield;
  } else if (opcode == "membar" || opcode == "fence") {
    in.handler = fence;
  } else if (opcode == "trap" || opcode == "brkpt") {
    in.handler = end_kernel;
  } else if (opcode != "prefetch" && opcode != "prefetchu" && opcode != "griddepcontrol" && opcode != "applypriority" &&
             opcode != "discard" && opcode != "setmaxnreg" && opcode != "pmevent") {
    in.handler = nullptr;
    return false;
  }
  return true;
}

void decode(Module& module, Instruction& in) {
  static constexpr bool (*kDecoders[])(Module&, Instruction&) = {
      decode_control,    decode_collective, decode_mma,        decode_matrix_move, decode_load_store,
      decode_atomic,     decode_async_copy, decode_arithmetic, decode_comparison,  decode_bits,
      decode_bit_fields, decode_move,       decode_conversion};
  try {
    for (const auto decoder : kDecoders) {
      if (decoder(module, in)) break;
    }
  } catch (const std::exception& error) {
    die("PTX line %d: %s: %s", in.source->line, in.source->text.c_str(), error.what());
  }
  // Modifiers whose meaning no handler knows.
  for (const char* modifier : {"cc", "xorsign", "oob", "scaled", "rs", "sp", "block_scale"}) {
    if (in.source->has(modifier)) in.handler = nullptr;
  }
  if (!in.handler) in.handler = refuse;
}

}  // namespace sparrow::emulator
