// Loads, stores, atomics, asynchronous copies, mbarrier.
#include <type_traits>
#include "emulator.hpp"
using namespace std;
// lane addresses of a memory operand: i.a[k] is the base (size 0: none), i.imm the displacement
static inline void addresses(X& x, const Arg& a, s64 imm, u64* ad) {
  if (a.size == 8) {
    const u64* p = x.p<u64>(a);
    LANES ad[l] = p[l] + imm;
  } else if (a.size == 4) {
    const u32* p = x.p<u32>(a);
    LANES ad[l] = (u64)(p[l]) + imm;
  } else
    LANES ad[l] = imm;
  if (x.m != ~0u) {
    u64 f = ad[__builtin_ctz(x.m)];
    u32 m = x.m;
    LANES ad[l] = m >> l & 1 ? ad[l] : f;
  }
}
static inline bool in_shared(X& x, u64 a, int n) {
  return a + n <= x.L->F->smem || (a >= DYN && a + n <= DYN + x.L->dyn);
}
static void check_global(X& x, u64 a, int n, int l) {
  u64 g = g_alloc_gen.load(memory_order_acquire);
  if (x.rgen == g && a >= x.rc.lo && a + n <= x.rc.hi) return;
  Range r;
  if (!find_range(a, n, r)) fault(x, "illegal global address", l, a);
  x.rc = r;
  x.rgen = g;
}
char* shared_ptr_at(X& x, u64 a, int n, int lane, bool wr) {
  a &= 0xffffffff;
  if (!in_shared(x, a, n)) fault(x, "shared memory access out of bounds", lane, a);
  if (g_race) race_shared(x, lane, a, n, wr, false);
  return x.c->sh + a;
}
// lane addresses -> host pointers, with all checks
static void resolve(X& x, u64* ad, int n, int space, bool wr, bool atomic) {
  u64 lo = ~0ull, hi = 0, al = 0;
  LANES {
    lo = ad[l] < lo ? ad[l] : lo;
    hi = ad[l] > hi ? ad[l] : hi;
    al |= ad[l];
  }
  if (space == GEN) {
    u64 w0 = lo >> 56, w1 = hi >> 56;
    if (w0 == 0 && w1 == 0)
      space = GLOBAL;
    else if (w0 == w1 && w0 <= 2) {
      space = w0 == 1 ? SHARED : LOCAL;
    } else {
      ACTIVE {
        u64 a = ad[l], w = a >> 56;
        if (a & (n - 1)) fault(x, "misaligned address", l, a);
        u64 q = a & ~(255ull << 56);
        if (w == 1) {
          if (!in_shared(x, q, n)) fault(x, "shared memory access out of bounds", l, a);
          if (g_race) race_shared(x, l, q, n, wr, atomic);
          ad[l] = (u64)x.c->sh + q;
        } else if (w == 2) {
          if (q + n > x.L->lmem) fault(x, "local memory access out of bounds", l, a);
          ad[l] = (u64)x.w->loc + l * x.L->lmem + q;
        } else {
          check_global(x, a, n, l);
          if (g_race >= 2) race_global(x, l, a, n, wr, atomic);
        }
      }
      u64 f = ad[__builtin_ctz(x.m)];
      LANES if (!(x.m >> l & 1)) ad[l] = f;
      return;
    }
  }
  if (__builtin_expect(al & (n - 1), 0)) ACTIVE if (ad[l] & (n - 1)) fault(x, "misaligned address", l, ad[l]);
  if (space == GLOBAL || space == CONST_) {
    if (!(lo >= x.rc.lo && hi + n <= x.rc.hi && x.rgen == g_alloc_gen.load(memory_order_relaxed)))
      ACTIVE check_global(x, ad[l], n, l);
    if (__builtin_expect(g_race >= 2, 0)) ACTIVE race_global(x, l, ad[l], n, wr, atomic);
  } else if (space == SHARED) {
    u64 mk = 0xffffffff;
    lo &= mk;
    hi &= mk;
    if (!(hi + n <= x.L->F->smem || (lo >= DYN && hi + n <= DYN + x.L->dyn)))
      ACTIVE if (!in_shared(x, ad[l] & mk, n)) fault(x, "shared memory access out of bounds", l, ad[l] & mk);
    if (__builtin_expect(g_race, 0)) ACTIVE race_shared(x, l, ad[l] & mk, n, wr, atomic);
    u64 b = (u64)x.c->sh;
    LANES ad[l] = b + (ad[l] & mk);
  } else if (space == LOCAL) {
    u64 mk = 0xffffffff;
    if ((hi & mk) + n > x.L->lmem)
      ACTIVE if ((ad[l] & mk) + n > x.L->lmem) fault(x, "local memory access out of bounds", l, ad[l]);
    u64 b = (u64)x.w->loc, z = x.L->lmem;
    LANES ad[l] = b + l * z + (ad[l] & mk);
  } else
    fault(x, "state space");
}
static void param_ptrs(X& x, u64* ad) {
  LANES {
    u64 a = ad[l];
    ad[l] = a < ENTRY_PARAMS ? (u64)x.L->ent.data() + a : (u64)x.w->par + l * x.L->M->pspace + a;
  }
}
static inline void pointers(X& x, const Ins& i, const Arg& base, u64* ad, int n, bool wr) {
  addresses(x, base, i.imm, ad);
  if (i.space == PARAM)
    param_ptrs(x, ad);
  else
    resolve(x, ad, n, i.space, wr, i.fl & STRONG);
}

