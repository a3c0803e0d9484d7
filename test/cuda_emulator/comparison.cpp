// setp, set, selp, slct: comparisons and the selections that follow them.
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

/// The last eight are for floating-point numbers: both are numbers, one is not, and the unordered forms, true when one
/// is not.
enum class Compare { eq, ne, lt, le, gt, ge, num, nan, equ, neu, ltu, leu, gtu, geu };

enum class Combine : uint8_t { none, with_and, with_or, with_xor };

template <class Q, Compare kCompare>
bool holds(Q a_value, Q b_value) {
  const Wide<Q> a = a_value, b = b_value;
  const bool unordered = a != a || b != b;
  switch (kCompare) {
    case Compare::eq:
      return a == b;
    case Compare::ne:
      return !unordered && a != b;
    case Compare::lt:
      return a < b;
    case Compare::le:
      return a <= b;
    case Compare::gt:
      return a > b;
    case Compare::ge:
      return a >= b;
    case Compare::num:
      return !unordered;
    case Compare::nan:
      return unordered;
    case Compare::equ:
      return unordered || a == b;
    case Compare::neu:
      return !(a == b);
    case Compare::ltu:
      return !(a >= b);
    case Compare::leu:
      return !(a > b);
    case Compare::gtu:
      return !(a <= b);
    case Compare::geu:
      return !(a < b);
  }
}

/// One bit a lane: bytes of all ones or all zeros, whose top bits the processor gathers.
template <class Q, Compare kCompare>
uint32_t compare_lanes(const Q* a, const Q* b) {
  alignas(32) uint8_t results[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) results[lane] = holds<Q, kCompare>(a[lane], b[lane]) ? 255 : 0;
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_load_si256(reinterpret_cast<const __m256i*>(results))));
}

uint32_t combined(const Context& context, const Instruction& in, uint32_t bits) {
  const auto combine = static_cast<Combine>(in.variant);
  if (combine == Combine::none) return bits;
  const uint32_t other = context.mask(in.arguments[3]);
  return combine == Combine::with_and ? bits & other : combine == Combine::with_or ? bits | other : bits ^ other;
}

/// setp p|q, a, b, c: p = (a ? b) combined with c, q = the same with the comparison negated. Arguments: p, a, b, c, q.
template <class Q, Compare kCompare>
void set_predicate(Context& context, const Instruction& in) {
  const uint32_t bits =
      compare_lanes<Q, kCompare>(context.lanes<Q>(in.arguments[1]), context.lanes<Q>(in.arguments[2]));
  const uint32_t first = combined(context, in, bits), second = combined(context, in, ~bits);
  context.write_mask(context.lanes<uint32_t>(in.arguments[0]), first);
  if (in.arguments[4].present) context.write_mask(context.lanes<uint32_t>(in.arguments[4]), second);
}

/// The same for pairs: p for the first values, q for the second.
template <class Q, Compare kCompare>
void set_predicates_of_pair(Context& context, const Instruction& in) {
  const auto *a = context.lanes<Pair<Q>>(in.arguments[1]), *b = context.lanes<Pair<Q>>(in.arguments[2]);
  uint32_t bits[2] = {};
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int k = 0; k < 2; ++k) bits[k] |= uint32_t{holds<Q, kCompare>(a[lane].value[k], b[lane].value[k])} << lane;
  }
  context.write_mask(context.lanes<uint32_t>(in.arguments[0]), bits[0]);
  if (in.arguments[4].present) context.write_mask(context.lanes<uint32_t>(in.arguments[4]), bits[1]);
}

/// set.f32 gives 1.0 or 0, set of another type all ones or 0.
template <class Q, Compare kCompare>
void set_value(Context& context, const Instruction& in) {
  const uint32_t bits = combined(
      context, in, compare_lanes<Q, kCompare>(context.lanes<Q>(in.arguments[1]), context.lanes<Q>(in.arguments[2])));
  if (in.type == Type::f16 || in.type == Type::bf16) {
    const uint16_t one = in.type == Type::f16 ? 0x3c00 : 0x3f80;
    context.write(context.lanes<uint16_t>(in.arguments[0]),
                  [=](int lane) { return bits >> lane & 1 ? one : uint16_t{0}; });
    return;
  }
  const uint32_t one = in.type == Type::f32 ? 0x3f800000u : ~0u;
  context.write(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) { return bits >> lane & 1 ? one : 0u; });
}

template <class Q, Compare kCompare>
void set_values_of_pair(Context& context, const Instruction& in) {
  const auto *a = context.lanes<Pair<Q>>(in.arguments[1]), *b = context.lanes<Pair<Q>>(in.arguments[2]);
  const uint32_t one = in.type == Type::f16x2 ? 0x3c00 : in.type == Type::bf16x2 ? 0x3f80 : 0xffff;
  context.write(context.lanes<uint32_t>(in.arguments[0]), [=](int lane) {
    uint32_t result = 0;
    for (int k = 0; k < 2; ++k) result |= holds<Q, kCompare>(a[lane].value[k], b[lane].value[k]) ? one << 16 * k : 0;
    return result;
  });
}

/// Which of the four handlers above an instruction needs.
template <Compare kCompare>
Handler handler_of(Type type, bool predicate) {
  if (type == Type::f16x2)
    return predicate ? set_predicates_of_pair<Half, kCompare> : set_values_of_pair<Half, kCompare>;
  if (type == Type::bf16x2)
    return predicate ? set_predicates_of_pair<BFloat16, kCompare> : set_values_of_pair<BFloat16, kCompare>;
  Handler handler = nullptr;
  with_type(type, [&](auto q) {
    using Q = decltype(q);
    if constexpr (!std::is_integral_v<Q> || kCompare <= Compare::ge) {
      handler = predicate ? set_predicate<Q, kCompare> : set_value<Q, kCompare>;
    }
  });
  return handler;
}

