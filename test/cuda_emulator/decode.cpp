// Decoding: choose a handler per instruction and turn operands into offsets.  Arithmetic, comparison and conversion
// handlers.
#include <immintrin.h>
#include <limits>
#include <type_traits>
#include "emulator.hpp"
using namespace std;
template <class Q>
constexpr bool isI = is_integral<Q>::value;
template <class Q>
using Up = conditional_t<is_same<Q, H>::value || is_same<Q, BF>::value, float, Q>;
struct X2H {
  H v[2];
  X2H() {}
};
struct X2B {
  BF v[2];
  X2B() {}
};
struct X2F {
  float v[2];
  X2F() {}
};

// call f with a value of the C++ type that stands for t
template <class F>
static bool disp(T t, F f) {
  switch (t) {
    case B8:
    case U8:
      f(u8{});
      break;
    case S8:
      f(int8_t{});
      break;
    case B16:
    case U16:
      f(u16{});
      break;
    case S16:
      f(int16_t{});
      break;
    case F16:
      f(H{});
      break;
    case BF16:
      f(BF{});
      break;
    case B32:
    case U32:
      f(u32{});
      break;
    case S32:
      f(int32_t{});
      break;
    case F32:
      f(float{});
      break;
    case B64:
    case U64:
      f(u64{});
      break;
    case S64:
      f(s64{});
      break;
    case F64:
      f(double{});
      break;
    default:
      return false;
  }
  return true;
}

