// Instructions on the bits of a register: counted, found, extracted, inserted.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>

#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

struct Reverse {
  template <class Q>
  static Q apply(Q a) {
    Q result = 0;
    for (uint32_t bit = 0; bit < kBits<Q>; ++bit) result |= static_cast<Q>((a >> bit & 1) << (kBits<Q> - 1 - bit));
    return result;
  }
};

template <class Q>
void count_ones(Context& context, const Instruction& in) {
  const Q* a = context.lanes<Q>(in.arguments[1]);
  context.write(context.lanes<uint32_t>(in.arguments[0]),
                [=](int lane) { return static_cast<uint32_t>(std::popcount(a[lane])); });
}

template <class Q>
void count_leading_zeros(Context& context, const Instruction& in) {
  const Q* a = context.lanes<Q>(in.arguments[1]);
  context.write(context.lanes<uint32_t>(in.arguments[0]),
                [=](int lane) { return static_cast<uint32_t>(std::countl_zero(a[lane])); });
}

/// The position of the most significant bit that is not a sign bit; ~0 if there is none. variant 1: its distance from
/// the top.
template <class Q>
void find_top_bit(Context& context, const Instruction& in) {
  const Q* a = context.lanes<Q>(in.arguments[1]);
  const bool as_distance = in.variant;
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) {
    const Q v = a[lane];
    const auto magnitude = static_cast<Unsigned<Q>>(std::is_signed_v<Q> && v < 0 ? ~v : v);
    if (magnitude == 0) return ~0u;
    const uint32_t position = kBits<Q> - 1 - static_cast<uint32_t>(std::countl_zero(magnitude));
    return as_distance ? kBits<Q> - 1 - position : position;
  });
}

template <class Q>
Q low_bits(uint32_t count) {
  return count >= kBits<Q> ? static_cast<Q>(~Unsigned<Q>{0}) : static_cast<Q>((Unsigned<Q>{1} << count) - 1);
}

/// `length` bits of a from `position`; a signed type extends the field's top bit, or a's where the field goes beyond
/// it.
template <class Q>
void extract_field(Context& context, const Instruction& in) {
  const Q* a = context.lanes<Q>(in.arguments[1]);
  const auto *positions = context.lanes<uint32_t>(in.arguments[2]), *lengths = context.lanes<uint32_t>(in.arguments[3]);
  context.write_active(context.lanes<Q>(in.arguments[0]), [=](int lane) -> Q {
    const uint32_t position = positions[lane] & 255, length = lengths[lane] & 255;
    if (length == 0) return 0;
    const uint32_t available = position >= kBits<Q> ? 0 : std::min(length, kBits<Q> - position);
    const auto mask = static_cast<Unsigned<Q>>(low_bits<Q>(available));
    const auto shifted =
        position >= kBits<Q> ? Unsigned<Q>{0} : static_cast<Unsigned<Q>>(static_cast<Unsigned<Q>>(a[lane]) >> position);
    const bool negative = std::is_signed_v<Q> && (a[lane] >> std::min(position + length - 1, kBits<Q> - 1) & 1);
    return static_cast<Q>((shifted & mask) | (negative ? static_cast<Unsigned<Q>>(~mask) : Unsigned<Q>{0}));
  });
}

/// b with `length` bits from `position` replaced by the low bits of a.
template <class Q>
void insert_field(Context& context, const Instruction& in) {
  const Q *a = context.lanes<Q>(in.arguments[1]), *b = context.lanes<Q>(in.arguments[2]);
  const auto *positions = context.lanes<uint32_t>(in.arguments[3]), *lengths = context.lanes<uint32_t>(in.arguments[4]);
  context.write_active(context.lanes<Q>(in.arguments[0]), [=](int lane) -> Q {
    const uint32_t position = positions[lane] & 255;
    if (position >= kBits<Q>) return b[lane];
    const Q mask = low_bits<Q>(std::min(lengths[lane] & 255, kBits<Q> - position));
    return static_cast<Q>((b[lane] & ~(mask << position)) | (a[lane] & mask) << position);
  });
}

