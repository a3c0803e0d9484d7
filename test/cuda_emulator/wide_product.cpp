// Products of integers: all of their twice as many bits, or the upper half.
#include <cstdint>

#include "arithmetic.hpp"

namespace sparrow::emulator {
namespace {

template <class Q>
using Twice = std::conditional_t<sizeof(Q) == 2, std::conditional_t<std::is_signed_v<Q>, int32_t, uint32_t>,
                                 std::conditional_t<std::is_signed_v<Q>, int64_t, uint64_t>>;

template <class Q, bool kAdds>
void multiply_wide(Context& context, const Instruction& in) {
  using W = Twice<Q>;
  const Q *a = context.lanes<Q>(in.arguments[1]), *b = context.lanes<Q>(in.arguments[2]);
  const W* c = kAdds ? context.lanes<W>(in.arguments[3]) : nullptr;
  context.write(context.lanes<W>(in.arguments[0]), [=](int lane) {
    const W product = static_cast<W>(static_cast<W>(a[lane]) * static_cast<W>(b[lane]));
    if constexpr (kAdds) {
      return static_cast<W>(static_cast<Unsigned<W>>(product) + static_cast<Unsigned<W>>(c[lane]));
    } else {
      return product;
    }
  });
}

/// The upper half of a product.
template <class Q, bool kAdds>
void multiply_high(Context& context, const Instruction& in) {
  __extension__ using Wide128 = std::conditional_t<std::is_signed_v<Q>, __int128, unsigned __int128>;
  using W = std::conditional_t<sizeof(Q) <= 4, std::conditional_t<std::is_signed_v<Q>, int64_t, uint64_t>, Wide128>;
  const Q *a = context.lanes<Q>(in.arguments[1]), *b = context.lanes<Q>(in.arguments[2]);
  const Q* c = kAdds ? context.lanes<Q>(in.arguments[3]) : a;
  context.write(context.lanes<Q>(in.arguments[0]), [=](int lane) {
    const Q high = static_cast<Q>((static_cast<W>(a[lane]) * static_cast<W>(b[lane])) >> (8 * sizeof(Q)));
    return kAdds ? static_cast<Q>(static_cast<Unsigned<Q>>(high) + static_cast<Unsigned<Q>>(c[lane])) : high;
  });
}

template <bool kAdds>
void decode_wide(Module& module, Instruction& in) {
  const int size = type_bytes(in);
  set_argument(module, in, 0, 2 * size);
  set_argument(module, in, 1, size);
  set_argument(module, in, 2, size);
  if (kAdds) set_argument(module, in, 3, 2 * size);
  switch (in.type) {
    case Type::u16:
      in.handler = multiply_wide<uint16_t, kAdds>;
      break;
    case Type::s16:
      in.handler = multiply_wide<int16_t, kAdds>;
      break;
    case Type::u32:
      in.handler = multiply_wide<uint32_t, kAdds>;
      break;
    case Type::s32:
      in.handler = multiply_wide<int32_t, kAdds>;
      break;
    default:
      break;
  }
}

template <bool kAdds>
Handler high_product_of(Type type) {
  switch (type) {
    case Type::u16:
      return multiply_high<uint16_t, kAdds>;
    case Type::s16:
      return multiply_high<int16_t, kAdds>;
    case Type::u32:
      return multiply_high<uint32_t, kAdds>;
    case Type::s32:
      return multiply_high<int32_t, kAdds>;
    case Type::u64:
      return multiply_high<uint64_t, kAdds>;
    case Type::s64:
      return multiply_high<int64_t, kAdds>;
    default:
      return nullptr;
  }
}

}  // namespace

void decode_wide_product(Module& module, Instruction& in, bool adds) {
  adds ? decode_wide<true>(module, in) : decode_wide<false>(module, in);
}

Handler high_product(Type type, bool adds) {
  return adds ? high_product_of<true>(type) : high_product_of<false>(type);
}

}  // namespace sparrow::emulator