Arg arg_of(Module& M, const Op& o, int size) {
  Arg a;
  a.neg = o.neg;
  if (o.k == Op::REG) {
    if (o.size != size) die("operand size mismatch: register of %d bytes where %d are needed", o.size, size);
    a.off = o.off;
    a.size = size;
    return a;
  }
  if (o.k == Op::IMM) {
    a.bank = 1;
    a.size = size;
    u64 v = size == 0 ? (o.imm ? ~0u : 0) : o.imm;
    if (size && size < 8) v &= (1ull << 8 * size) - 1;
    auto key = make_pair(v, size);
    auto it = M.cidx.find(key);
    if (it == M.cidx.end()) {
      u32 off = M.cpool.size();
      int z = size ? size : 4;
      M.cpool.resize(off + 32 * z);
      for (int l = 0; l < 32; l++) memcpy(&M.cpool[off + l * z], &v, min(z, 8));
      it = M.cidx.emplace(key, off).first;
    }
    a.off = it->second;
    return a;
  }
  if (o.k == Op::SINK) {
    a.off = 0;
    a.size = size;
    a.bank = 2;
    return a;
  }
  die("operand kind %d where a value is needed", (int)o.k);
}
// ---------------------------------------------------------------- handlers
static void h_nop(X&, const Ins&) {}
static void h_bad(X& x, const Ins&) {
  fault(x, "unsupported PTX instruction");
}
static void h_trap(X& x, const Ins&) {
  fault(x, "trap");
}
template <class Q, class O>
void h1(X& x, const Ins& i) {
  Q* d = x.p<Q>(i.a[0]);
  const Q* a = x.p<Q>(i.a[1]);
  put(x, d, [=](int l) { return O::f(a[l]); });
}
template <class Q, class O>
void h1s(X& x, const Ins& i) {
  Q* d = x.p<Q>(i.a[0]);
  const Q* a = x.p<Q>(i.a[1]);
  put_slow(x, d, [=](int l) { return O::f(a[l]); });
}
template <class Q, class O>
void h2(X& x, const Ins& i) {
  Q* d = x.p<Q>(i.a[0]);
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]);
  put(x, d, [=](int l) { return O::f(a[l], b[l]); });
}
template <class Q, class O>
void h2s(X& x, const Ins& i) {
  Q* d = x.p<Q>(i.a[0]);
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]);
  put_slow(x, d, [=](int l) { return O::f(a[l], b[l]); });
}
template <class Q, class O>
void h3(X& x, const Ins& i) {
  Q* d = x.p<Q>(i.a[0]);
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]), *c = x.p<Q>(i.a[3]);
  put(x, d, [=](int l) { return O::f(a[l], b[l], c[l]); });
}
template <class Q>
static inline Q satq(Q v) {
  return v > Q(0) ? (v < Q(1) ? v : Q(1)) : Q(0);
}  // NaN -> 0
// arithmetic in the wider type for half and bf16
#define U_ using U = Up<Q>
struct Add {
  template <class Q>
  static Q f(Q a, Q b) {
    U_;
    return Q(U(a) + U(b));
  }
};
struct Sub {
  template <class Q>
  static Q f(Q a, Q b) {
    U_;
    return Q(U(a) - U(b));
  }
};
struct Mul {
  template <class Q>
  static Q f(Q a, Q b) {
    U_;
    if constexpr (isI<Q>)
      return Q((make_unsigned_t<Q>)a * (u64)(make_unsigned_t<Q>)b);
    else
      return Q(U(a) * U(b));
  }
};
struct Mad {
  template <class Q>
  static Q f(Q a, Q b, Q c) {
    U_;
    if constexpr (isI<Q>) {
      using V = make_unsigned_t<Q>;
      if constexpr (sizeof(Q) == 4)
        return Q((u32)a * (u32)b + (u32)c);
      else
        return Q((V)a * (u64)(V)b + (V)c);
    } else if constexpr (is_same<Q, H>::value)
      return Q((double)(float)a * (double)(float)b + (double)(float)c);
    else if constexpr (is_same<Q, BF>::value)
      return Q((float)((double)(float)a * (double)(float)b + (double)(float)c));
    else
      return Q(__builtin_fma(U(a), U(b), U(c)));
  }
};
template <>
inline float Mad::f<float>(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
template <class O>
struct Sat {
  template <class Q>
  static Q f(Q a, Q b) {
    U_;
    return Q(satq<U>(U(O::f(a, b))));
  }
  template <class Q>
  static Q f(Q a, Q b, Q c) {
    U_;
    return Q(satq<U>(U(O::f(a, b, c))));
  }
};
template <class O>
struct Relu {
  template <class Q>
  static Q f(Q a, Q b) {
    U_;
    U r = O::f(a, b);
    return Q(r > U(0) ? r : U(0));
  }
  template <class Q>
  static Q f(Q a, Q b, Q c) {
    U_;
    U r = O::f(a, b, c);
    return Q(r > U(0) ? r : r != r ? r : U(0));
  }
};
struct AddSatI {
  static int32_t f(int32_t a, int32_t b) {
    s64 r = (s64)a + b;
    return r > INT32_MAX ? INT32_MAX : r < INT32_MIN ? INT32_MIN : r;
  }
};
struct SubSatI {
  static int32_t f(int32_t a, int32_t b) {
    s64 r = (s64)a - b;
    return r > INT32_MAX ? INT32_MAX : r < INT32_MIN ? INT32_MIN : r;
  }
};
struct Div {
  template <class Q>
  static Q f(Q a, Q b) {
    if constexpr (isI<Q>)
      return b == 0 ? Q(-1) : is_signed<Q>::value && b == Q(-1) ? Q(0 - (u64)a) : Q(a / b);
    else
      return Q(Up<Q>(a) / Up<Q>(b));
  }
};
struct Rem {
  template <class Q>
  static Q f(Q a, Q b) {
    return b == 0 ? a : is_signed<Q>::value && b == Q(-1) ? Q(0) : Q(a % b);
  }
};
struct Min {
  template <class Q>
  static Q f(Q a, Q b) {
    U_;
    U x = a, y = b;
    if constexpr (isI<Q>)
      return x < y ? x : y;
    else {
      U r = x < y ? x : y;
      r = x == y && signbit(x) ? x : r;
      r = x != x ? y : r;
      return Q(y != y ? x : r);
    }
  }
};
struct Max {
  template <class Q>
  static Q f(Q a, Q b) {
    U_;
    U x = a, y = b;
    if constexpr (isI<Q>)
      return x > y ? x : y;
    else {
      U r = x > y ? x : y;
      r = x == y && !signbit(x) ? x : r;
      r = x != x ? y : r;
      return Q(y != y ? x : r);
    }
  }
};
struct MinN {
  template <class Q>
  static Q f(Q a, Q b) {
    U_;
    U x = a, y = b;
    return x != x ? a : y != y ? b : Min::f(a, b);
  }
};
struct MaxN {
  template <class Q>
  static Q f(Q a, Q b) {
    U_;
    U x = a, y = b;
    return x != x ? a : y != y ? b : Max::f(a, b);
  }
};
struct Min3 {
  template <class Q>
  static Q f(Q a, Q b, Q c) {
    return Min::f(Min::f(a, b), c);
  }
};
struct Max3 {
  template <class Q>
  static Q f(Q a, Q b, Q c) {
    return Max::f(Max::f(a, b), c);
  }
};
struct Abs {
  template <class Q>
  static Q f(Q a) {
    U_;
    if constexpr (isI<Q>)
      return a < 0 ? Q(0 - (u64)a) : a;
    else
      return Q(U(fabs(U(a))));
  }
};
struct Neg {
  template <class Q>
  static Q f(Q a) {
    U_;
    if constexpr (isI<Q>)
      return Q(0 - (u64)a);
    else
      return Q(-U(a));
  }
};
struct And {
  template <class Q>
  static Q f(Q a, Q b) {
    return a & b;
  }
};
struct Or {
  template <class Q>
  static Q f(Q a, Q b) {
    return a | b;
  }
};
struct Xor {
  template <class Q>
  static Q f(Q a, Q b) {
    return a ^ b;
  }
};
struct Not {
  template <class Q>
  static Q f(Q a) {
    return ~a;
  }
};
struct Cnot {
  template <class Q>
  static Q f(Q a) {
    return a == 0;
  }
};
struct Rcp {
  template <class Q>
  static Q f(Q a) {
    return Q(1) / a;
  }
};
struct Sqrt {
  template <class Q>
  static Q f(Q a) {
    return Q(sqrt(a));
  }
};
struct Rsqrt {
  template <class Q>
  static Q f(Q a) {
    return Q(1) / Q(sqrt(a));
  }
};
struct Ex2 {
  template <class Q>
  static Q f(Q a) {
    return Q(exp2f((float)a));
  }
};
struct Lg2 {
  template <class Q>
  static Q f(Q a) {
    return Q(log2f((float)a));
  }
};
struct Sin {
  template <class Q>
  static Q f(Q a) {
    return Q(sinf((float)a));
  }
};
struct Cos {
  template <class Q>
  static Q f(Q a) {
    return Q(cosf((float)a));
  }
};
struct Tanh {
  template <class Q>
  static Q f(Q a) {
    return Q(tanhf((float)a));
  }
};
// a pair of halves at a time
template <class O>
struct Pair {
  template <class P>
  static P f(P a) {
    P r;
    for (int k = 0; k < 2; k++) r.v[k] = O::f(a.v[k]);
    return r;
  }
  template <class P>
  static P f(P a, P b) {
    P r;
    for (int k = 0; k < 2; k++) r.v[k] = O::f(a.v[k], b.v[k]);
    return r;
  }
  template <class P>
  static P f(P a, P b, P c) {
    P r;
    for (int k = 0; k < 2; k++) r.v[k] = O::f(a.v[k], b.v[k], c.v[k]);
    return r;
  }
};
template <class O>
Handler pick1(T t) {
  Handler h = nullptr;
  if (t == F16X2) return h1<X2H, Pair<O>>;
  if (t == BF16X2) return h1<X2B, Pair<O>>;
  disp(t, [&](auto q) { h = h1<decltype(q), O>; });
  return h;
}
template <class O>
Handler pick2(T t) {
  Handler h = nullptr;
  if (t == F16X2) return h2<X2H, Pair<O>>;
  if (t == BF16X2) return h2<X2B, Pair<O>>;
  if (t == F32X2) return h2<X2F, Pair<O>>;
  disp(t, [&](auto q) { h = h2<decltype(q), O>; });
  return h;
}
template <class O>
Handler pick3(T t) {
  Handler h = nullptr;
  if (t == F16X2) return h3<X2H, Pair<O>>;
  if (t == BF16X2) return h3<X2B, Pair<O>>;
  if (t == F32X2) return h3<X2F, Pair<O>>;
  disp(t, [&](auto q) { h = h3<decltype(q), O>; });
  return h;
}
template <class O>
Handler pickf1(T t) {
  switch (t) {
    case F32:
      return h1<float, O>;
    case F64:
      return h1<double, O>;
    default:
      return nullptr;
  }
}
template <class O>
Handler pickf1s(T t) {
  switch (t) {
    case F32:
      return h1s<float, O>;
    case F64:
      return h1s<double, O>;
    case F16:
      return h1s<H, O>;
    case BF16:
      return h1s<BF, O>;
    case F16X2:
      return h1s<X2H, Pair<O>>;
    case BF16X2:
      return h1s<X2B, Pair<O>>;
    default:
      return nullptr;
  }
}
template <class O>
Handler pickf2(T t) {
  switch (t) {
    case F32:
      return h2<float, O>;
    case F64:
      return h2<double, O>;
    case F16:
      return h2<H, O>;
    case BF16:
      return h2<BF, O>;
    case F16X2:
      return h2<X2H, Pair<O>>;
    case BF16X2:
      return h2<X2B, Pair<O>>;
    default:
      return nullptr;
  }
}
template <class O>
Handler pickf3(T t) {
  switch (t) {
    case F32:
      return h3<float, O>;
    case F64:
      return h3<double, O>;
    case F16:
      return h3<H, O>;
    case BF16:
      return h3<BF, O>;
    case F16X2:
      return h3<X2H, Pair<O>>;
    case BF16X2:
      return h3<X2B, Pair<O>>;
    default:
      return nullptr;
  }
}
template <class O>
Handler picki1(T t) {
  Handler h = nullptr;
  disp(t, [&](auto q) {
    if constexpr (isI<decltype(q)>) h = h1<decltype(q), O>;
  });
  return h;
}
template <class O>
Handler picki2(T t) {
  Handler h = nullptr;
  disp(t, [&](auto q) {
    if constexpr (isI<decltype(q)>) h = h2<decltype(q), O>;
  });
  return h;
}
template <class O>
Handler picki2s(T t) {
  Handler h = nullptr;
  disp(t, [&](auto q) {
    if constexpr (isI<decltype(q)>) h = h2s<decltype(q), O>;
  });
  return h;
}
// directed rounding: the hardware's own rounding control
template <class Q>
__attribute__((noinline)) static void rounded(X& x, const Ins& i, unsigned mode, int op) {
  Q* d = x.p<Q>(i.a[0]);
  const Q *a = x.p<Q>(i.a[1]), *b = i.a[2].size ? x.p<Q>(i.a[2]) : a, *c = i.a[3].size ? x.p<Q>(i.a[3]) : a;
  unsigned old = _mm_getcsr();
  _mm_setcsr((old & ~0x6000u) | mode);
  Q r[32];
  for (int l = 0; l < 32; l++) {
    volatile Q u = a[l], v = b[l], w = c[l];
    volatile Q z;
    switch (op) {
      case 0:
        z = u + v;
        break;
      case 1:
        z = u - v;
        break;
      case 2:
        z = u * v;
        break;
      case 3:
        z = __builtin_fma(u, v, w);
        if (sizeof(Q) == 4) z = __builtin_fmaf(u, v, w);
        break;
      case 4:
        z = u / v;
        break;
      case 5:
        z = sizeof(Q) == 4 ? (Q)__builtin_sqrtf(u) : (Q)__builtin_sqrt(u);
        break;
      default:
        z = Q(1) / u;
    }
    r[l] = z;
  }
  _mm_setcsr(old);
  if (i.fl & SAT)
    for (auto& v : r) v = satq(v);
  put(x, d, [&](int l) { return r[l]; });
}
template <class Q, int OPC>
static void h_round(X& x, const Ins& i) {
  rounded<Q>(x, i, i.fl & RZ ? 0x6000 : i.fl & RM ? 0x2000 : 0x4000, OPC);
}
template <class Q>
static void h_mulwide(X& x, const Ins& i) {
  using W = conditional_t<sizeof(Q) == 2, conditional_t<is_signed<Q>::value, int32_t, u32>,
                          conditional_t<is_signed<Q>::value, s64, u64>>;
  W* d = x.p<W>(i.a[0]);
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]);
  put(x, d, [=](int l) { return W(W(a[l]) * W(b[l])); });
}
template <class Q>
static void h_madwide(X& x, const Ins& i) {
  using W = conditional_t<sizeof(Q) == 2, conditional_t<is_signed<Q>::value, int32_t, u32>,
                          conditional_t<is_signed<Q>::value, s64, u64>>;
  using V = make_unsigned_t<W>;
  W* d = x.p<W>(i.a[0]);
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]);
  const W* c = x.p<W>(i.a[3]);
  put(x, d, [=](int l) { return W(V(W(a[l])) * V(W(b[l])) + V(c[l])); });
}
template <class Q, bool MAD>
static void h_mulhi(X& x, const Ins& i) {
  using W = conditional_t<sizeof(Q) <= 4, conditional_t<is_signed<Q>::value, s64, u64>,
                          conditional_t<is_signed<Q>::value, __int128, unsigned __int128>>;
  Q* d = x.p<Q>(i.a[0]);
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]), *c = MAD ? x.p<Q>(i.a[3]) : a;
  put(x, d, [=](int l) {
    Q h = Q((W(a[l]) * W(b[l])) >> (8 * sizeof(Q)));
    return MAD ? Q((make_unsigned_t<Q>)h + (make_unsigned_t<Q>)c[l]) : h;
  });
}
template <class Q, bool LEFT>
static void h_shift(X& x, const Ins& i) {
  const u32 W = 8 * sizeof(Q);
  Q* d = x.p<Q>(i.a[0]);
  const Q* a = x.p<Q>(i.a[1]);
  const u32* b = x.p<u32>(i.a[2]);
  put(x, d, [=](int l) -> Q {
    u32 n = b[l];
    if (LEFT) return n >= W ? Q(0) : Q((make_unsigned_t<Q>)a[l] << (n & (W - 1)));
    if (is_signed<Q>::value) return Q(a[l] >> (n >= W ? W - 1 : n));
    return n >= W ? Q(0) : Q(a[l] >> (n & (W - 1)));
  });
}
// comparisons
enum Cmp { EQ, NE, LT, LE, GT, GE, NUM, NAN_, EQU, NEU, LTU, LEU, GTU, GEU };
template <class Q, int C>
static inline bool cmp1(Q a_, Q b_) {
  U_;
  U a = a_, b = b_;
  if constexpr (isI<Q>)
    return C == EQ ? a == b : C == NE ? a != b : C == LT ? a < b : C == LE ? a <= b : C == GT ? a > b : a >= b;
  else {
    bool un = !(a == a && b == b);
    switch (C) {
      case EQ:
        return a == b;
      case NE:
        return !un && a != b;
      case LT:
        return a < b;
      case LE:
        return a <= b;
      case GT:
        return a > b;
      case GE:
        return a >= b;
      case NUM:
        return !un;
      case NAN_:
        return un;
      case EQU:
        return un || a == b;
      case NEU:
        return !(a == b);
      case LTU:
        return !(a >= b);
      case LEU:
        return !(a > b);
      case GTU:
        return !(a <= b);
      default:
        return !(a < b);
    }
  }
}
template <class Q, int C>
static inline u32 cmpmask(const Q* a, const Q* b) {
  alignas(32) u8 t[32];
  for (int l = 0; l < 32; l++) t[l] = cmp1<Q, C>(a[l], b[l]) ? 255 : 0;
  return _mm256_movemask_epi8(_mm256_load_si256((const __m256i*)t));
}
#ifdef __AVX2__
template <int C>
static inline u32 cmpmask32(const u32* a, const u32* b, bool sg) {
  u32 r = 0;
  const __m256i s = _mm256_set1_epi32(sg ? 0 : INT32_MIN);
  for (int k = 0; k < 4; k++) {
    __m256i x = _mm256_loadu_si256((const __m256i*)(a + 8 * k)), y = _mm256_loadu_si256((const __m256i*)(b + 8 * k));
    __m256i q = C == EQ || C == NE   ? _mm256_cmpeq_epi32(x, y)
                : C == GT || C == LE ? _mm256_cmpgt_epi32(_mm256_xor_si256(x, s), _mm256_xor_si256(y, s))
                                     : _mm256_cmpgt_epi32(_mm256_xor_si256(y, s), _mm256_xor_si256(x, s));
    r |= (u32)_mm256_movemask_ps(_mm256_castsi256_ps(q)) << (8 * k);
  }
  return C == NE || C == LE || C == GE ? ~r : r;
}
template <int C>
static inline u32 cmpmaskf(const float* a, const float* b) {
  u32 r = 0;
  constexpr int P = C == EQ     ? _CMP_EQ_OQ
                    : C == NE   ? _CMP_NEQ_OQ
                    : C == LT   ? _CMP_LT_OQ
                    : C == LE   ? _CMP_LE_OQ
                    : C == GT   ? _CMP_GT_OQ
                    : C == GE   ? _CMP_GE_OQ
                    : C == NUM  ? _CMP_ORD_Q
                    : C == NAN_ ? _CMP_UNORD_Q
                    : C == EQU  ? _CMP_EQ_UQ
                    : C == NEU  ? _CMP_NEQ_UQ
                    : C == LTU  ? _CMP_NGE_UQ
                    : C == LEU  ? _CMP_NGT_UQ
                    : C == GTU  ? _CMP_NLE_UQ
                                : _CMP_NLT_UQ;
  for (int k = 0; k < 4; k++)
    r |= (u32)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(a + 8 * k), _mm256_loadu_ps(b + 8 * k), P)) << (8 * k);
  return r;
}
#endif
template <class Q, int C>
static inline u32 compare(X& x, const Ins& i) {
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]);
#ifdef __AVX2__
  if constexpr (is_same<Q, float>::value)
    return cmpmaskf<C>(a, b);
  else if constexpr (sizeof(Q) == 4 && isI<Q> && C <= GE)
    return cmpmask32<C>((const u32*)a, (const u32*)b, is_signed<Q>::value);
  else