using Chooser = Handler (*)(Type, bool);

/// lo, ls, hi, hs are the comparisons of unsigned integers.
const std::unordered_map<std::string, Chooser> kComparisons = {
    {"eq", handler_of<Compare::eq>},   {"ne", handler_of<Compare::ne>},   {"lt", handler_of<Compare::lt>},
    {"le", handler_of<Compare::le>},   {"gt", handler_of<Compare::gt>},   {"ge", handler_of<Compare::ge>},
    {"lo", handler_of<Compare::lt>},   {"ls", handler_of<Compare::le>},   {"hi", handler_of<Compare::gt>},
    {"hs", handler_of<Compare::ge>},   {"num", handler_of<Compare::num>}, {"nan", handler_of<Compare::nan>},
    {"equ", handler_of<Compare::equ>}, {"neu", handler_of<Compare::neu>}, {"ltu", handler_of<Compare::ltu>},
    {"leu", handler_of<Compare::leu>}, {"gtu", handler_of<Compare::gtu>}, {"geu", handler_of<Compare::geu>}};

void decode_set(Module& module, Instruction& in) {
  const Source& source = *in.source;
  const bool predicate = source.opcode == "setp";
  const Type compared = predicate ? in.type : in.second_type;
  const auto chooser = kComparisons.find(source.modifiers.at(0));
  if (chooser == kComparisons.end()) return;
  in.variant = static_cast<uint8_t>(source.has("and")   ? Combine::with_and
                                    : source.has("or")  ? Combine::with_or
                                    : source.has("xor") ? Combine::with_xor
                                                        : Combine::none);
  set_argument(module, in, 0, predicate ? 0 : type_bytes(in));
  set_argument(module, in, 1, size_of(compared));
  set_argument(module, in, 2, size_of(compared));
  if (static_cast<Combine>(in.variant) != Combine::none) set_argument(module, in, 3, 0);
  if (const int second = source.operands[0].second_offset; second >= 0) {
    in.arguments[4].present = true;
    in.arguments[4].offset = static_cast<uint32_t>(second);
  }
  in.handler = chooser->second(compared, predicate);
}

template <class Q>
void select(Context& context, const Instruction& in) {
  const Q *a = context.lanes<Q>(in.arguments[1]), *b = context.lanes<Q>(in.arguments[2]);
  const uint32_t chosen = context.mask(in.arguments[3]);
  context.write(context.lanes<Q>(in.arguments[0]), [=](int lane) { return chosen >> lane & 1 ? a[lane] : b[lane]; });
}

template <class Q, class C>
void select_by_sign(Context& context, const Instruction& in) {
  const Q *a = context.lanes<Q>(in.arguments[1]), *b = context.lanes<Q>(in.arguments[2]);
  const C* c = context.lanes<C>(in.arguments[3]);
  context.write(context.lanes<Q>(in.arguments[0]), [=](int lane) { return c[lane] >= 0 ? a[lane] : b[lane]; });
}

enum class Class : uint8_t { finite, infinite, number, notanumber, normal, subnormal };

template <class Q>
bool is_of(Class kind, Q v) {
  switch (kind) {
    case Class::finite:
      return std::isfinite(v);
    case Class::infinite:
      return std::isinf(v);
    case Class::number:
      return !std::isnan(v);
    case Class::notanumber:
      return std::isnan(v);
    case Class::normal:
      return std::isnormal(v);
    case Class::subnormal:
      return std::fpclassify(v) == FP_SUBNORMAL;
  }
  return false;
}

template <class Q>
void test_property(Context& context, const Instruction& in) {
  const Q* a = context.lanes<Q>(in.arguments[1]);
  uint32_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) bits |= uint32_t{is_of(static_cast<Class>(in.variant), a[lane])} << lane;
  context.write_mask(context.lanes<uint32_t>(in.arguments[0]), bits);
}

void decode_test(Module& module, Instruction& in) {
  static const std::unordered_map<std::string, Class> kClasses = {
      {"finite", Class::finite},         {"infinite", Class::infinite}, {"number", Class::number},
      {"notanumber", Class::notanumber}, {"normal", Class::normal},     {"subnormal", Class::subnormal}};
  set_argument(module, in, 0, 0);
  set_argument(module, in, 1, type_bytes(in));
  in.variant = static_cast<uint8_t>(kClasses.at(in.source->modifiers.at(0)));
  in.handler = in.type == Type::f32 ? test_property<float> : test_property<double>;
}

}  // namespace

bool decode_comparison(Module& module, Instruction& in) {
  const std::string& opcode = in.source->opcode;
  const int size = type_bytes(in);
  if (opcode == "setp" || opcode == "set") {
    decode_set(module, in);
  } else if (opcode == "testp") {
    decode_test(module, in);
  } else if (opcode == "selp") {
    set_arguments(module, in, 3, size);
    set_argument(module, in, 3, 0);
    in.handler = size == 2 ? select<uint16_t> : size == 4 ? select<uint32_t> : size == 8 ? select<uint64_t> : nullptr;
  } else if (opcode == "slct") {
    set_arguments(module, in, 3, size);
    set_argument(module, in, 3, 4);
    const bool by_float = in.second_type == Type::f32;
    in.handler = size == 4   ? (by_float ? select_by_sign<uint32_t, float> : select_by_sign<uint32_t, int32_t>)
                 : size == 8 ? (by_float ? select_by_sign<uint64_t, float> : select_by_sign<uint64_t, int32_t>)
                             : nullptr;
  } else {
    return false;
  }
  return true;
}

}  // namespace sparrow::emulator