/// The position of the n-th set bit of a from `base` on (n < 0: downwards); ~0 if there is none.
void find_nth_set(Context& context, const Instruction& in) {
  const auto *a = context.lanes<uint32_t>(in.arguments[1]), *bases = context.lanes<uint32_t>(in.arguments[2]);
  const int32_t* ns = context.lanes<int32_t>(in.arguments[3]);
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) -> uint32_t {
    const int n = ns[lane], base = static_cast<int>(bases[lane]);
    if (n == 0) return base >= 0 && base < 32 && (a[lane] >> base & 1) ? bases[lane] : ~0u;
    int left = std::abs(n);
    for (int bit = base; bit >= 0 && bit<32; bit += n> 0 ? 1 : -1) {
      if ((a[lane] >> bit & 1) && --left == 0) return static_cast<uint32_t>(bit);
    }
    return ~0u;
  });
}

/// `length` ones from `position` on; both clamped to 32, or (variant 1) modulo 32.
void make_mask(Context& context, const Instruction& in) {
  const auto *positions = context.lanes<uint32_t>(in.arguments[1]), *lengths = context.lanes<uint32_t>(in.arguments[2]);
  const bool wraps = in.variant;
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) -> uint32_t {
    const uint32_t position = wraps ? positions[lane] & 31 : positions[lane],
                   length = wraps ? lengths[lane] & 31 : lengths[lane];
    return position >= 32 ? 0 : low_bits<uint32_t>(length) << position;
  });
}

/// The low `length` bits, sign or zero extended.
void extend_bits(Context& context, const Instruction& in) {
  const auto *values = context.lanes<uint32_t>(in.arguments[1]), *lengths = context.lanes<uint32_t>(in.arguments[2]);
  const bool wraps = in.variant, is_signed = is_signed_integer(in.type);
  context.write_active(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) -> uint32_t {
    const uint32_t length = wraps ? lengths[lane] & 31 : lengths[lane];
    const uint32_t mask = low_bits<uint32_t>(length);
    const bool negative = is_signed && length > 0 && length < 32 && (values[lane] >> (length - 1) & 1);
    return (values[lane] & mask) | (negative ? ~mask : 0);
  });
}

/// A handler for 32 and 64 bits, signed where the type is.
#define SPARROW_BY_TYPE(handler_template)              \
  (in.type == Type::s32   ? handler_template<int32_t>  \
   : in.type == Type::s64 ? handler_template<int64_t>  \
   : size == 4            ? handler_template<uint32_t> \
                          : handler_template<uint64_t>)

}  // namespace

bool decode_bit_fields(Module& module, Instruction& in) {
  const std::string& opcode = in.source->opcode;
  const int size = type_bytes(in);
  if (opcode == "popc" || opcode == "clz") {
    set_argument(module, in, 0, 4);
    set_argument(module, in, 1, size);
    if (opcode == "popc") {
      in.handler = size == 4 ? count_ones<uint32_t> : count_ones<uint64_t>;
    } else {
      in.handler = size == 4 ? count_leading_zeros<uint32_t> : count_leading_zeros<uint64_t>;
    }
  } else if (opcode == "bfind") {
    set_argument(module, in, 0, 4);
    set_argument(module, in, 1, size);
    in.variant = in.source->has("shiftamt");
    in.handler = SPARROW_BY_TYPE(find_top_bit);
  } else if (opcode == "bfe") {
    set_arguments(module, in, 2, size);
    set_argument(module, in, 2, 4);
    set_argument(module, in, 3, 4);
    in.handler = SPARROW_BY_TYPE(extract_field);
  } else if (opcode == "bfi") {
    set_arguments(module, in, 3, size);
    set_argument(module, in, 3, 4);
    set_argument(module, in, 4, 4);
    in.handler = size == 4 ? insert_field<uint32_t> : insert_field<uint64_t>;
  } else if (opcode == "brev") {
    set_arguments(module, in, 2, size);
    in.handler = size == 4 ? lanewise<uint32_t, Reverse, 1, true> : lanewise<uint64_t, Reverse, 1, true>;
  } else if (opcode == "bmsk" || opcode == "szext") {
    set_arguments(module, in, 3, 4);
    in.variant = in.source->has("wrap");
    in.handler = opcode == "bmsk" ? make_mask : extend_bits;
  } else if (opcode == "fns") {
    set_arguments(module, in, 4, 4);
    in.handler = find_nth_set;
  } else {
    return false;
  }
  return true;
}
#undef SPARROW_BY_TYPE

}  // namespace sparrow::emulator