#endif
    return cmpmask<Q, C>(a, b);
}
// setp: n = combining operation (0 none, 1 and, 2 or, 3 xor); a[3] its predicate; a[4] the second destination (size 255
// when present)
template <class Q, int C>
static void h_setp(X& x, const Ins& i) {
  u32 r = compare<Q, C>(x, i), q = ~r;
  if (i.n) {
    u32 c = x.pr(i.a[3]);
    if (i.n == 1)
      r &= c, q &= c;
    else if (i.n == 2)
      r |= c, q |= c;
    else
      r ^= c, q ^= c;
  }
  u32* d = x.p<u32>(i.a[0]);
  *d = (*d & ~x.m) | (r & x.m);
  if (i.a[4].size == 255) {
    u32* e = x.p<u32>(i.a[4]);
    *e = (*e & ~x.m) | (q & x.m);
  }
}
template <class Q, int C>
static void h_set(X& x, const Ins& i) {
  u32 r = compare<Q, C>(x, i);
  if (i.n) {
    u32 c = x.pr(i.a[3]);
    r = i.n == 1 ? r & c : i.n == 2 ? r | c : r ^ c;
  }
  if (i.t == F16 || i.t == BF16) {
    u16 one = i.t == F16 ? 0x3c00 : 0x3f80;
    put(x, x.p<u16>(i.a[0]), [=](int l) { return r >> l & 1 ? one : u16(0); });
    return;
  }
  u32 one = i.t == F32 ? 0x3f800000u : ~0u;
  put(x, x.p<u32>(i.a[0]), [=](int l) { return r >> l & 1 ? one : 0u; });
}
template <class P, int C>
static void h_setpair(X& x, const Ins& i) {
  const P *a = x.p<P>(i.a[1]), *b = x.p<P>(i.a[2]);
  u32 one = i.t == F16X2 ? 0x3c00 : i.t == BF16X2 ? 0x3f80 : 0xffff;
  put(x, x.p<u32>(i.a[0]), [=](int l) {
    u32 r = 0;
    for (int k = 0; k < 2; k++)
      if (cmp1<decltype(a[l].v[0] + 0.f), C>(a[l].v[k], b[l].v[k])) r |= one << 16 * k;
    return r;
  });
}
template <class P, int C>
static void h_setppair(X& x, const Ins& i) {
  const P *a = x.p<P>(i.a[1]), *b = x.p<P>(i.a[2]);
  u32 r[2] = {};
  LANES for (int k = 0; k < 2; k++) if (cmp1<float, C>(a[l].v[k], b[l].v[k])) r[k] |= 1u << l;
  u32* d = x.p<u32>(i.a[0]);
  *d = (*d & ~x.m) | (r[0] & x.m);
  if (i.a[4].size == 255) {
    u32* e = x.p<u32>(i.a[4]);
    *e = (*e & ~x.m) | (r[1] & x.m);
  }
}
template <template <class, int> class>
struct none;
#define CMPSEL(H, Q)   \
  switch (c) {         \
    case EQ:           \
      return H<Q, EQ>; \
    case NE:           \
      return H<Q, NE>; \
    case LT:           \
      return H<Q, LT>; \
    case LE:           \
      return H<Q, LE>; \
    case GT:           \
      return H<Q, GT>; \
    case GE:           \
      return H<Q, GE>; \
    default:           \
      break;           \
  }
#define CMPSELF(H, Q)       \
  CMPSEL(H, Q) switch (c) { \
    case NUM:               \
      return H<Q, NUM>;     \
    case NAN_:              \
      return H<Q, NAN_>;    \
    case EQU:               \
      return H<Q, EQU>;     \
    case NEU:               \
      return H<Q, NEU>;     \
    case LTU:               \
      return H<Q, LTU>;     \
    case LEU:               \
      return H<Q, LEU>;     \
    case GTU:               \
      return H<Q, GTU>;     \
    case GEU:               \
      return H<Q, GEU>;     \
    default:                \
      break;                \
  }
