// Arithmetic that is not lane by lane in one type: directed rounding (rounding.cpp) and products of twice the width
// (wide_product.cpp).
#pragma once

#include "handlers.hpp"

namespace sparrow::emulator {

enum class Rounded : uint8_t { add, subtract, multiply, multiply_add, divide, square_root, reciprocal };

/// Sets the handler if the instruction asks for rounding other than to nearest (.rz, .rm, .rp on f32 and f64).
bool set_rounded(Instruction& in, Rounded operation);

/// mul.wide and mad.wide: all of a product.
void decode_wide_product(Module& module, Instruction& in, bool adds);

/// mul.hi and mad.hi: the upper half of a product; null for a type that has none.
Handler high_product(Type type, bool adds);

}  // namespace sparrow::emulator
