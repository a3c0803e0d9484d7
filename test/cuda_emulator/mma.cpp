// mma.sync: a warp multiplies two small matrices whose elements are spread over its lanes' registers ("fragments"). The
// layouts are the manual's: with g = lane / 4 and t = lane % 4, a register of A holds row g or g + 8, and as many
// consecutive columns from t on as fit in 32 bits. Products are summed in fp32 (or int32) in order of k, one rounding
// each; the machine's order and rounding are not documented.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>

#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

enum class Element : uint8_t { f16, bf16, tf32, s8, u8, f32, s32, none };

Element element_of(const std::string& modifier) {
  static constexpr std::pair<const char*, Element> kNames[] = {
      {"f16", Element::f16}, {"bf16", Element::bf16}, {"tf32", Element::tf32}, {"s8", Element::s8},
      {"u8", Element::u8},   {"f32", Element::f32},   {"s32", Element::s32}};
  for (const auto& [name, element] : kNames) {
    if (modifier == name) return element;
  }
  return Element::none;
}

int bits_of(Element element) {
  switch (element) {
    case Element::f16:
    case Element::bf16:
      return 16;
    case Element::s8:
    case Element::u8:
      return 8;
    default:
      return 32;
  }
}

/// Where an element of a fragment is: register number, and its place in that register.
struct Place {
  int reg, part;
};

/// Fragment element e of 32 / bits elements to a register.
Place place_of(int bits, int e) {
  return {e * bits / 32, e % (32 / bits)};
}

/// The position in its matrix (A: row and depth; B: column and depth) of element e of a lane's fragment.
struct Position {
  int line, depth;
};

Position position_in_a(int bits, int lane, int e) {
  const Place p = place_of(bits, e);
  const int per_register = 32 / bits;
  return {lane / 4 + p.reg % 2 * 8, lane % 4 * per_register + p.part + p.reg / 2 * 4 * per_register};
}

Position position_in_b(int bits, int lane, int e) {
  const Place p = place_of(bits, e);
  const int per_register = 32 / bits;
  return {lane / 4, lane % 4 * per_register + p.part + p.reg * 4 * per_register};
}

constexpr int kRows = 16, kColumns = 8, kDeepest = 32, kSums = 4;

/// One kind of mma. The arguments of its registers are the instruction's elements: those of D, A, B and C, one after
/// the other.
struct Shape {
  Element a, b, sum_in, sum_out;
  int depth;

  int a_registers() const { return kRows * depth * bits_of(a) / 32 / kLanes; }
  int b_registers() const { return kColumns * depth * bits_of(b) / 32 / kLanes; }
  int sum_registers(Element e) const { return e == Element::f16 ? kSums / 2 : kSums; }
};

float to_float(Element element, uint32_t word, int part) {
  switch (element) {
    case Element::f16: {
      const auto bits = static_cast<uint16_t>(word >> 16 * part);
      return std::bit_cast<Half>(bits);
    }
    case Element::bf16:
      return std::bit_cast<float>((word >> 16 * part & 0xffff) << 16);
    default:
      return std::bit_cast<float>(word & ~0x1fffu);  // tf32: the machine ignores the low bits
  }
}

int to_int(Element element, uint32_t word, int part) {
  const auto byte = static_cast<uint8_t>(word >> 8 * part);
  return element == Element::s8 ? int{static_cast<int8_t>(byte)} : int{byte};
}

/// sums (16 x 8) += a (16 x depth) b (depth x 8), everything in arrays of a's type.
template <class Q>
void multiply(const Q* a, const Q* b, Q* sums, int depth) {
  for (int row = 0; row < kRows; ++row) {
    Q own[kColumns];
    for (int n = 0; n < kColumns; ++n) own[n] = sums[row * kColumns + n];
    for (int k = 0; k < depth; ++k) {
      const Q value = a[row * depth + k];
      for (int n = 0; n < kColumns; ++n) {
        if constexpr (std::is_same_v<Q, float>) {
          own[n] = __builtin_fmaf(value, b[k * kColumns + n], own[n]);
        } else {
          own[n] += value * b[k * kColumns + n];
        }
      }
    }
    for (int n = 0; n < kColumns; ++n) sums[row * kColumns + n] = own[n];
  }
}

/// Column and row of a lane's sum e.
int sum_index(int lane, int e) {
  return (lane / 4 + e / 2 * 8) * kColumns + lane % 4 * 2 + e % 2;
}

/// Spreads the fragments of A and B out to matrices; convert(element type, word, part) is one element.
template <class Q, class Convert>
void gather(const Context& context, const Instruction& in, const Shape& shape, int first_register, bool is_a, Q* matrix,
            Convert convert) {
  const Element element = is_a ? shape.a : shape.b;
  const int bits = bits_of(element), elements = (is_a ? kRows : kColumns) * shape.depth / kLanes;
  for (int e = 0; e < elements; ++e) {
    const Place place = place_of(bits, e);
    const uint32_t* words = context.lanes<uint32_t>(in.elements[static_cast<size_t>(first_register + place.reg)]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const Position p = is_a ? position_in_a(bits, lane, e) : position_in_b(bits, lane, e);
      matrix[is_a ? p.line * shape.depth + p.depth : p.depth * kColumns + p.line] =
          convert(element, words[lane], place.part);
    }
  }
}