static Handler sel_setp(T t, int c) {
  switch (t) {
    case B16:
    case U16:
      CMPSEL(h_setp, u16) break;
    case S16:
      CMPSEL(h_setp, int16_t) break;
    case B32:
    case U32:
      CMPSEL(h_setp, u32) break;
    case S32:
      CMPSEL(h_setp, int32_t) break;
    case B64:
    case U64:
      CMPSEL(h_setp, u64) break;
    case S64:
      CMPSEL(h_setp, s64) break;
    case F32:
      CMPSELF(h_setp, float) break;
    case F64:
      CMPSELF(h_setp, double) break;
    case F16:
      CMPSELF(h_setp, H) break;
    case BF16:
      CMPSELF(h_setp, BF) break;
    case F16X2:
      CMPSELF(h_setppair, X2H) break;
    case BF16X2:
      CMPSELF(h_setppair, X2B) break;
    default:
      break;
  }
  return nullptr;
}
static Handler sel_set(T t, int c) {
  switch (t) {
    case B32:
    case U32:
      CMPSEL(h_set, u32) break;
    case S32:
      CMPSEL(h_set, int32_t) break;
    case U16:
      CMPSEL(h_set, u16) break;
    case S16:
      CMPSEL(h_set, int16_t) break;
    case F32:
      CMPSELF(h_set, float) break;
    case F64:
      CMPSELF(h_set, double) break;
    case F16:
      CMPSELF(h_set, H) break;
    case BF16:
      CMPSELF(h_set, BF) break;
    case F16X2:
      CMPSELF(h_setpair, X2H) break;
    case BF16X2:
      CMPSELF(h_setpair, X2B) break;
    default:
      break;
  }
  return nullptr;
}
// selection and moves
template <class Q>
static void h_selp(X& x, const Ins& i) {
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]);
  u32 c = x.pr(i.a[3]);
  put(x, x.p<Q>(i.a[0]), [=](int l) { return c >> l & 1 ? a[l] : b[l]; });
}
template <class Q>
static void h_slct(X& x, const Ins& i) {
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]);
  if (i.t2 == F32) {
    const float* c = x.p<float>(i.a[3]);
    put(x, x.p<Q>(i.a[0]), [=](int l) { return c[l] >= 0 ? a[l] : b[l]; });
  } else {
    const int* c = x.p<int>(i.a[3]);
    put(x, x.p<Q>(i.a[0]), [=](int l) { return c[l] >= 0 ? a[l] : b[l]; });
  }
}
template <class Q>
static void h_mov(X& x, const Ins& i) {
  const Q* a = x.p<Q>(i.a[1]);
  put(x, x.p<Q>(i.a[0]), [=](int l) { return a[l]; });
}
static u64 clk(X& x, const Ins& i) {
  if (i.n == 1) return x.insts / 32 + x.w->steps;
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}
template <class Q>
static void h_movclk(X& x, const Ins& i) {
  u64 v = clk(x, i);
  put(x, x.p<Q>(i.a[0]), [=](int) { return (Q)v; });
}
template <int OPC>
static void h_pred(X& x, const Ins& i) {
  u32 a = x.pr(i.a[1]), r;
  if (OPC == 0)
    r = a;
  else if (OPC == 1)
    r = ~a;
  else {
    u32 b = x.pr(i.a[2]);
    r = OPC == 2 ? a & b : OPC == 3 ? a | b : a ^ b;
  }
  u32* d = x.p<u32>(i.a[0]);
  *d = (*d & ~x.m) | (r & x.m);
}
// vector <-> scalar moves; element and whole sizes from the cold operands
static void h_pack(X& x, const Ins& i) {
  const Op &d = i.c->o[0], &s = i.c->o[1];
  int n = s.v.size(), z = tsize(i.t) / n;
  char* D = x.base[0] + d.off;
  char t[32 * 16];
  for (int k = 0; k < n; k++) {
    const Arg& a = k < 4 ? i.a[1 + k] : i.a[4];
    const char* A = x.base[a.bank] + a.off;
    for (int l = 0; l < 32; l++) memcpy(t + l * z * n + k * z, A + l * z, z);
  }
  int w = z * n;
  for (u32 r = x.m; r; r &= r - 1) {
    int l = __builtin_ctz(r);
    memcpy(D + l * w, t + l * w, w);
  }
}
static void h_pack22(X& x, const Ins& i) {
  const u16 *a = x.p<u16>(i.a[1]), *b = x.p<u16>(i.a[2]);
  put(x, x.p<u32>(i.a[0]), [=](int l) { return (u32)a[l] | (u32)b[l] << 16; });
}
static void h_pack44(X& x, const Ins& i) {
  const u32 *a = x.p<u32>(i.a[1]), *b = x.p<u32>(i.a[2]);
  put(x, x.p<u64>(i.a[0]), [=](int l) { return (u64)a[l] | (u64)b[l] << 32; });
}
static void h_unpack(X& x, const Ins& i) {
  const Op& d = i.c->o[0];
  int n = d.v.size(), z = tsize(i.t) / n, w = z * n;
  const Arg& a = i.a[4];
  char t[32 * 16];
  memcpy(t, x.base[a.bank] + a.off, 32 * w);
  for (int k = 0; k < n; k++)
    if (d.v[k].k == Op::REG) {
      char* D = x.base[0] + d.v[k].off;
      for (u32 r = x.m; r; r &= r - 1) {
        int l = __builtin_ctz(r);
        memcpy(D + l * z, t + l * w + k * z, z);
      }
    }
}
// bit operations
static void h_popc32(X& x, const Ins& i) {
  const u32* a = x.p<u32>(i.a[1]);
  put(x, x.p<u32>(i.a[0]), [=](int l) { return (u32)__builtin_popcount(a[l]); });
}
static void h_popc64(X& x, const Ins& i) {
  const u64* a = x.p<u64>(i.a[1]);
  put(x, x.p<u32>(i.a[0]), [=](int l) { return (u32)__builtin_popcountll(a[l]); });
}
static void h_clz32(X& x, const Ins& i) {
  const u32* a = x.p<u32>(i.a[1]);
  put(x, x.p<u32>(i.a[0]), [=](int l) { return a[l] ? (u32)__builtin_clz(a[l]) : 32u; });
}
static void h_clz64(X& x, const Ins& i) {
  const u64* a = x.p<u64>(i.a[1]);
  put(x, x.p<u32>(i.a[0]), [=](int l) { return a[l] ? (u32)__builtin_clzll(a[l]) : 64u; });
}
template <class Q>
static void h_bfind(X& x, const Ins& i) {
  const Q* a = x.p<Q>(i.a[1]);
  bool sh = i.n;
  put_slow(x, x.p<u32>(i.a[0]), [=](int l) {
    Q v = a[l];
    u64 u = is_signed<Q>::value && v < 0 ? (u64)(make_unsigned_t<Q>)~v : (u64)(make_unsigned_t<Q>)v;
    u32 r = u ? 63 - __builtin_clzll(u) : ~0u;
    return sh && r != ~0u ? 8 * (u32)sizeof(Q) - 1 - r : r;
  });
}
template <class Q>
static void h_brev(X& x, const Ins& i) {
  const Q* a = x.p<Q>(i.a[1]);
  put_slow(x, x.p<Q>(i.a[0]), [=](int l) {
    Q v = a[l], r = 0;
    for (size_t k = 0; k < 8 * sizeof(Q); k++) r |= (v >> k & 1) << (8 * sizeof(Q) - 1 - k);
    return r;
  });
}
template <class Q>
static void h_bfe(X& x, const Ins& i) {
  const Q* a = x.p<Q>(i.a[1]);
  const u32 *b = x.p<u32>(i.a[2]), *c = x.p<u32>(i.a[3]);
  const int W = 8 * sizeof(Q);
  put_slow(x, x.p<Q>(i.a[0]), [=](int l) {
    int p = b[l] & 255, n = c[l] & 255;
    Q v = a[l];
    if (n == 0) return Q(0);
    int msb = min(p + n - 1, W - 1);
    bool sb = is_signed<Q>::value && (v >> msb & 1);
    using V = make_unsigned_t<Q>;
    V r = p >= W ? V(0) : V(V(v) >> p);
    int have = p >= W ? 0 : min(n, W - p);
    V mask = have >= W ? ~V(0) : have <= 0 ? V(0) : V((V(1) << have) - 1);
    r &= mask;
    if (sb) r |= ~mask;
    return Q(r);
  });
}
template <class Q>
static void h_bfi(X& x, const Ins& i) {
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]);
  const u32 *c = x.p<u32>(i.a[3]), *e = x.p<u32>(i.a[4]);
  const int W = 8 * sizeof(Q);
  put_slow(x, x.p<Q>(i.a[0]), [=](int l) {
    int p = c[l] & 255, n = e[l] & 255;
    if (p >= W || n == 0) return b[l];
    n = min(n, W - p);
    Q mask = n >= W ? ~Q(0) : Q((Q(1) << n) - 1);
    return Q((b[l] & ~(mask << p)) | (a[l] & mask) << p);
  });
}
static void h_fns(X& x, const Ins& i) {
  const u32 *a = x.p<u32>(i.a[1]), *b = x.p<u32>(i.a[2]);
  const int* c = x.p<int>(i.a[3]);
  put_slow(x, x.p<u32>(i.a[0]), [=](int l) -> u32 {
    int off = c[l], base = b[l];
    if (off == 0) return base < 32 && a[l] >> base & 1 ? base : ~0u;
    int step = off > 0 ? 1 : -1, cnt = abs(off);
    for (int k = base; k >= 0 && k < 32; k += step)
      if (a[l] >> k & 1 && --cnt == 0) return k;
    return ~0u;
  });
}
static void h_bmsk(X& x, const Ins& i) {
  const u32 *a = x.p<u32>(i.a[1]), *b = x.p<u32>(i.a[2]);
  bool wrap = i.n;
  put_slow(x, x.p<u32>(i.a[0]), [=](int l) -> u32 {
    u32 p = a[l], n = b[l];
    if (wrap) {
      p &= 31;
      n &= 31;
    }
    if (p > 31 || n == 0) return 0;
    return u32((n >= 32 ? ~0ull : (1ull << n) - 1) << p);
  });
}
static void h_szext(X& x, const Ins& i) {
  const u32 *a = x.p<u32>(i.a[1]), *b = x.p<u32>(i.a[2]);
  bool sg = i.t == S32, wrap = i.n;
  put_slow(x, x.p<u32>(i.a[0]), [=](int l) -> u32 {
    u32 n = b[l];
    if (wrap) n &= 31;
    if (n >= 32) return a[l];
    if (n == 0) return 0;
    u32 v = a[l] & ((1u << n) - 1);
    return sg && v >> (n - 1) & 1 ? v | ~((1u << n) - 1) : v;
  });
}
static void h_prmt(X& x, const Ins& i) {
  const u32 *a = x.p<u32>(i.a[1]), *b = x.p<u32>(i.a[2]), *c = x.p<u32>(i.a[3]);
  int md = i.n;  // 0 default, 1 f4e, 2 b4e, 3 rc8, 4 ecl, 5 ecr, 6 rc16
  put_slow(x, x.p<u32>(i.a[0]), [=](int l) {
    u64 v = (u64)b[l] << 32 | a[l];
    u32 r = 0;
    int s0 = c[l] & 3;
    for (int k = 0; k < 4; k++) {
      int s;
      switch (md) {
        case 0:
          s = c[l] >> 4 * k & 15;
          break;
        case 1:
          s = s0 + k;
          break;
        case 2:
          s = (s0 - k) & 7;
          break;
        case 3:
          s = s0;
          break;
        case 4:
          s = max(k, s0);
          break;
        case 5:
          s = min(k, s0);
          break;
        default:
          s = (s0 & 1) * 2 + (k & 1);
      }
      u8 q = v >> 8 * (s & 7);
      if (md == 0 && s & 8) q = q & 128 ? 255 : 0;
      r |= (u32)q << 8 * k;
    }
    return r;
  });
}
static void h_shf(X& x, const Ins& i) {
  const u32 *a = x.p<u32>(i.a[1]), *b = x.p<u32>(i.a[2]), *c = x.p<u32>(i.a[3]);
  bool lf = i.n & 1, wr = i.n & 2;
  put(x, x.p<u32>(i.a[0]), [=](int l) {
    u32 n = wr ? c[l] & 31 : min(c[l], 32u);
    u64 v = (u64)b[l] << 32 | a[l];
    return lf ? u32((v << n) >> 32) : u32(v >> n);
  });
}
static void h_lop3(X& x, const Ins& i) {
  const u32 *a = x.p<u32>(i.a[1]), *b = x.p<u32>(i.a[2]), *c = x.p<u32>(i.a[3]);
  u32 k = i.imm;
  u32 k_[8];
  for (int z = 0; z < 8; z++) k_[z] = k >> z & 1 ? ~0u : 0;
  u32* d = x.p<u32>(i.a[0]);
  put(x, d, [&](int l) {
    u32 A = a[l], B = b[l], C = c[l];
    u32 hi = (B & ((C & k_[7]) | (~C & k_[6]))) | (~B & ((C & k_[5]) | (~C & k_[4]))),
        lo = (B & ((C & k_[3]) | (~C & k_[2]))) | (~B & ((C & k_[1]) | (~C & k_[0])));
    return (A & hi) | (~A & lo);
  });
}
static void h_dp(X& x, const Ins& i) {
  const u32 *a = x.p<u32>(i.a[1]), *b = x.p<u32>(i.a[2]), *c = x.p<u32>(i.a[3]);
  bool sa = i.t == S32, sb = i.t2 == NOT_T ? sa : i.t2 == S32;
  int two = i.n;
  put_slow(x, x.p<u32>(i.a[0]), [=](int l) {
    int r = c[l];
    auto by = [](u32 v, int k, bool s) { return s ? (int)(int8_t)(v >> 8 * k) : (int)(u8)(v >> 8 * k); };
    if (!two) {
      for (int k = 0; k < 4; k++) r += by(a[l], k, sa) * by(b[l], k, sb);
    } else
      for (int k = 0; k < 2; k++) {
        int h = sa ? (int)(int16_t)(a[l] >> 16 * k) : (int)(u16)(a[l] >> 16 * k);
        r += h * by(b[l], k + (two == 2 ? 2 : 0), sb);
      }
    return (u32)r;
  });
}
template <class Q>
static void h_sad(X& x, const Ins& i) {
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]), *c = x.p<Q>(i.a[3]);
  put(x, x.p<Q>(i.a[0]), [=](int l) { return Q(c[l] + (a[l] < b[l] ? b[l] - a[l] : a[l] - b[l])); });
}
template <class Q>
static void h_copysign(X& x, const Ins& i) {
  const Q *a = x.p<Q>(i.a[1]), *b = x.p<Q>(i.a[2]);
  put(x, x.p<Q>(i.a[0]), [=](int l) { return Q(copysign(b[l], a[l])); });
}
template <class Q>
static void h_testp(X& x, const Ins& i) {
  const Q* a = x.p<Q>(i.a[1]);
  u32 r = 0;
  LANES {
    Q v = a[l];
    bool q;
    switch (i.n) {
      case 0:
        q = isfinite(v);
        break;
      case 1:
        q = isinf(v);
        break;
      case 2:
        q = !isnan(v);
        break;
      case 3:
        q = isnan(v);
        break;
      case 4:
        q = isnormal(v);
        break;
      default:
        q = fpclassify(v) == FP_SUBNORMAL;
    }
    r |= (u32)q << l;
  }
  u32* d = x.p<u32>(i.a[0]);
  *d = (*d & ~x.m) | (r & x.m);
}
// address conversions; n: 0 = no window, 1 shared, 2 local; vn: 1 = to
static void h_cvta64(X& x, const Ins& i) {
  const u64* a = x.p<u64>(i.a[1]);
  u64 win = i.n == 1 ? SHARED_WIN : i.n == 2 ? LOCAL_WIN : 0;
  bool to = i.vn;
  put(x, x.p<u64>(i.a[0]), [=](int l) { return win == 0 ? a[l] : to ? a[l] & ~(255ull << 56) : a[l] | win; });
}
static void h_isspacep(X& x, const Ins& i) {
  const u64* a = x.p<u64>(i.a[1]);
  u32 r = 0;
  LANES r |= (u32)((a[l] >> 56) == i.n) << l;
  u32* d = x.p<u32>(i.a[0]);
  *d = (*d & ~x.m) | (r & x.m);
}
static void h_activemask(X& x, const Ins& i) {
  u32 m = x.m;
  put(x, x.p<u32>(i.a[0]), [=](int) { return m; });
}
static void h_policy(X& x, const Ins& i) {
  put(x, x.p<u64>(i.a[0]), [](int) { return u64(0); });
}
static void h_fence(X& x, const Ins&) {
  if (g_race >= 2) race_fence(x);
}
// ---------------------------------------------------------------- conversions
template <class D>
static inline D clampq(double v) {
  if (v != v) return 0;
  if (v <= (double)numeric_limits<D>::min()) return numeric_limits<D>::min();
  if (v >= (double)numeric_limits<D>::max()) return numeric_limits<D>::max();
  return (D)v;
}
template <class S, class D, class R>
static void h_cvt(
    X& x,
    const Ins& i) {  // S source, D destination type; R the type the destination register holds (for sign extension)
  const S* a = x.p<S>(i.a[1]);
  R* d = x.p<R>(i.a[0]);
  u32 fl = i.fl;
  if constexpr (isI<S> && isI<D>) {
    if (fl & SAT) {
      put_slow(x, d, [=](int l) {
        __int128 v = a[l], lo = numeric_limits<D>::min(), hi = numeric_limits<D>::max();
        return R(D(v < lo ? lo : v > hi ? hi : v));
      });
    } else
      put(x, d, [=](int l) { return R(D(a[l])); });
  } else if constexpr (isI<S>) {
    if constexpr (is_same<D, float>::value) {
      if (fl & (RZ | RM | RP))
        put_slow(x, d, [=](int l) {
          float f = (float)a[l];
          long double e = (long double)a[l];
          if ((fl & RZ) && fabsl((long double)f) > fabsl(e)) f = nextafterf(f, 0);
          if ((fl & RM) && (long double)f > e) f = nextafterf(f, -INFINITY);
          if ((fl & RP) && (long double)f < e) f = nextafterf(f, INFINITY);
          return f;
        });
      else
        put(x, d, [=](int l) { return (float)a[l]; });
    } else if constexpr (is_same<D, double>::value)
      put(x, d, [=](int l) { return (double)a[l]; });
    else
      put_slow(x, d, [=](int l) { return D((float)a[l]); });
  } else if constexpr (isI<D>) {
    put_slow(x, d, [=](int l) {
      double v = (double)(Up<S>)a[l];
      v = fl & RNI ? nearbyint(v) : fl & RMI ? floor(v) : fl & RPI ? ceil(v) : trunc(v);
      return R(clampq<D>(v));
    });
  } else {
    if (!(fl & (RNI | RZI | RMI | RPI | SAT | RZ | RM | RP | RELU))) {
      if constexpr (is_same<S, double>::value && is_same<D, H>::value)
        put_slow(x, d, [=](int l) { return D(a[l]); });
      else
        put(x, d, [=](int l) { return D((Up<D>)(Up<S>)a[l]); });
      return;
    }
    put_slow(x, d, [=](int l) {
      double v = (double)(Up<S>)a[l];
      if (fl & RNI) v = nearbyint(v);
      if (fl & RZI) v = trunc(v);
      if (fl & RMI) v = floor(v);
      if (fl & RPI) v = ceil(v);
      if (fl & SAT) v = v > 0 ? (v < 1 ? v : 1) : 0;
      if ((fl & RELU) && v < 0) v = 0;
      D g = D((Up<D>)v);
      if constexpr (sizeof(D) < 8)
        if (fl & (RZ | RM | RP)) {
          double w = (double)(Up<D>)g;
          bool down = (fl & RM) || ((fl & RZ) && v > 0), up = (fl & RP) || ((fl & RZ) && v < 0);
          if ((down && w > v) || (up && w < v)) {
            if constexpr (sizeof(D) == 4)
              g = nextafterf((float)g, down ? -INFINITY : INFINITY);
            else {
              u16 b;
              memcpy(&b, &g, 2);
              bool neg = b >> 15;
              b += (down != neg) ? -1 : 1;
              memcpy(&g, &b, 2);
            }
          }
        }
      return g;
    });
  }
}
template <class D>
static void h_cvtx2(X& x, const Ins& i) {
  const float *a = x.p<float>(i.a[1]), *b = x.p<float>(i.a[2]);
  bool relu = i.fl & RELU;
  put(x, x.p<u32>(i.a[0]), [=](int l) {
    float p = a[l], q = b[l];
    if (relu) {
      p = p < 0 ? 0 : p;
      q = q < 0 ? 0 : q;
    }
    D u(p), v(q);
    u16 s, t;
    memcpy(&s, &u, 2);
    memcpy(&t, &v, 2);
    return (u32)s << 16 | t;
  });
}
static void h_tf32(X& x, const Ins& i) {
  const u32* a = x.p<u32>(i.a[1]);
  bool rna = i.fl & RNA, rz = i.fl & RZ;
  put(x, x.p<u32>(i.a[0]), [=](int l) {
    u32 u = a[l];
    if ((u & 0x7f800000) == 0x7f800000) return u & 0x7fffff ? 0x7fffffffu : u;
    if (rz) return u & ~0x1fffu;
    u += rna ? 0x1000 : 0xfff + (u >> 13 & 1);
    return u & ~0x1fffu;
  });
}
// 8-bit floats
static float f8_to_f(u8 b, bool e4) {
  int s = b >> 7, e, m;
  float v;
  if (e4) {
    e = b >> 3 & 15;
    m = b & 7;
    if (e == 15 && m == 7) return NAN;
    v = e ? ldexpf(8 + m, e - 10) : ldexpf(m, -9);
  } else {
    e = b >> 2 & 31;
    m = b & 3;
    if (e == 31)
      v = m ? NAN : INFINITY;
    else
      v = e ? ldexpf(4 + m, e - 17) : ldexpf(m, -16);
  }
  return s ? -v : v;
}
static u8 f_to_f8(float f, bool e4, bool sat, bool relu) {
  if (relu && f < 0) f = 0;
  if (f != f) return 0x7f;
  u8 s = signbit(f) ? 0x80 : 0;
  float a = fabsf(f), mx = e4 ? 448.f : 57344.f;
  int mb = e4 ? 3 : 2, emin = e4 ? -6 : -14;
  if (a == 0) return s;
  int e;
  frexpf(a, &e);
  e--;
  if (e < emin) e = emin;
  float q = ldexpf(1, e - mb), r = a == INFINITY ? a : nearbyintf(a / q) * q;
  if (r > mx) return sat ? s | (e4 ? 0x7e : 0x7b) : s | (e4 ? 0x7f : 0x7c);
  frexpf(r, &e);
  e--;
  if (r == 0) return s;
  if (r < ldexpf(1, emin)) return s | (u8)(r / ldexpf(1, emin - mb));
  return s | (u8)((e - emin + 1) << mb | ((int)(r / ldexpf(1, e - mb)) & ((1 << mb) - 1)));
}
static void h_f8(X& x, const Ins& i) {
  bool e4 = i.t == E4M3X2;
  const float *a = x.p<float>(i.a[1]), *b = x.p<float>(i.a[2]);
  put_slow(x, x.p<u16>(i.a[0]), [&](int l) {
    return u16(f_to_f8(a[l], e4, true, i.fl & RELU) << 8 | f_to_f8(b[l], e4, true, i.fl & RELU));
  });
}
static void h_f8h(X& x, const Ins& i) {
  bool e4 = i.t == E4M3X2;
  const X2H* a = x.p<X2H>(i.a[1]);
  put_slow(x, x.p<u16>(i.a[0]), [&](int l) {
    return u16(f_to_f8(a[l].v[1], e4, true, i.fl & RELU) << 8 | f_to_f8(a[l].v[0], e4, true, i.fl & RELU));
  });
}
static void h_hf8(X& x, const Ins& i) {
  bool e4 = i.t2 == E4M3X2;
  const u16* a = x.p<u16>(i.a[1]);
  put_slow(x, x.p<X2H>(i.a[0]), [=](int l) {
    X2H r;
    r.v[0] = H(f8_to_f(a[l] & 255, e4));
    r.v[1] = H(f8_to_f(a[l] >> 8, e4));
    return r;
  });
}
float fp8_value(u8 b, bool e4) {
  return f8_to_f(b, e4);
}
// ---------------------------------------------------------------- decoding
static int cmp_code(const string& s, bool flt) {
  static const pair<const char*, int> N[] = {{"eq", EQ},   {"ne", NE},    {"lt", LT},   {"le", LE},   {"gt", GT},
                                             {"ge", GE},   {"lo", LT},    {"ls", LE},   {"hi", GT},   {"hs", GE},
                                             {"num", NUM}, {"nan", NAN_}, {"equ", EQU}, {"neu", NEU}, {"ltu", LTU},
                                             {"leu", LEU}, {"gtu", GTU},  {"geu", GEU}};
  (void)flt;
  for (auto& q : N)
    if (s == q.first) return q.second;
  return -1;
}
static void decode_cvt(Module& M, Ins& I) {
  Cold& C = *I.c;
  T dt = I.t, st = I.t2;
  auto& o = C.o;
  if (dt == F16X2 || dt == BF16X2) {
    if (st == F32) {
      I.a[0] = arg_of(M, o[0], 4);
      I.a[1] = arg_of(M, o[1], 4);
      I.a[2] = arg_of(M, o[2], 4);
      I.fn = dt == F16X2 ? h_cvtx2<H> : h_cvtx2<BF>;
    } else if (st == E4M3X2 || st == E5M2X2) {
      I.a[0] = arg_of(M, o[0], 4);
      I.a[1] = arg_of(M, o[1], 2);
      I.fn = h_hf8;
    }
    return;
  }
  if (dt == E4M3X2 || dt == E5M2X2) {
    I.a[0] = arg_of(M, o[0], 2);
    I.a[1] = arg_of(M, o[1], 4);
    if (st == F32) {
      I.a[2] = arg_of(M, o[2], 4);
      I.fn = h_f8;
    } else
      I.fn = h_f8h;
    return;
  }
  if (dt == TF32) {
    I.a[0] = arg_of(M, o[0], 4);
    I.a[1] = arg_of(M, o[1], 4);
    I.fn = h_tf32;
    return;
  }
  // the registers may be wider than the types; a source wider than its type is first narrowed into the type by reading
  // the low part
  int ds = o[0].size, ss = o[1].k == Op::REG ? o[1].size : tsize(st);
  bool src_wide = ss != tsize(st);
  I.a[0] = arg_of(M, o[0], ds);
  I.a[1] = arg_of(M, o[1], ss);
  auto fin = [&](auto sq, auto wideq) {
    using S = decltype(sq);
    using W = decltype(wideq);
    (void)sizeof(W);
    disp(dt, [&](auto dq) {
      using D = decltype(dq);
      if constexpr (isI<D>) {
        if (ds == (int)sizeof(D))
          I.fn = h_cvt<S, D, D>;
        else if constexpr (sizeof(D) < 8) {
          if (ds == 2) {
            if constexpr (sizeof(D) == 1) I.fn = h_cvt<S, D, conditional_t<is_signed<D>::value, int16_t, u16>>;
          } else if (ds == 4) {
            if constexpr (sizeof(D) <= 2) I.fn = h_cvt<S, D, conditional_t<is_signed<D>::value, int32_t, u32>>;
          } else if (ds == 8)
            I.fn = h_cvt<S, D, conditional_t<is_signed<D>::value, s64, u64>>;
        }
      } else if (ds == (int)sizeof(D))
        I.fn = h_cvt<S, D, D>;
    });
  };
  if (!src_wide) {
    disp(st, [&](auto sq) { fin(sq, sq); });
    return;
  }
  // narrow reading of a wider integer register: only integer to integer and small-integer to float occur
  struct Lo {};
  I.n = ss;
  I.fn = [](X& x, const Ins& i) {  // generic, slow: go through 64-bit values
    int ss = i.n;
    const char* A = x.base[i.a[1].bank] + i.a[1].off;
    char* D = x.base[0] + i.a[0].off;
    int ds = i.c->o[0].size;
    ACTIVE {
      u64 v = 0;
      memcpy(&v, A + l * ss, min(ss, 8));
      int z = 8 * tsize(i.t2);
      bool sg = i.t2 == S8 || i.t2 == S16 || i.t2 == S32;
      if (z < 64) v = sg ? (u64)((s64)(v << (64 - z)) >> (64 - z)) : v & ((1ull << z) - 1);
      bool fl = i.t == F32 || i.t == F64 || i.t == F16 || i.t == BF16;
      u64 r = 0;
      if (fl) {
        double d = sg ? (double)(s64)v : (double)v;
        if (i.t == F32) {
          float f = d;
          memcpy(&r, &f, 4);
        } else if (i.t == F64)
          memcpy(&r, &d, 8);
        else if (i.t == F16) {
          H h(d);
          memcpy(&r, &h, 2);
        } else {
          BF h((float)d);
          memcpy(&r, &h, 2);
        }
      } else {
        int dz = 8 * tsize(i.t);
        bool dsg = i.t == S8 || i.t == S16 || i.t == S32;
        if (i.fl & SAT) fault(x, "cvt.sat from a wider register");
        r = v;
        if (dz < 64) r = dsg ? (u64)((s64)(r << (64 - dz)) >> (64 - dz)) : r & ((1ull << dz) - 1);
      }
      memcpy(D + l * ds, &r, min(ds, 8));
    }
  };
}
void decode(Module& M, Ins& I) {
  Cold& C = *I.c;
  auto& o = C.o;
  const string& op = C.op;
  T t = I.t;
  int z = t == NOT_T ? 4 : t == PRED ? 0 : tsize(t);
  I.fn = nullptr;
  auto args = [&](int n) {
    for (int k = 0; k < n; k++) I.a[k] = arg_of(M, o.at(k), z);
  };
  bool flt = t == F32 || t == F64, rnd = flt && (I.fl & (RZ | RM | RP));
  auto R = [&](auto f32h, auto f64h) { I.fn = t == F32 ? (Handler)f32h : (Handler)f64h; };
  try {
    if (op == "bra" || op == "brx") {
      I.fn = h_nop;
      if (op == "brx") I.a[0] = arg_of(M, o[0], 4);
      return;
    }
    if (op == "ret") {
      I.kind = K_RET;
      I.fn = h_nop;
      return;
    }
    if (op == "exit") {
      I.kind = K_EXIT;
      I.fn = h_nop;
      return;
    }
    if (op == "call") {
      I.kind = K_CALL;
      I.fn = h_nop;
      return;
    }
    if (decode_collective(M, I)) {
      if (!I.fn) I.fn = h_bad;
      return;
    }
    if (decode_tensor(M, I)) {
      if (!I.fn) I.fn = h_bad;
      return;
    }
    if (decode_memory(M, I)) {
      if (!I.fn) I.fn = h_bad;
      return;
    }
    if (op == "add" || op == "sub") {
      args(3);
      bool a = op == "add";
      if (rnd) {
        if (a)
          R(h_round<float, 0>, h_round<double, 0>);
        else
          R(h_round<float, 1>, h_round<double, 1>);
      } else if (I.fl & SAT && t == S32)
        I.fn = a ? h2<int32_t, AddSatI> : h2<int32_t, SubSatI>;
      else if (I.fl & SAT)
        I.fn = a ? pickf2<Sat<Add>>(t) : pickf2<Sat<Sub>>(t);
      else
        I.fn = a ? pick2<Add>(t) : pick2<Sub>(t);
    } else if (op == "mul" || op == "mul24") {
      if (I.fl & WIDE) {
        I.a[0] = arg_of(M, o[0], 2 * z);
        I.a[1] = arg_of(M, o[1], z);
        I.a[2] = arg_of(M, o[2], z);
        I.fn = t == U16   ? h_mulwide<u16>
               : t == S16 ? h_mulwide<int16_t>
               : t == U32 ? h_mulwide<u32>
                          : h_mulwide<int32_t>;
      } else {
        args(3);
        if (I.fl & HI)
          I.fn = t == U16   ? h_mulhi<u16, false>
                 : t == S16 ? h_mulhi<int16_t, false>
                 : t == U32 ? h_mulhi<u32, false>
                 : t == S32 ? h_mulhi<int32_t, false>
                 : t == U64 ? h_mulhi<u64, false>
                            : h_mulhi<s64, false>;
        else if (rnd)
          R(h_round<float, 2>, h_round<double, 2>);
        else if (I.fl & SAT)
          I.fn = pickf2<Sat<Mul>>(t);
        else
          I.fn = pick2<Mul>(t);
      }
    } else if (op == "mad" || op == "fma" || op == "mad24") {
      if (I.fl & WIDE) {
        I.a[0] = arg_of(M, o[0], 2 * z);
        I.a[1] = arg_of(M, o[1], z);
        I.a[2] = arg_of(M, o[2], z);
        I.a[3] = arg_of(M, o[3], 2 * z);
        I.fn = t == U16   ? h_madwide<u16>
               : t == S16 ? h_madwide<int16_t>
               : t == U32 ? h_madwide<u32>
                          : h_madwide<int32_t>;
      } else {
        args(4);
        if (I.fl & HI)
          I.fn = t == U32   ? h_mulhi<u32, true>
                 : t == S32 ? h_mulhi<int32_t, true>
                 : t == U64 ? h_mulhi<u64, true>
                            : h_mulhi<s64, true>;
        else if (rnd)
          R(h_round<float, 3>, h_round<double, 3>);
        else if (I.fl & SAT)
          I.fn = pickf3<Sat<Mad>>(t);
        else if (I.fl & RELU)
          I.fn = pickf3<Relu<Mad>>(t);
        else
          I.fn = pick3<Mad>(t);
      }
    } else if (op == "div") {
      args(3);
      if (rnd)
        R(h_round<float, 4>, h_round<double, 4>);
      else if (flt)
        I.fn = pickf2<Div>(t);
      else
        I.fn = picki2s<Div>(t);
    } else if (op == "rem") {
      args(3);
      I.fn = picki2s<Rem>(t);
    } else if (op == "min" || op == "max") {
      bool mn = op == "min";
      if (C.o.size() == 4) {
        args(4);
        I.fn = mn ? pickf3<Min3>(t) : pickf3<Max3>(t);
      } else {
        args(3);
        if (C.has("relu") && t == S32)
          I.fn = h_bad;
        else if (I.fl & NANP)
          I.fn = mn ? pickf2<MinN>(t) : pickf2<MaxN>(t);
        else
          I.fn = mn ? pick2<Min>(t) : pick2<Max>(t);
        if (t == F32X2) I.fn = h_bad;
      }
    } else if (op == "abs") {
      args(2);
      I.fn = pick1<Abs>(t);
    } else if (op == "neg") {
      args(2);
      I.fn = pick1<Neg>(t);
    } else if (op == "and" || op == "or" || op == "xor" || op == "not") {
      int n = op == "not" ? 2 : 3;
      args(n);
      if (t == PRED)
        I.fn = op == "not" ? h_pred<1> : op == "and" ? h_pred<2> : op == "or" ? h_pred<3> : h_pred<4>;
      else
        I.fn = op == "not"   ? picki1<Not>(t)
               : op == "and" ? picki2<And>(t)
               : op == "or"  ? picki2<Or>(t)
                             : picki2<Xor>(t);
    } else if (op == "cnot") {
      args(2);
      I.fn = picki1<Cnot>(t);
    } else if (op == "shl" || op == "shr") {
      I.a[0] = arg_of(M, o[0], z);
      I.a[1] = arg_of(M, o[1], z);
      I.a[2] = arg_of(M, o[2], 4);
      bool L = op == "shl";
      disp(t, [&](auto q) {
        using Q = decltype(q);
        if constexpr (isI<Q>) I.fn = L ? h_shift<Q, true> : h_shift<Q, false>;
      });
    } else if (op == "setp" || op == "set") {
      bool sp = op == "setp";
      T ct = sp ? t : I.t2;
      int cz = tsize(ct);
      int c = cmp_code(C.m[0], true);
      for (auto& m : C.m) {
        if (m == "and") I.n = 1;
        if (m == "or") I.n = 2;
        if (m == "xor") I.n = 3;
      }
      I.a[0] = arg_of(M, o[0], sp ? 0 : z);
      I.a[1] = arg_of(M, o[1], cz);
      I.a[2] = arg_of(M, o[2], cz);
      if (I.n) I.a[3] = arg_of(M, o[3], 0);
      if (o[0].off2 >= 0) {
        I.a[4].off = o[0].off2;
        I.a[4].size = 255;
      }
      if (sp && o[0].k == Op::SINK)
        I.fn = h_nop;
      else
        I.fn = sp ? sel_setp(ct, c) : sel_set(ct, c);
    } else if (op == "selp") {
      for (int k = 0; k < 3; k++) I.a[k] = arg_of(M, o[k], z);
      I.a[3] = arg_of(M, o[3], 0);
      I.fn = z == 2 ? h_selp<u16> : z == 4 ? h_selp<u32> : z == 8 ? h_selp<u64> : nullptr;
    } else if (op == "slct") {
      for (int k = 0; k < 3; k++) I.a[k] = arg_of(M, o[k], z);
      I.a[3] = arg_of(M, o[3], 4);
      I.fn = z == 2 ? h_slct<u16> : z == 4 ? h_slct<u32> : h_slct<u64>;
    } else if (op == "mov") {
      if (o[0].k == Op::VEC && o[1].k == Op::VEC)
        I.fn = h_bad;
      else if (o[0].k == Op::VEC) {
        for (auto& e : o[0].v)
          if (e.k == Op::REG && e.size != tsize(t) / (int)o[0].v.size()) die("vector move sizes");
        I.a[4] = arg_of(M, o[1], z);
        I.fn = h_unpack;
      } else if (o[1].k == Op::VEC) {
        int n = o[1].v.size();
        if (n > 4) die("vector move");
        I.a[0] = arg_of(M, o[0], z);
        for (int k = 0; k < n; k++) I.a[1 + k] = arg_of(M, o[1].v[k], z / n);
        I.fn = n == 2 && z == 4 ? h_pack22 : n == 2 && z == 8 ? h_pack44 : h_pack;
      } else if (o[1].k == Op::REG && (o[1].off == CLK * (int)SLOT || o[1].off == GTIME * (int)SLOT)) {
        I.n = o[1].off == CLK * (int)SLOT ? 1 : 2;
        I.a[0] = arg_of(M, o[0], z);
        I.fn = z == 4 ? h_movclk<u32> : h_movclk<u64>;
      } else {
        args(2);
        I.fn = t == PRED ? h_pred<0>
               : z == 1  ? h_mov<u8>
               : z == 2  ? h_mov<u16>
               : z == 4  ? h_mov<u32>
               : z == 8  ? h_mov<u64>
                         : h_mov<unsigned __int128>;
      }
    } else if (op == "cvt")
      decode_cvt(M, I);
    else if (op == "cvta") {
      bool to = C.has("to");
      if (z != 8) die("32-bit cvta");
      args(2);
      I.n = I.space == SHARED ? 1 : I.space == LOCAL ? 2 : 0;
      I.vn = to;
      I.fn = h_cvta64;
      if (I.space == PARAM) I.fn = h_bad;
    } else if (op == "isspacep") {
      I.a[0] = arg_of(M, o[0], 0);
      I.a[1] = arg_of(M, o[1], 8);
      I.n = I.space == SHARED ? 1 : I.space == LOCAL ? 2 : I.space == GLOBAL ? 0 : 99;
      I.fn = h_isspacep;
    } else if (op == "mapa" || op == "getctarank")
      I.fn = h_bad;
    else if (op == "popc") {
      I.a[0] = arg_of(M, o[0], 4);
      I.a[1] = arg_of(M, o[1], z);
      I.fn = z == 4 ? h_popc32 : h_popc64;
    } else if (op == "clz") {
      I.a[0] = arg_of(M, o[0], 4);
      I.a[1] = arg_of(M, o[1], z);
      I.fn = z == 4 ? h_clz32 : h_clz64;
    } else if (op == "bfind") {
      I.a[0] = arg_of(M, o[0], 4);
      I.a[1] = arg_of(M, o[1], z);
      I.n = C.has("shiftamt");
      I.fn = t == U32 ? h_bfind<u32> : t == S32 ? h_bfind<int32_t> : t == U64 ? h_bfind<u64> : h_bfind<s64>;
    } else if (op == "brev") {
      args(2);
      I.fn = z == 4 ? h_brev<u32> : h_brev<u64>;
    } else if (op == "bfe") {
      I.a[0] = arg_of(M, o[0], z);
      I.a[1] = arg_of(M, o[1], z);
      I.a[2] = arg_of(M, o[2], 4);
      I.a[3] = arg_of(M, o[3], 4);
      I.fn = t == U32 ? h_bfe<u32> : t == S32 ? h_bfe<int32_t> : t == U64 ? h_bfe<u64> : h_bfe<s64>;
    } else if (op == "bfi") {
      for (int k = 0; k < 3; k++) I.a[k] = arg_of(M, o[k], z);
      I.a[3] = arg_of(M, o[3], 4);
      I.a[4] = arg_of(M, o[4], 4);
      I.fn = z == 4 ? h_bfi<u32> : h_bfi<u64>;
    } else if (op == "fns") {
      z = 4;
      args(4);
      I.fn = h_fns;
    } else if (op == "bmsk") {
      z = 4;
      args(3);
      I.n = C.has("wrap");
      I.fn = h_bmsk;
    } else if (op == "szext") {
      args(3);
      I.n = C.has("wrap");
      I.fn = h_szext;
    } else if (op == "prmt") {
      args(4);
      static const char* MD[] = {"", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
      for (int k = 1; k < 7; k++)
        if (C.has(MD[k])) I.n = k;
      I.fn = h_prmt;
    } else if (op == "shf") {
      args(4);
      I.n = (C.has("l") ? 1 : 0) | (C.has("wrap") ? 2 : 0);
      I.fn = h_shf;
    } else if (op == "lop3") {
      if (C.m.size() > 1)
        I.fn = h_bad;
      else {
        args(4);
        I.imm = o[4].imm;
        I.fn = h_lop3;
      }
    } else if (op == "dp4a" || op == "dp2a") {
      z = 4;
      args(4);
      I.n = op == "dp4a" ? 0 : C.has("hi") ? 2 : 1;
      I.fn = h_dp;
    } else if (op == "sad") {
      args(4);
      I.fn = t == U32 ? h_sad<u32> : t == S32 ? h_sad<int32_t> : nullptr;
    } else if (op == "rcp") {
      args(2);
      if (rnd)
        R(h_round<float, 6>, h_round<double, 6>);
      else
        I.fn = pickf1<Rcp>(t);
    } else if (op == "sqrt") {
      args(2);
      if (rnd)
        R(h_round<float, 5>, h_round<double, 5>);
      else
        I.fn = pickf1<Sqrt>(t);
    } else if (op == "rsqrt") {
      args(2);
      I.fn = pickf1<Rsqrt>(t);
    } else if (op == "ex2") {
      args(2);
      I.fn = pickf1s<Ex2>(t);
    } else if (op == "lg2") {
      args(2);
      I.fn = pickf1s<Lg2>(t);
    } else if (op == "sin") {
      args(2);
      I.fn = pickf1s<Sin>(t);
    } else if (op == "cos") {
      args(2);
      I.fn = pickf1s<Cos>(t);
    } else if (op == "tanh") {
      args(2);
      I.fn = pickf1s<Tanh>(t);
    } else if (op == "copysign") {
      args(3);
      I.fn = t == F32 ? h_copysign<float> : h_copysign<double>;
    } else if (op == "testp") {
      I.a[0] = arg_of(M, o[0], 0);
      I.a[1] = arg_of(M, o[1], z);
      static const char* K[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
      for (int k = 0; k < 6; k++)
        if (C.m[0] == K[k]) I.n = k;
      I.fn = t == F32 ? h_testp<float> : h_testp<double>;
    } else if (op == "activemask") {
      z = 4;
      args(1);
      I.fn = h_activemask;
    } else if (op == "createpolicy") {
      I.a[0] = arg_of(M, o[0], 8);
      I.fn = h_policy;
    } else if (op == "membar" || op == "fence")
      I.fn = h_fence;
    else if (op == "prefetch" || op == "prefetchu" || op == "griddepcontrol" || op == "applypriority" ||
             op == "discard" || op == "setmaxnreg" || op == "pmevent")
      I.fn = h_nop;
    else if (op == "nanosleep") {
      I.fn = h_nop;
      I.kind = K_YIELD;
    } else if (op == "trap" || op == "brkpt")
      I.fn = h_trap;
  } catch (exception& e) {
    die("PTX line %d: %s: %s", C.line, C.text.c_str(), e.what());
  }
  // forms whose extra meaning the handlers above do not have
  static const char* NO[] = {"cc", "xorsign", "oob", "scaled", "rs"};
  for (auto n : NO)
    if (C.has(n)) I.fn = h_bad;
  if (!I.fn) I.fn = h_bad;
}