template <class Mt, class R>
static void h_ld(X& x, const Ins& i) {
  alignas(64) u64 ad[32];
  int vn = i.vn;
  pointers(x, i, i.a[1], ad, sizeof(Mt) * vn, false);
  if ((i.fl & ACQREL) && g_race >= 2) race_fence(x);
  if (vn == 1) {
    R* d = x.p<R>(i.a[0]);
    bool same = true;
    u64 f = ad[0];
    LANES same &= ad[l] == f;
    if (same) {
      R v = (R) * (Mt*)f;
      put(x, d, [=](int) { return v; });
    } else
      put(x, d, [&](int l) { return (R) * (Mt*)ad[l]; });
    return;
  }
  R t[8][32];
  LANES for (int k = 0; k < vn; k++) t[k][l] = (R)((Mt*)ad[l])[k];
  for (int k = 0; k < vn; k++) {
    const Op& o = i.c->o[0].v[k];
    if (o.k == Op::REG) put(x, (R*)(x.base[0] + o.off), [&](int l) { return t[k][l]; });
  }
}
// uniform load of a kernel parameter
template <class Mt, class R>
static void h_ldparam(X& x, const Ins& i) {
  R v = (R) * (const Mt*)(x.L->ent.data() + i.imm);
  put(x, x.p<R>(i.a[0]), [=](int) { return v; });
}
template <class Mt, class R>
static void h_st(X& x, const Ins& i) {
  alignas(64) u64 ad[32];
  if ((i.fl & ACQREL) && g_race >= 2) race_fence(x);
  pointers(x, i, i.a[0], ad, sizeof(Mt) * i.vn, true);
  if (i.vn == 1) {
    const R* s = x.p<R>(i.a[1]);
    if (x.m == ~0u)
      LANES*(Mt*)ad[l] = (Mt)s[l];
    else
      ACTIVE*(Mt*)ad[l] = (Mt)s[l];
    return;
  }
  const Cold& c = *i.c;
  for (int k = 0; k < i.vn; k++) {
    const Arg* a = (const Arg*)c.targets.data() + k;
    const R* s = (const R*)(x.base[a->bank] + a->off);
    ACTIVE((Mt*)ad[l])[k] = (Mt)s[l];
  }
}
template <class F>
static Handler sel_mem(T t, int rs, F f) {  // memory type x register size
  switch (t) {
    case B8:
    case U8:
      return rs == 1 ? f(u8{}, u8{}) : rs == 2 ? f(u8{}, u16{}) : rs == 4 ? f(u8{}, u32{}) : f(u8{}, u64{});
    case S8:
      return rs == 1   ? f(int8_t{}, int8_t{})
             : rs == 2 ? f(int8_t{}, int16_t{})
             : rs == 4 ? f(int8_t{}, int32_t{})
                       : f(int8_t{}, s64{});
    case B16:
    case U16:
    case F16:
    case BF16:
      return rs == 2 ? f(u16{}, u16{}) : rs == 4 ? f(u16{}, u32{}) : f(u16{}, u64{});
    case S16:
      return rs == 2 ? f(int16_t{}, int16_t{}) : rs == 4 ? f(int16_t{}, int32_t{}) : f(int16_t{}, s64{});
    case B32:
    case U32:
    case F32:
      return rs == 4 ? f(u32{}, u32{}) : f(u32{}, u64{});
    case S32:
      return rs == 4 ? f(int32_t{}, int32_t{}) : f(int32_t{}, s64{});
    case B64:
    case U64:
    case S64:
    case F64:
      return f(u64{}, u64{});
    case B128:
      return f((unsigned __int128)0, (unsigned __int128)0);
    default:
      return nullptr;
  }
}
// ---------------------------------------------------------------- atomics
enum { A_ADD, A_MIN, A_MAX, A_AND, A_OR, A_XOR, A_EXCH, A_CAS, A_INC, A_DEC };
template <class Q>
static inline Q aop(int op, Q x, Q y, Q e) {
  if constexpr (is_integral<Q>::value) switch (op) {
      case A_ADD:
        return Q((make_unsigned_t<Q>)x + (make_unsigned_t<Q>)y);
      case A_MIN:
        return x < y ? x : y;
      case A_MAX:
        return x > y ? x : y;
      case A_AND:
        return x & y;
      case A_OR:
        return x | y;
      case A_XOR:
        return x ^ y;
      case A_EXCH:
        return y;
      case A_CAS:
        return x == y ? e : x;
      case A_INC:
        return x >= y ? 0 : x + 1;
      default:
        return x == 0 || x > y ? y : x - 1;
    }
  else
    switch (op) {
      case A_ADD:
        return Q(x + y);
      case A_MIN:
        return x < y ? x : y;
      case A_MAX:
        return x > y ? x : y;
      default:
        return y;
    }
}
struct HH {
  H v[2];
  HH operator+(const HH& o) const {
    HH r;
    for (int k = 0; k < 2; k++) r.v[k] = H((float)v[k] + (float)o.v[k]);
    return r;
  }
  HH() {}
};
struct BB {
  BF v[2];
  BB operator+(const BB& o) const {
    BB r;
    for (int k = 0; k < 2; k++) r.v[k] = BF((float)v[k] + (float)o.v[k]);
    return r;
  }
  BB() {}
};
template <class Q>
struct AOp {
  static Q f(int op, Q x, Q y, Q e) { return aop<Q>(op, x, y, e); }
};
template <>
struct AOp<H> {
  static H f(int, H x, H y, H) { return H((float)x + (float)y); }
};
template <>
struct AOp<BF> {
  static BF f(int, BF x, BF y, BF) { return BF((float)x + (float)y); }
};
template <>
struct AOp<HH> {
  static HH f(int, HH x, HH y, HH) { return x + y; }
};
template <>
struct AOp<BB> {
  static BB f(int, BB x, BB y, BB) { return x + y; }
};
template <class Q>
using Raw = conditional_t<sizeof(Q) == 2, u16, conditional_t<sizeof(Q) == 4, u32, u64>>;
template <class Q>
static inline Q rmw(Q* p, int op, Q y, Q e, bool shared) {
  if (shared) {
    Q o = *p;
    *p = AOp<Q>::f(op, o, y, e);
    return o;
  }
  using W = Raw<Q>;
  W* w = (W*)p;
  W o = __atomic_load_n(w, __ATOMIC_RELAXED);
  for (;;) {
    Q x, n;
    memcpy((void*)&x, &o, sizeof x);
    n = AOp<Q>::f(op, x, y, e);
    W q;
    memcpy(&q, (void*)&n, sizeof q);
    if (__atomic_compare_exchange_n(w, &o, q, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) return x;
  }
}
// n: operation; a[0] result (size 254: none), a[1] address, a[2] value, a[3] swap value (cas)
template <class Q>
static void h_atom(X& x, const Ins& i) {
  u64 ad[32];
  addresses(x, i.a[1], i.imm, ad);
  resolve(x, ad, sizeof(Q) * i.vn, i.space, true, true);
  if ((i.fl & ACQREL) && g_race >= 2) race_fence(x);
  const char* s0 = x.c->sh;
  bool local = ad[__builtin_ctz(x.m)] - (u64)s0 < DYN + x.L->dyn;
  if (i.vn == 1) {
    const Q *y = x.p<Q>(i.a[2]), *e = i.n == A_CAS ? x.p<Q>(i.a[3]) : y;
    Q* d = i.a[0].size == 254 ? nullptr : x.p<Q>(i.a[0]);
    ACTIVE {
      Q o = rmw<Q>((Q*)ad[l], i.n, y[l], e[l], local);
      if (d) d[l] = o;
    }
    return;
  }
  const Cold& c = *i.c;
  const Arg* va = (const Arg*)c.targets.data();
  ACTIVE for (int k = 0; k < i.vn; k++) {
    const Q* y = (const Q*)(x.base[va[k].bank] + va[k].off);
    Q o = rmw<Q>((Q*)ad[l] + k, i.n, y[l], y[l], local);
    if (i.a[0].size != 254) {
      const Op& q = c.o[0].v[k];
      if (q.k == Op::REG) ((Q*)(x.base[0] + q.off))[l] = o;
    }
  }
}
// ---------------------------------------------------------------- cp.async: performed at the wait, so that a missing
// wait shows
static bool eager() {
  static bool e = getenv("PTXEMU_CPASYNC") && !strcmp(getenv("PTXEMU_CPASYNC"), "eager");
  return e;
}
void complete_cp_async(X& x, u32 lanes, int keep) {
  auto& q = x.w->cpa;
  if (q.empty()) return;
  size_t k = 0;
  u32 m = x.m;
  for (auto& e : q) {
    if (!(lanes >> e.lane & 1) || (s64)e.group >= (s64)x.w->cgrp[e.lane] - keep) {
      q[k++] = e;
      continue;
    }
    x.m = 1u << e.lane;
    char* d = shared_ptr_at(x, e.dst, e.n, e.lane, true);
    if (e.s < e.n) memset(d + e.s, 0, e.n - e.s);
    if (e.s) {
      check_global(x, e.src, e.s, e.lane);
      if (g_race >= 2) race_global(x, e.lane, e.src, e.s, false, false);
      memcpy(d, (char*)e.src, e.s);
    }
  }
  q.resize(k);
  x.m = m;
}
static void h_cpasync(
    X& x, const Ins& i) {  // a[0] dst, a[1] src, a[2] src-size (size 0: none; 1 in vn: predicate "ignore source")
  u64 d[32], s[32];
  addresses(x, i.a[0], i.imm, d);
  addresses(x, i.a[1], i.c->o[1].imm, s);
  int n = i.n;
  const u32* z = i.vn == 2 ? x.p<u32>(i.a[2]) : nullptr;
  u32 ign = i.vn == 3 ? x.pr(i.a[2]) : 0;
  ACTIVE {
    d[l] &= 0xffffffff;
    if (s[l] >> 56) fault(x, "cp.async source is not global memory", l, s[l]);
    if ((d[l] | s[l]) & (n - 1)) fault(x, "misaligned cp.async", l, d[l] & (n - 1) ? d[l] : s[l]);
    int sz = z ? (int)z[l] : n;
    if (ign >> l & 1) sz = 0;
    if (sz < 0 || sz > n) fault(x, "cp.async src-size larger than cp-size", l, sz);
    if (!in_shared(x, d[l], n)) fault(x, "shared memory access out of bounds", l, d[l]);
    if (sz) check_global(x, s[l], sz, l);
    x.w->cpa.push_back({(u32)l, x.w->cgrp[l], d[l], s[l], n, sz, i.c->line});
  }
  if (eager()) {
    complete_cp_async(x, x.m, -1);
  }
}
static void h_cpcommit(X& x, const Ins&) {
  ACTIVE x.w->cgrp[l]++;
}
static void h_cpwait(X& x, const Ins& i) {
  complete_cp_async(x, x.m, (int)i.imm);
}  // imm -1: everything, committed or not
// bulk copies (no tensor maps): done at once
static void h_bulk(
    X& x, const Ins& i) {  // n: 0 global->shared with mbarrier, 1 shared->global, 2 reduce-add f32 shared->global
  u64 d[32], s[32], b[32];
  addresses(x, i.a[0], i.imm, d);
  addresses(x, i.a[1], i.c->o[1].imm, s);
  const u32* z = x.p<u32>(i.a[2]);
  if (i.n == 0) addresses(x, i.a[3], i.c->o[3].imm, b);
  ACTIVE {
    u32 sz = z[l];
    if (sz & 15 || d[l] & 15 || s[l] & 15) fault(x, "cp.async.bulk needs 16-byte alignment and size", l, sz);
    u64 g = i.n == 0 ? s[l] : d[l], sh = (i.n == 0 ? d[l] : s[l]) & 0xffffffff;
    if (!sz) continue;
    if (!in_shared(x, sh, sz)) fault(x, "shared memory access out of bounds", l, sh);
    check_global(x, g, sz, l);
    for (u32 k = 0; k < sz; k += 16) {
      if (g_race) race_shared(x, l, sh + k, 16, i.n == 0, false);
      if (g_race >= 2) race_global(x, l, g + k, 16, i.n != 0, i.n == 2);
    }
    if (i.n == 0) {
      memcpy(x.c->sh + sh, (char*)g, sz);
      mbar_complete_tx(x, b[l], sz, l);
    } else if (i.n == 1)
      memcpy((char*)g, x.c->sh + sh, sz);
    else
      for (u32 k = 0; k < sz; k += 4) rmw<float>((float*)(g + k), A_ADD, *(float*)(x.c->sh + sh + k), 0.f, false);
  }
}
// ---------------------------------------------------------------- mbarrier.  The 64-bit word: pending 0..19,
// expected 20..39, transaction bytes (biased) 40..61, phase 63
struct MB {
  s64 pend, exp, tx;
  int phase;
};
static MB mb_get(u64 v) {
  return {(s64)(v & 0xfffff), (s64)(v >> 20 & 0xfffff), (s64)(v >> 40 & 0x3fffff) - 0x200000, (int)(v >> 63)};
}
static u64 mb_put(MB& b) {
  if (b.pend == 0 && b.tx == 0) {
    b.pend = b.exp;
    b.phase ^= 1;
  }
  return (u64)(b.pend & 0xfffff) | (u64)(b.exp & 0xfffff) << 20 | (u64)(b.tx + 0x200000) << 40 | (u64)b.phase << 63;
}
static u64* mb_ptr(X& x, u64 a, int l) {
  a &= 0xffffffff;
  if (a & 7) fault(x, "misaligned mbarrier", l, a);
  if (!in_shared(x, a, 8)) fault(x, "shared memory access out of bounds", l, a);
  return (u64*)(x.c->sh + a);
}
void mbar_complete_tx(X& x, u64 a, s64 bytes, int l) {
  u64* p = mb_ptr(x, a, l);
  MB b = mb_get(*p);
  b.tx -= bytes;
  *p = mb_put(b);
}
enum {
  MB_INIT,
  MB_INVAL,
  MB_ARRIVE,
  MB_ARRIVE_TX,
  MB_DROP,
  MB_EXPECT,
  MB_COMPLETE,
  MB_TEST,
  MB_TESTP,
  MB_CPARRIVE,
  MB_CPARRIVE_NOINC
};
static void h_mbar(X& x, const Ins& i) {  // a[0] result, a[1] address, a[2] count / bytes / state / parity
  u64 ad[32];
  addresses(x, i.a[1], i.imm, ad);
  x.yield = false;
  bool adv = false;
  ACTIVE {
    u64* p = mb_ptr(x, ad[l], l);
    u64 old = *p;
    u32 v = i.vn == 4 ? x.p<u32>(i.a[2])[l] : 1;
    MB b = mb_get(old);
    switch (i.n) {
      case MB_INIT:
        b = {v, v, 0, 0};
        if (!v) fault(x, "mbarrier.init with count 0", l, ad[l]);
        *p = (u64)v | (u64)v << 20 | 0x200000ull << 40;
        break;
      case MB_INVAL:
        *p = ~0ull;
        break;
      case MB_CPARRIVE:
      case MB_CPARRIVE_NOINC:
        complete_cp_async(x, 1u << l, -1);
        if (i.n == MB_CPARRIVE) break;
        [[fallthrough]];
      case MB_ARRIVE:
      case MB_ARRIVE_TX:
      case MB_DROP:
        if (i.n == MB_ARRIVE_TX) {
          b.tx += v;
          v = 1;
        }
        if (i.n == MB_DROP) b.exp -= v;
        if (b.pend < (s64)v) fault(x, "more arrivals at an mbarrier than it expects", l, ad[l]);
        b.pend -= v;
        *p = mb_put(b);
        if (i.a[0].size == 8) x.p<u64>(i.a[0])[l] = old;
        break;
      case MB_EXPECT:
        b.tx += v;
        *p = mb_put(b);
        break;
      case MB_COMPLETE:
        b.tx -= v;
        *p = mb_put(b);
        break;
      default: {
        int ph = i.n == MB_TESTP ? (int)(v & 1) : (int)(x.p<u64>(i.a[2])[l] >> 63);
        bool ok = b.phase != ph;
        u32* d = x.p<u32>(i.a[0]);
        *d = (*d & ~(1u << l)) | (u32)ok << l;
        if (!ok)
          x.yield = true;
        else
          adv = true;
      }
    }
  }
  if (adv) x.c->epoch++;
}
// ---------------------------------------------------------------- decoding
static void vec_args(Module& M, Ins& I, const Op& v,
                     int rs) {  // element operands of a vector source, kept in Cold::targets as raw Args
  Cold& C = *I.c;
  vector<Arg> t;
  for (auto& e : v.v) {
    Arg a;
    if (e.k == Op::REG) {
      a.off = e.off;
      a.size = e.size;
      if (e.size != rs) die("vector element size");
    } else
      a = arg_of(M, e, rs);
    t.push_back(a);
  }
  C.targets.resize((t.size() * sizeof(Arg) + 3) / 4);
  memcpy((void*)C.targets.data(), t.data(), t.size() * sizeof(Arg));
}
static Arg base_arg(const Op& o) {
  Arg a;
  if (o.k != Op::MEM) die("memory operand expected");
  if (o.off >= 0) {
    a.off = o.off;
    a.size = o.size;
  }
  return a;
}
bool decode_memory(Module& M, Ins& I) {
  Cold& C = *I.c;
  auto& o = C.o;
  const string& op = C.op;
  T t = I.t;
  int z = t == NOT_T ? 4 : tsize(t);
  if (op == "ld" || op == "ldu") {
    bool vec = o[0].k == Op::VEC;
    if (vec) I.vn = o[0].v.size();
    int rs = 0;
    if (vec) {
      for (auto& e : o[0].v)
        if (e.k == Op::REG) rs = e.size;
    } else
      rs = o[0].k == Op::REG ? o[0].size : z;
    I.a[1] = base_arg(o[1]);
    I.imm = o[1].imm;
    if (vec && I.vn == 1) {
      I.a[0] = arg_of(M, o[0].v[0], rs);
    } else if (!vec)
      I.a[0] = arg_of(M, o[0], rs);
    bool up = I.space == PARAM && I.a[1].size == 0 && (u64)I.imm < ENTRY_PARAMS && I.vn == 1;
    I.fn = sel_mem(t, rs, [&](auto m, auto r) -> Handler {
      using Mt = decltype(m);
      using R = decltype(r);
      return up ? h_ldparam<Mt, R> : h_ld<Mt, R>;
    });
    return true;
  }
  if (op == "st") {
    bool vec = o[1].k == Op::VEC;
    I.a[0] = base_arg(o[0]);
    I.imm = o[0].imm;
    int rs = z;
    if (vec) {
      I.vn = o[1].v.size();
      for (auto& e : o[1].v)
        if (e.k == Op::REG) rs = e.size;
      vec_args(M, I, o[1], rs);
      if (I.vn == 1) I.a[1] = arg_of(M, o[1].v[0], rs);
    } else {
      if (o[1].k == Op::REG) rs = o[1].size;
      I.a[1] = arg_of(M, o[1], rs);
    }
    I.fn = sel_mem(t, rs, [&](auto m, auto r) -> Handler { return h_st<decltype(m), decltype(r)>; });
    return true;
  }
  if (op == "atom" || op == "red") {
    if (C.has("async")) return true;
    bool red = op == "red";
    int k = red ? 0 : 1;
    static const char* N[] = {"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"};
    int code = -1;
    for (int q = 0; q < 10; q++)
      if (C.has(N[q])) code = q;
    I.n = code;
    if (code < 0 || t == B128) return true;
    I.a[1] = base_arg(o[k]);
    I.imm = o[k].imm;
    if (o[k + 1].k == Op::VEC) {
      I.vn = o[k + 1].v.size();
      vec_args(M, I, o[k + 1], z);
    } else {
      I.vn = 1;
      I.a[2] = arg_of(M, o[k + 1], z);
    }
    if (red || o[0].k == Op::SINK)
      I.a[0].size = 254;
    else if (I.vn == 1)
      I.a[0] = arg_of(M, o[0], z);
    if (code == A_CAS) I.a[3] = arg_of(M, o[k + 2], z);
    bool bits = code == A_EXCH || code == A_CAS;
    switch (t) {
      case U32:
      case B32:
        I.fn = h_atom<u32>;
        break;
      case S32:
        I.fn = h_atom<int32_t>;
        break;
      case U64:
      case B64:
        I.fn = h_atom<u64>;
        break;
      case S64:
        I.fn = h_atom<s64>;
        break;
      case F32:
        I.fn = bits ? h_atom<u32> : h_atom<float>;
        break;
      case F64:
        I.fn = bits ? h_atom<u64> : h_atom<double>;
        break;
      case B16:
      case U16:
        I.fn = h_atom<u16>;
        break;
      case F16:
        if (code == A_ADD) I.fn = h_atom<H>;
        break;
      case BF16:
        if (code == A_ADD) I.fn = h_atom<BF>;
        break;
      case F16X2:
        if (code == A_ADD) I.fn = h_atom<HH>;
        break;
      case BF16X2:
        if (code == A_ADD) I.fn = h_atom<BB>;
        break;
      default:
        break;
    }
    return true;
  }
  if (op == "cp") {
    if (C.has("commit_group")) {
      I.fn = C.has("bulk") ? [](X&, const Ins&) {} : (Handler)h_cpcommit;
      return true;
    }
    if (C.has("wait_all")) {
      I.imm = -1;
      I.fn = h_cpwait;
      return true;
    }
    if (C.has("wait_group")) {
      I.imm = o[0].imm;
      I.fn = C.has("bulk") ? [](X&, const Ins&) {} : (Handler)h_cpwait;
      return true;
    }
    if (C.has("prefetch")) {
      I.fn = [](X&, const Ins&) {};
      return true;
    }
    if (C.has("tensor")) return true;
    if (C.has("mbarrier") && !C.has("bulk")) {
      I.a[1] = base_arg(o[0]);
      I.imm = o[0].imm;
      I.n = C.has("noinc") ? MB_CPARRIVE_NOINC : MB_CPARRIVE;
      I.vn = 1;
      I.fn = h_mbar;
      return true;
    }
    if (C.has("bulk")) {
      string first;
      for (auto& m : C.m)
        if (m == "global" || m.compare(0, 6, "shared") == 0) {
          first = m;
          break;
        }
      I.n = first == "global" ? (C.has("reduce") ? 2 : 1) : 0;
      if (I.n == 0 && !C.has("mbarrier::complete_tx::bytes")) return true;
      if (I.n == 2 && (!C.has("add") || t != F32)) return true;
      I.a[0] = base_arg(o[0]);
      I.imm = o[0].imm;
      I.a[1] = base_arg(o[1]);
      I.a[2] = arg_of(M, o[2], 4);
      if (I.n == 0) I.a[3] = base_arg(o[3]);
      I.fn = h_bulk;
      return true;
    }
    if (!C.has("async") || o.size() < 3) return true;
    I.a[0] = base_arg(o[0]);
    I.imm = o[0].imm;
    I.a[1] = base_arg(o[1]);
    I.n = o[2].imm;
    I.vn = 1;
    if (o.size() > 3) {
      const Op& q = o[3];
      if (q.k == Op::REG && q.size == 0) {
        I.a[2] = arg_of(M, q, 0);
        I.vn = 3;
      } else if (q.k == Op::IMM || (q.k == Op::REG && q.size == 4)) {
        I.a[2] = arg_of(M, q, 4);
        I.vn = 2;
      }
    }
    I.fn = h_cpasync;
    return true;
  }
  if (op == "mbarrier") {
    I.vn = 1;
    int k = 0;
    bool res = o[0].k != Op::MEM;
    if (res) k = 1;
    if (C.m[0] == "pending_count") return true;
    I.a[1] = base_arg(o[k]);
    I.imm = o[k].imm;
    const string& m = C.m[0];
    bool etx = C.has("expect_tx");
    int code = m == "init"                           ? MB_INIT
               : m == "inval"                        ? MB_INVAL
               : m == "arrive"                       ? (etx ? MB_ARRIVE_TX : MB_ARRIVE)
               : m == "arrive_drop"                  ? MB_DROP
               : m == "expect_tx"                    ? MB_EXPECT
               : m == "complete_tx"                  ? MB_COMPLETE
               : m == "test_wait" || m == "try_wait" ? (C.has("parity") ? MB_TESTP : MB_TEST)
                                                     : -1;
    if (code < 0) return true;
    I.n = code;
    if (code == MB_TEST || code == MB_TESTP) {
      I.a[0] = arg_of(M, o[0], 0);
      if (code == MB_TESTP) {
        I.a[2] = arg_of(M, o[2], 4);
        I.vn = 4;
      } else
        I.a[2] = arg_of(M, o[2], 8);
      I.kind = K_YIELD;
    } else {
      if (res && o[0].k == Op::REG) I.a[0] = arg_of(M, o[0], 8);
      if ((int)o.size() > k + 1) {
        I.a[2] = arg_of(M, o[k + 1], 4);
        I.vn = 4;
      }
    }
    I.fn = h_mbar;
    return true;
  }
  return false;
}
