// Tensor-core instructions: mma.sync, ldmatrix, stmatrix, movmatrix, wmma.  Fragment layouts as the PTX ISA manual
// gives them (g = lane / 4, t = lane % 4); wmma fragments, whose layout the manual leaves open, use the mma layout
// where the shape has one.
#include <functional>
#include "emulator.hpp"
using namespace std;
float fp8_value(u8 b, bool e4);
struct RC {
  u16 r, c;
};
enum El : u8 { E_F16, E_BF16, E_TF32, E_S8, E_U8, E_E4, E_E5, E_F64, E_F32, E_S32 };
static int el_bits(int e) {
  switch (e) {
    case E_F16:
    case E_BF16:
      return 16;
    case E_S8:
    case E_U8:
    case E_E4:
    case E_E5:
      return 8;
    case E_F64:
      return 64;
    default:
      return 32;
  }
}
// element e of lane: (row, column) of A, (k, n) of B, (row, column) of C
static RC posA(int bits, int lane, int e) {
  int g = lane >> 2, t = lane & 3;
  if (bits == 64 || bits == 32) return {u16(g + 8 * (e & 1)), u16(t + 4 * (e >> 1))};
  int per = 32 / bits, reg = e / per, q = e % per;
  return {u16(g + 8 * (reg & 1)), u16(t * per + q + 4 * per * (reg >> 1))};
}
static RC posB(int bits, int lane, int e) {
  int g = lane >> 2, t = lane & 3;
  if (bits == 64 || bits == 32) return {u16(t + 4 * e), u16(g)};
  int per = 32 / bits, reg = e / per, q = e % per;
  return {u16(t * per + q + 4 * per * reg), u16(g)};
}
static RC posC(int lane, int e) {
  int g = lane >> 2, t = lane & 3;
  return {u16(g + 8 * (e >> 1)), u16(t * 2 + (e & 1))};
}
struct MmaPlan {
  int M, N, K, ea, eb, ec, ed, na, nb, nc;
  vector<RC> A, B, C;
  vector<u32> ra, rb, rc, rd;
  vector<u8> bc;
  bool satf = false;
  vector<u16> ia, ib, ic; /* flat positions in the A, B, C tiles */
};                        // na.. elements per lane; r*: register offsets
static inline float get_el(const char* R, const vector<u32>& regs, int el, int lane, int e) {
  switch (el) {
    case E_F16:
      return (float)*(H*)(R + regs[e >> 1] + lane * 4 + (e & 1) * 2);
    case E_BF16:
      return (float)*(BF*)(R + regs[e >> 1] + lane * 4 + (e & 1) * 2);
    case E_TF32: {
      u32 u = *(u32*)(R + regs[e] + lane * 4) & ~0x1fffu;
      float f;
      memcpy(&f, &u, 4);
      return f;
    }
    case E_E4:
    case E_E5:
      return fp8_value(*(u8*)(R + regs[e >> 2] + lane * 4 + (e & 3)), el == E_E4);
    default:
      return 0;
  }
}
template <class F>
static inline void gather(float* dst, const u16* idx, int n, F get) {
  for (int l = 0; l < 32; l++)
    for (int e = 0; e < n; e++) *(dst + *idx++) = get(l, e);
}
static inline float bits_f(u32 u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static void gather_in(float* dst, const char* R, const vector<u32>& regs, const vector<u16>& idx, int el, int n) {
  const u32* rg = regs.data();
  switch (el) {
    case E_BF16:
      gather(dst, idx.data(), n,
             [=](int l, int e) { return bits_f((u32) * (const u16*)(R + rg[e >> 1] + l * 4 + (e & 1) * 2) << 16); });
      break;
    case E_F16:
      gather(dst, idx.data(), n,
             [=](int l, int e) { return (float)*(const H*)(R + rg[e >> 1] + l * 4 + (e & 1) * 2); });
      break;
    case E_TF32:
      gather(dst, idx.data(), n, [=](int l, int e) { return bits_f(*(const u32*)(R + rg[e] + l * 4) & ~0x1fffu); });
      break;
    default:
      gather(dst, idx.data(), n, [&](int l, int e) { return get_el(R, regs, el, l, e); });
  }
}
template <int K>
static inline void tile8(const float* A, const float* B, float* C, int M) {
  for (int r = 0; r < M; r++) {
    float acc[8];
    for (int n = 0; n < 8; n++) acc[n] = C[r * 8 + n];
    for (int k = 0; k < K; k++) {
      float a = A[r * K + k];
      for (int n = 0; n < 8; n++) acc[n] = __builtin_fmaf(a, B[k * 8 + n], acc[n]);
    }
    for (int n = 0; n < 8; n++) C[r * 8 + n] = acc[n];
  }
}
static void mma_float(X& x, const MmaPlan& p) {
  alignas(32) static thread_local float A[32 * 32], B[32 * 32], C[32 * 32];
  const char* R = x.base[0];
  const int N = p.N, K = p.K, M = p.M;
  const RC* q;
  gather_in(A, R, p.ra, p.ia, p.ea, p.na);
  gather_in(B, R, p.rb, p.ib, p.eb, p.nb);
  const u16* ic = p.ic.data();
  const int nc = p.nc;
  if (p.ec == E_F32) {
    for (int e = 0; e < nc; e++) {
      const float* s = (const float*)(x.base[p.bc[e]] + p.rc[e]);
      for (int l = 0; l < 32; l++) C[ic[l * nc + e]] = s[l];
    }
  } else
    gather(C, ic, nc,
           [&](int l, int e) { return (float)*(H*)(x.base[p.bc[e >> 1]] + p.rc[e >> 1] + l * 4 + (e & 1) * 2); });
  if (N == 8 && K == 16)
    tile8<16>(A, B, C, M);
  else if (N == 8 && K == 8)
    tile8<8>(A, B, C, M);
  else if (N == 8)
    for (int r = 0; r < M; r++) {
      float acc[8];
      for (int n = 0; n < 8; n++) acc[n] = C[r * 8 + n];
      for (int k = 0; k < K; k++) {
        float a = A[r * K + k];
        for (int n = 0; n < 8; n++) acc[n] = __builtin_fmaf(a, B[k * 8 + n], acc[n]);
      }
      for (int n = 0; n < 8; n++) C[r * 8 + n] = acc[n];
    }
  else
    for (int r = 0; r < M; r++)
      for (int k = 0; k < K; k++) {
        float a = A[r * K + k];
        for (int n = 0; n < N; n++) C[r * N + n] = __builtin_fmaf(a, B[k * N + n], C[r * N + n]);
      }
  if (p.ed == E_F32) {
    for (int e = 0; e < nc; e++) {
      float* d = (float*)(x.base[0] + p.rd[e]);
      for (int l = 0; l < 32; l++) d[l] = C[ic[l * nc + e]];
    }
    return;
  }
  q = p.C.data();
  LANES for (int e = 0; e < p.nc; e++, q++) {
    float v = C[q->r * N + q->c];
    if (p.ed == E_F32)
      *(float*)(x.base[0] + p.rd[e] + l * 4) = v;
    else
      *(H*)(x.base[0] + p.rd[e >> 1] + l * 4 + (e & 1) * 2) = H(v);
  }
}
static void mma_int(X& x, const MmaPlan& p) {
  int A[16 * 32], B[32 * 8];
  int C[16 * 8];
  const char* R = x.base[0];
  auto g8 = [&](const vector<u32>& r, int el, int l, int e) {
    u8 b = *(u8*)(R + r[e >> 2] + l * 4 + (e & 3));
    return el == E_S8 ? (int)(int8_t)b : (int)b;
  };
  const RC* q = p.A.data();
  LANES for (int e = 0; e < p.na; e++, q++) A[q->r * p.K + q->c] = g8(p.ra, p.ea, l, e);
  q = p.B.data();
  LANES for (int e = 0; e < p.nb; e++, q++) B[q->r * 8 + q->c] = g8(p.rb, p.eb, l, e);
  q = p.C.data();
  LANES for (int e = 0; e < p.nc; e++, q++) C[q->r * 8 + q->c] = *(int*)(x.base[p.bc[e]] + p.rc[e] + l * 4);
  for (int r = 0; r < p.M; r++)
    for (int n = 0; n < 8; n++) {
      s64 s = C[r * 8 + n];
      for (int k = 0; k < p.K; k++) s += A[r * p.K + k] * B[k * 8 + n];
      C[r * 8 + n] = p.satf ? (int)max<s64>(INT32_MIN, min<s64>(INT32_MAX, s)) : (int)s;
    }
  q = p.C.data();
  LANES for (int e = 0; e < p.nc; e++, q++) * (int*)(x.base[0] + p.rd[e] + l * 4) = C[q->r * 8 + q->c];
}
static void mma_f64(X& x, const MmaPlan& p) {
  double A[16 * 16], B[16 * 8], C[16 * 8];
  const char* R = x.base[0];
  const RC* q = p.A.data();
  LANES for (int e = 0; e < p.na; e++, q++) A[q->r * p.K + q->c] = *(double*)(R + p.ra[e] + l * 8);
  q = p.B.data();
  LANES for (int e = 0; e < p.nb; e++, q++) B[q->r * 8 + q->c] = *(double*)(R + p.rb[e] + l * 8);
  q = p.C.data();
  LANES for (int e = 0; e < p.nc; e++, q++) C[q->r * 8 + q->c] = *(double*)(x.base[p.bc[e]] + p.rc[e] + l * 8);
  for (int r = 0; r < p.M; r++)
    for (int n = 0; n < 8; n++)
      for (int k = 0; k < p.K; k++) C[r * 8 + n] = fma(A[r * p.K + k], B[k * 8 + n], C[r * 8 + n]);
  q = p.C.data();
  LANES for (int e = 0; e < p.nc; e++, q++) * (double*)(x.base[0] + p.rd[e] + l * 8) = C[q->r * 8 + q->c];
}
static vector<unique_ptr<MmaPlan>> plans;  // filled while modules are decoded (at load time)
static void h_mma(X& x, const Ins& i) {
  const MmaPlan& p = *plans[i.imm];
  if (p.ea == E_F64)
    mma_f64(x, p);
  else if (p.ea == E_S8 || p.ea == E_U8)
    mma_int(x, p);
  else
    mma_float(x, p);
}
// ---------------------------------------------------------------- ldmatrix / stmatrix: 8x8 matrices of 16-bit elements
static void h_ldmatrix(X& x, const Ins& i) {  // n = 1, 2, 4 matrices; vn = trans
  u64 ad[32];
  const Arg& b = i.a[1];
  LANES ad[l] = (b.size == 8 ? x.p<u64>(b)[l] : b.size == 4 ? x.p<u32>(b)[l] : 0) + i.imm;
  auto& v = i.c->o[0];
  const u16* row[32];
  for (int l = 0; l < 8 * i.n; l++) {
    u64 a = ad[l] & 0xffffffff;
    if (a & 15) fault(x, "misaligned ldmatrix row", l, a);
    row[l] = (const u16*)shared_ptr_at(x, a, 16, l, false);
  }
  for (int k = 0; k < i.n; k++) {
    const Op& o = v.k == Op::VEC ? v.v[k] : v;
    u32* d = (u32*)(x.base[0] + o.off);
    const u16* const* r = row + 8 * k;
    LANES {
      int g = l >> 2, t = l & 3;
      d[l] = i.vn ? (u32)r[2 * t][g] | (u32)r[2 * t + 1][g] << 16 : (u32)r[g][2 * t] | (u32)r[g][2 * t + 1] << 16;
    }
  }
}
static void h_stmatrix(X& x, const Ins& i) {
  u64 ad[32];
  const Arg& b = i.a[1];
  LANES ad[l] = (b.size == 8 ? x.p<u64>(b)[l] : b.size == 4 ? x.p<u32>(b)[l] : 0) + i.imm;
  auto& v = i.c->o[1];
  for (int k = 0; k < i.n; k++) {
    const Op& o = v.k == Op::VEC ? v.v[k] : v;
    const u32* s = (const u32*)(x.base[0] + o.off);
    u16* row[8];
    for (int q = 0; q < 8; q++) {
      u64 a = ad[8 * k + q] & 0xffffffff;
      if (a & 15) fault(x, "misaligned stmatrix row", 8 * k + q, a);
      row[q] = (u16*)shared_ptr_at(x, a, 16, 8 * k + q, true);
    }
    LANES {
      int g = l >> 2, t = l & 3;
      if (i.vn) {
        row[2 * t][g] = s[l];
        row[2 * t + 1][g] = s[l] >> 16;
      } else {
        row[g][2 * t] = s[l];
        row[g][2 * t + 1] = s[l] >> 16;
      }
    }
  }
}
static void h_movmatrix(X& x, const Ins& i) {
  u16 m[8][8];
  const u32* a = x.p<u32>(i.a[1]);
  u32* d = x.p<u32>(i.a[0]);
  LANES {
    m[l >> 2][2 * (l & 3)] = a[l];
    m[l >> 2][2 * (l & 3) + 1] = a[l] >> 16;
  }
  LANES d[l] = (u32)m[2 * (l & 3)][l >> 2] | (u32)m[2 * (l & 3) + 1][l >> 2] << 16;
}
// ---------------------------------------------------------------- wmma
struct WPlan {
  int el, n;
  bool col, store;
  vector<RC> pos;
  vector<u32> regs;
  int ebytes;
  u8 space;
  Arg base, stride;
  s64 imm;
  bool has_stride;
  int defstride;
};
static vector<unique_ptr<WPlan>> wplans;
static RC wpos(int which, int M, int N, int K, int el, int lane,
               int e) {  // which: 0 A (M x K), 1 B (K x N), 2 C (M x N)
  int b = el_bits(el), rows = which == 1 ? K : M, cols = which == 0 ? K : N, tot = rows * cols;
  if (M == 16 && N == 16) {
    if (which == 0) return posA(b, lane, e % (tot / 32));
    if (which == 2) {
      RC r = posC(lane, e & 3);
      r.c += 8 * (e >> 2);
      return r;
    }
    int half = tot / 64;
    e %= tot / 32;
    RC r = posB(b, lane, e % half);
    r.c += 8 * (e / half);
    return r;
  }
  int per = max(1, tot / 32), idx = (lane * per + e % per) % tot;
  return {u16(idx / cols), u16(idx % cols)};
}
static void h_wmem(X& x, const Ins& i) {
  const WPlan& p = *wplans[i.imm];
  const int l0 = 0;
  u64 a = p.imm;
  if (p.base.size == 8)
    a += x.p<u64>(p.base)[l0];
  else if (p.base.size == 4)
    a += x.p<u32>(p.base)[l0];
  u32 st = p.has_stride ? x.p<u32>(p.stride)[l0] : p.defstride;
  int space = p.space;
  if (space == GEN) {
    if (a >> 56 == 1) {
      space = SHARED;
      a &= 0xffffffff;
    } else if (a >> 56)
      fault(x, "wmma address", 0, a);
  } else if (space == SHARED)
    a &= 0xffffffff;
  if (a % 16) fault(x, "wmma needs a 16-byte aligned matrix", 0, a);
  if (st * p.ebytes % 16) fault(x, "wmma stride must be a multiple of 16 bytes", 0, st);
  const RC* q = p.pos.data();
  int eb = p.ebytes;
  LANES for (int e = 0; e < p.n; e++, q++) {
    u64 ea = a + (u64)(p.col ? q->c * (u64)st + q->r : q->r * (u64)st + q->c) * eb;
    char* h;
    if (space == SHARED)
      h = shared_ptr_at(x, ea, eb, l, p.store);
    else {
      if (!(x.rgen == g_alloc_gen.load(memory_order_relaxed) && ea >= x.rc.lo && ea + eb <= x.rc.hi)) {
        if (!find_range(ea, eb, x.rc)) fault(x, "illegal global address", l, ea);
        x.rgen = g_alloc_gen.load();
      }
      if (g_race >= 2) race_global(x, l, ea, eb, p.store, false);
      h = (char*)ea;
    }
    char* r = x.base[0] + (eb == 2   ? p.regs[e >> 1] + l * 4 + (e & 1) * 2
                           : eb == 1 ? p.regs[e >> 2] + l * 4 + (e & 3)
                           : eb == 8 ? p.regs[e] + l * 8
                                     : p.regs[e] + l * 4);
    if (p.store)
      memcpy(h, r, eb);
    else
      memcpy(r, h, eb);
  }
}
// ---------------------------------------------------------------- decoding
static int el_of(const string& s) {
  return s == "f16"    ? E_F16
         : s == "bf16" ? E_BF16
         : s == "tf32" ? E_TF32
         : s == "s8"   ? E_S8
         : s == "u8"   ? E_U8
         : s == "e4m3" ? E_E4
         : s == "e5m2" ? E_E5
         : s == "f64"  ? E_F64
         : s == "f32"  ? E_F32
         : s == "s32"  ? E_S32
                       : -1;
}
static bool shape(const Cold& C, int& M, int& N, int& K) {
  for (auto& m : C.m)
    if (m[0] == 'm' && sscanf(m.c_str(), "m%dn%dk%d", &M, &N, &K) == 3) return true;
  return false;
}
static vector<u32> regs_of(const Op& o) {
  vector<u32> r;
  if (o.k == Op::VEC) {
    for (auto& e : o.v) {
      if (e.k != Op::REG) return {};
      r.push_back(e.off);
    }
  } else if (o.k == Op::REG)
    r.push_back(o.off);
  return r;
}
bool decode_tensor(Module& M, Ins& I) {
  Cold& C = *I.c;
  auto& o = C.o;
  const string& op = C.op;
  if (op == "ldmatrix" || op == "stmatrix") {
    I.kind = K_ALIGNED;
    bool ld = op[0] == 'l';
    const Op& mem = ld ? o[1] : o[0];
    if (!C.has("m8n8") || I.t != B16) return true;
    I.n = C.has("x4") ? 4 : C.has("x2") ? 2 : 1;
    I.vn = C.has("trans");
    if (mem.off >= 0) {
      I.a[1].off = mem.off;
      I.a[1].size = mem.size;
    }
    I.imm = mem.imm;
    if ((int)regs_of(ld ? o[0] : o[1]).size() != I.n) return true;
    I.fn = ld ? h_ldmatrix : h_stmatrix;
    return true;
  }
  if (op == "movmatrix") {
    I.kind = K_ALIGNED;
    I.a[0] = arg_of(M, o[0], 4);
    I.a[1] = arg_of(M, o[1], 4);
    I.fn = h_movmatrix;
    return true;
  }
  if (op == "wgmma" || op == "tcgen05") {
    I.kind = K_ALIGNED;
    return true;
  }
  if (op == "mma" || (op == "wmma" && C.m[0] == "mma")) {
    I.kind = K_ALIGNED;
    bool w = op == "wmma";
    auto p = make_unique<MmaPlan>();
    if (!shape(C, p->M, p->N, p->K)) return true;
    vector<int> el;
    for (auto& m : C.m) {
      int e = el_of(m);
      if (e >= 0) el.push_back(e);
    }
    p->satf = C.has("satfinite");
    // types: d a b c (mma), d c for f16 wmma, d a b c otherwise
    if (w && el.size() == 2) el = {el[0], E_F16, E_F16, el[1]};
    if (el.size() != 4) return true;
    p->ed = el[0];
    p->ea = el[1];
    p->eb = el[2];
    p->ec = el[3];
    if (C.has("sp") || C.has("sp::ordered_metadata") || C.has("block_scale")) return true;
    p->rd = regs_of(o[0]);
    p->ra = regs_of(o[1]);
    p->rb = regs_of(o[2]);
    int bits = el_bits(p->ea), perA = max(1, 32 / bits), perC = p->ec == E_F16 ? 2 : 1;
    int cz = p->ec == E_F64 ? 8 : 4;
    if (o[3].k != Op::VEC) {
      Op q;
      q.k = Op::VEC;
      q.v.push_back(o[3]);
      o[3] = q;
    }
    for (auto& e : o[3].v) {
      Arg a = arg_of(M, e, cz);
      p->rc.push_back(a.off);
      p->bc.push_back(a.bank);
    }
    p->na = p->ra.size() * perA;
    p->nb = p->rb.size() * perA;
    p->nc = p->rc.size() * perC;
    bool row_col = w || (C.m.size() > 2 && C.has("row") && C.has("col"));
    if (!row_col) return true;
    bool ok;
    if (w) {
      ok = p->ea != E_F64 && p->ea != E_S8 && p->ea != E_U8;
    } else {
      static const int OK[][4] = {{E_F16, 16, 8, 16}, {E_BF16, 16, 8, 16}, {E_F16, 16, 8, 8}, {E_BF16, 16, 8, 8},
                                  {E_TF32, 16, 8, 8}, {E_TF32, 16, 8, 4},  {E_S8, 16, 8, 16}, {E_S8, 16, 8, 32},
                                  {E_U8, 16, 8, 16},  {E_U8, 16, 8, 32},   {E_E4, 16, 8, 32}, {E_E5, 16, 8, 32},
                                  {E_E4, 16, 8, 16},  {E_E5, 16, 8, 16},   {E_F64, 8, 8, 4},  {E_F64, 16, 8, 4},
                                  {E_F64, 16, 8, 8},  {E_F64, 16, 8, 16}};
      ok = false;
      for (auto& k : OK)
        if (k[0] == p->ea && k[1] == p->M && k[2] == p->N && k[3] == p->K) ok = true;
      if (ok && (p->na != p->M * p->K / 32 || p->nb != p->K * 8 / 32 || p->nc != p->M * 8 / 32)) ok = false;
    }
    if (!ok) return true;
    LANES for (int e = 0; e < p->na; e++)
        p->A.push_back(w ? wpos(0, p->M, p->N, p->K, p->ea, l, e) : posA(p->M == 8 ? 32 : bits, l, e));
    LANES for (int e = 0; e < p->nb; e++) p->B.push_back(w ? wpos(1, p->M, p->N, p->K, p->eb, l, e) : posB(bits, l, e));
    LANES for (int e = 0; e < p->nc; e++) p->C.push_back(w ? wpos(2, p->M, p->N, p->K, p->ec, l, e) : posC(l, e));
    for (auto& q : p->A) p->ia.push_back(q.r * p->K + q.c);
    for (auto& q : p->B) p->ib.push_back(q.r * p->N + q.c);
    for (auto& q : p->C) p->ic.push_back(q.r * p->N + q.c);
    I.imm = plans.size();
    plans.push_back(move(p));
    I.fn = h_mma;
    return true;
  }
  if (op == "wmma") {
    I.kind = K_ALIGNED;
    auto p = make_unique<WPlan>();
    int m, n, k;
    if (!shape(C, m, n, k)) return true;
    p->store = C.m[0] == "store";
    int which = C.has("a") ? 0 : C.has("b") ? 1 : 2;
    p->el = -1;
    for (auto& q : C.m) {
      int e = el_of(q);
      if (e >= 0) p->el = e;
    }
    if (p->el < 0 || p->el == E_F64) return true;
    p->ebytes = el_bits(p->el) / 8;
    p->col = C.has("col");
    p->space = I.space;
    const Op& mem = p->store ? o[0] : o[1];
    const Op& v = p->store ? o[1] : o[0];
    if (mem.off >= 0) {
      p->base.off = mem.off;
      p->base.size = mem.size;
    }
    p->imm = mem.imm;
    p->has_stride = o.size() > 2;
    if (p->has_stride) p->stride = arg_of(M, o[2], 4);
    int rows = which == 1 ? k : m, cols = which == 0 ? k : n;
    p->defstride = p->col ? rows : cols;
    p->regs = regs_of(v);
    if (p->regs.empty()) return true;
    p->n = p->regs.size() * (4 / p->ebytes);
    LANES for (int e = 0; e < p->n; e++) p->pos.push_back(wpos(which, m, n, k, p->el, l, e));
    I.imm = wplans.size();
    wplans.push_back(move(p));
    I.fn = h_wmem;
    return true;
  }
  return false;
}
