// ldmatrix, stmatrix and movmatrix: 8 x 8 matrices of 16-bit elements between shared memory and fragments. Lanes 8 k to
// 8 k + 7 give the addresses of the rows of matrix k; lane l gets row l / 4, columns 2 (l % 4) and the next.
#include <cstdint>

#include "address.hpp"
#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

constexpr int kSide = 8;
constexpr int kRowBytes = 16;

struct Rows {
  uint16_t* row[4 * kSide];
};

/// Arguments[0] is the address, the elements are the fragments; variant 1: transposed.
Rows find_rows(Context& context, const Instruction& in, bool writes) {
  uint64_t addresses[kLanes];
  lane_addresses(context, in.arguments[0], in.immediate, addresses);
  Rows rows{};
  for (int l = 0; l < kSide * static_cast<int>(in.elements.size()); ++l) {
    const uint64_t address = addresses[l] & 0xffffffff;
    if (address % kRowBytes != 0) fault(context, "misaligned row of a matrix", l, address);
    rows.row[l] = reinterpret_cast<uint16_t*>(shared_pointer(context, address, kRowBytes, l, writes));
  }
  return rows;
}

void load_matrices(Context& context, const Instruction& in) {
  const Rows rows = find_rows(context, in, false);
  for (size_t k = 0; k < in.elements.size(); ++k) {
    uint32_t* to = context.lanes<uint32_t>(in.elements[k]);
    const uint16_t* const* row = rows.row + kSide * k;
    for (int l = 0; l < kLanes; ++l) {
      const int line = l / 4, pair = l % 4 * 2;
      const uint16_t low = in.variant ? row[pair][line] : row[line][pair];
      const uint16_t high = in.variant ? row[pair + 1][line] : row[line][pair + 1];
      to[l] = uint32_t{low} | uint32_t{high} << 16;
    }
  }
}

void store_matrices(Context& context, const Instruction& in) {
  const Rows rows = find_rows(context, in, true);
  for (size_t k = 0; k < in.elements.size(); ++k) {
    const uint32_t* from = context.lanes<uint32_t>(in.elements[k]);
    uint16_t* const* row = rows.row + kSide * k;
    for (int l = 0; l < kLanes; ++l) {
      const int line = l / 4, pair = l % 4 * 2;
      (in.variant ? row[pair][line] : row[line][pair]) = static_cast<uint16_t>(from[l]);
      (in.variant ? row[pair + 1][line] : row[line][pair + 1]) = static_cast<uint16_t>(from[l] >> 16);
    }
  }
}

void transpose_matrix(Context& context, const Instruction& in) {
  const uint32_t* from = context.lanes<uint32_t>(in.arguments[1]);
  uint16_t matrix[kSide][kSide];
  for (int l = 0; l < kLanes; ++l) {
    matrix[l / 4][l % 4 * 2] = static_cast<uint16_t>(from[l]);
    matrix[l / 4][l % 4 * 2 + 1] = static_cast<uint16_t>(from[l] >> 16);
  }
  uint32_t* to = context.lanes<uint32_t>(in.arguments[0]);
  for (int l = 0; l < kLanes; ++l)
    to[l] = uint32_t{matrix[l % 4 * 2][l / 4]} | uint32_t{matrix[l % 4 * 2 + 1][l / 4]} << 16;
}

}  // namespace

bool decode_matrix_move(Module& module, Instruction& in) {
  const Source& source = *in.source;
  const bool loads = source.opcode == "ldmatrix";
  if (source.opcode == "movmatrix") {
    in.control = Control::aligned;
    set_arguments(module, in, 2, 4);
    in.handler = transpose_matrix;
    return true;
  }
  if (!loads && source.opcode != "stmatrix") return false;
  in.control = Control::aligned;
  if (!source.has("m8n8") || in.type != Type::b16) return true;  // refused
  const Operand &memory = source.operands.at(loads ? 1 : 0), &fragments = source.operands.at(loads ? 0 : 1);
  in.arguments[0] = base_of(memory);
  in.immediate = static_cast<int64_t>(memory.value);
  in.variant = source.has("trans");
  if (fragments.kind == Operand::vector) {
    for (const Operand& fragment : fragments.elements) in.elements.push_back(argument_of(module, fragment, 4));
  } else {
    in.elements.push_back(argument_of(module, fragments, 4));
  }
  const size_t count = source.has("x4") ? 4 : source.has("x2") ? 2 : 1;
  if (in.elements.size() != count) die("PTX line %d: %s: number of matrices", source.line, source.text.c_str());
  in.handler = loads ? load_matrices : store_matrices;
  return true;
}

}  // namespace sparrow::emulator