std::deque<Shape>& shapes() {  // filled while modules are decoded
  static std::deque<Shape> instance;
  return instance;
}

void multiply_floats(Context& context, const Instruction& in) {
  const Shape& shape = shapes()[static_cast<size_t>(in.immediate)];
  alignas(32) float a[kRows * kDeepest], b[kDeepest * kColumns], sums[kRows * kColumns];
  const int d_registers = shape.sum_registers(shape.sum_out), first_b = d_registers + shape.a_registers();
  const auto first_c = static_cast<size_t>(first_b + shape.b_registers());
  gather(context, in, shape, d_registers, true, a, to_float);
  gather(context, in, shape, first_b, false, b, to_float);
  for (int e = 0; e < kSums; ++e) {
    const bool half = shape.sum_in == Element::f16;
    const uint32_t* words = context.lanes<uint32_t>(in.elements[first_c + static_cast<size_t>(half ? e / 2 : e)]);
    for (int lane = 0; lane < kLanes; ++lane) {
      sums[sum_index(lane, e)] = half ? to_float(Element::f16, words[lane], e % 2) : std::bit_cast<float>(words[lane]);
    }
  }
  multiply(a, b, sums, shape.depth);
  for (int e = 0; e < kSums; ++e) {
    if (shape.sum_out == Element::f32) {
      float* to = context.lanes<float>(in.elements[static_cast<size_t>(e)]);
      for (int lane = 0; lane < kLanes; ++lane) to[lane] = sums[sum_index(lane, e)];
    } else {
      Half* to = context.lanes<Half>(in.elements[static_cast<size_t>(e / 2)]);
      for (int lane = 0; lane < kLanes; ++lane) to[2 * lane + e % 2] = Half(sums[sum_index(lane, e)]);
    }
  }
}

void multiply_integers(Context& context, const Instruction& in) {
  const Shape& shape = shapes()[static_cast<size_t>(in.immediate)];
  int a[kRows * kDeepest], b[kDeepest * kColumns], sums[kRows * kColumns];
  const int first_b = kSums + shape.a_registers();
  const auto first_c = static_cast<size_t>(first_b + shape.b_registers());
  gather(context, in, shape, kSums, true, a, to_int);
  gather(context, in, shape, first_b, false, b, to_int);
  for (int e = 0; e < kSums; ++e) {
    const int* from = context.lanes<int>(in.elements[first_c + static_cast<size_t>(e)]);
    for (int lane = 0; lane < kLanes; ++lane) sums[sum_index(lane, e)] = from[lane];
  }
  multiply(a, b, sums, shape.depth);
  for (int e = 0; e < kSums; ++e) {
    int* to = context.lanes<int>(in.elements[static_cast<size_t>(e)]);
    for (int lane = 0; lane < kLanes; ++lane) to[lane] = sums[sum_index(lane, e)];
  }
}

bool depth_exists(Element element, int depth) {
  switch (element) {
    case Element::f16:
    case Element::bf16:
      return depth == 8 || depth == 16;
    case Element::tf32:
      return depth == 4 || depth == 8;
    case Element::s8:
    case Element::u8:
      return depth == 16 || depth == 32;
    default:
      return false;
  }
}

}  // namespace

bool decode_mma(Module& module, Instruction& in) {
  const Source& source = *in.source;
  if (source.opcode == "wgmma" || source.opcode == "tcgen05" || source.opcode == "wmma") return true;  // refused
  if (source.opcode != "mma") return false;
  in.control = Control::aligned;
  int rows = 0, columns = 0, depth = 0;
  std::vector<Element> elements;  // D, A, B, C
  for (const std::string& modifier : source.modifiers) {
    std::sscanf(modifier.c_str(), "m%dn%dk%d", &rows, &columns, &depth);
    if (const Element element = element_of(modifier); element != Element::none) elements.push_back(element);
  }
  if (elements.size() != 4 || rows != kRows || columns != kColumns || source.has("satfinite")) return true;
  const Shape shape{elements[1], elements[2], elements[3], elements[0], depth};
  if (!depth_exists(shape.a, depth) || bits_of(shape.a) != bits_of(shape.b)) return true;
  const int counts[] = {shape.sum_registers(shape.sum_out), shape.a_registers(), shape.b_registers(),
                        shape.sum_registers(shape.sum_in)};
  for (size_t k = 0; k < 4; ++k) {
    const Operand& operand = source.operands.at(k);
    const std::vector<Operand> single{operand};
    const std::vector<Operand>& registers = operand.kind == Operand::vector ? operand.elements : single;
    if (static_cast<int>(registers.size()) != counts[k])
      die("PTX line %d: %s: fragment size", source.line, source.text.c_str());
    for (const Operand& r : registers) in.elements.push_back(argument_of(module, r, 4));
  }
  in.immediate = static_cast<int64_t>(shapes().size());
  shapes().push_back(shape);
  in.handler = bits_of(shape.a) == 8 ? multiply_integers : multiply_floats;
  return true;
}

}  // namespace sparrow::emulator
