// ptxemu: executes the PTX that nvcc embeds, on the CPU.  Shared declarations.
//   parser.cpp   PTX text -> Module (functions, variables, instructions with symbolic operands)
//   decode.cpp   picks a handler and fixes operand offsets for every instruction; arithmetic handlers
//   memory.cpp   ld/st/atom/red/cp.async/mbarrier handlers
//   tensor.cpp   mma, ldmatrix, stmatrix, wmma
//   sched.cpp    warp / CTA / grid scheduling, barriers, warp-collective operations, calls
//   checks.cpp   allocation table, race checks
//   runtime.cpp  the CUDA runtime API
#pragma once
#include <cuda_runtime_api.h>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>
typedef uint64_t u64;
typedef uint32_t u32;
typedef int64_t s64;
typedef uint16_t u16;
typedef uint8_t u8;
[[noreturn]] void die(const char* fmt, ...) __attribute__((format(printf, 1, 2)));

// ---- types of the instruction set
enum T : u8 {
  B8,
  U8,
  S8,
  B16,
  U16,
  S16,
  F16,
  BF16,
  F16X2,
  BF16X2,
  B32,
  U32,
  S32,
  F32,
  TF32,
  B64,
  U64,
  S64,
  F64,
  PRED,
  E4M3,
  E5M2,
  E4M3X2,
  E5M2X2,
  B128,
  F32X2,
  NOT_T
};
int tsize(T t);                        // bytes; PRED counts as 4 (a lane mask)
T type_by_name(const std::string& s);  // NOT_T when s names no type
struct H {                             // IEEE half
  _Float16 v;
  H() {}
  H(float f) : v((_Float16)f) {}
  H(double f) : v((_Float16)f) {}
  operator float() const { return (float)v; }
};
struct BF {
  u16 b;
  BF() {}
  operator float() const {
    u32 u = (u32)b << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
  }
  BF(float f) {
    u32 u;
    memcpy(&u, &f, 4);
    b = f != f ? 0x7fff : (u16)((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
};

// ---- address spaces.  Shared: static variables from 0, dynamic ones from DYN.  Generic addresses carry the space in
// the top byte.
enum Space : u8 { GEN, GLOBAL, SHARED, LOCAL, CONST_, PARAM };
static const u64 DYN = 65536, SHARED_WIN = 1ull << 56, LOCAL_WIN = 2ull << 56, FUNC_WIN = 3ull << 56,
                 ENTRY_PARAMS = 4352;

// ---- operands.  Op is what the parser saw; Arg is what a handler uses: an offset into one of two banks (warp
// registers / constants)
struct Op {
  enum K : u8 { SINK, REG, IMM, MEM, LAB, VEC } k = SINK;
  int off = -1;
  u8 size = 0;
  bool neg = false;
  int off2 = -1;
  u8 size2 = 0;
  u64 imm = 0;
  std::string sym;
  std::vector<Op> v;
};
struct Arg {
  u32 off = 0;
  u8 bank = 0, size = 0;
  bool neg = false;
};
struct X;
struct Ins;
typedef void (*Handler)(X&, const Ins&);
// everything about an instruction that the inner loop does not need
struct Cold {
  std::string op, text;
  std::vector<std::string> m;
  std::vector<Op> o;
  int line = 0;
  bool has(const char* s) const {
    for (auto& x : m)
      if (x == s) return true;
    return false;
  }
  std::vector<int> targets;
};
enum Kind : u8 {
  K_ALU,
  K_BRA,
  K_BRX,
  K_RET,
  K_EXIT,
  K_CALL,
  K_BAR,
  K_SYNC /*warp-collective*/,
  K_ALIGNED /*needs the whole warp*/,
  K_YIELD
};
struct Ins {
  Handler fn = nullptr;
  int pred = -1, target = -1;
  bool pneg = false;
  Kind kind = K_ALU;
  T t = NOT_T, t2 = NOT_T;
  u8 space = 0, vn = 1, n = 0;
  u32 fl = 0;
  s64 imm = 0;
  Arg a[5];
  std::unique_ptr<Cold> c;
};
enum : u32 {
  SAT = 1,
  RNI = 2,
  RZI = 4,
  RMI = 8,
  RPI = 16,
  WIDE = 32,
  HI = 64,
  RZ = 256,
  RM = 512,
  RP = 1024,
  FTZ = 2048,
  NANP = 4096,
  RELU = 8192,
  STRONG = 16384,
  ACQREL = 32768,
  SATFIN = 65536,
  RNA = 131072,
  UNI = 262144
};

struct Var {
  u8 space;
  u64 off, size;
};
struct Fn {
  std::string name;
  bool entry = false;
  int start = -1, end = -1;
  std::vector<std::pair<u64, u64>> params;
  std::pair<u64, u64> ret{0, 0};
  bool has_ret = false;
  u64 psize = 0, smem = 0, lmem = 0, regs = 0;
  int id = 0;
  int maxntid = 0;
};
struct Module {
  std::vector<Ins> code;
  std::map<std::string, Fn> fns;
  std::vector<std::string> fn_by_id;
  std::map<std::string, Var> gv;
  std::vector<char> cpool;
  std::map<std::pair<u64, int>, u32> cidx;
  u64 func_regs = 0, func_lmem = 0, pspace = ENTRY_PARAMS, mod_smem = 0;
  int version = 0, target = 0;
};
void parse_module(Module&, const std::string& text);
void decode(Module&, Ins&);  // after parsing
u64 fp_seq();

// ---- special registers: fixed slots at the start of every warp's register file (128 bytes each)
enum SR {
  TIDX,
  TIDY,
  TIDZ,
  NTX,
  NTY,
  NTZ,
  CX,
  CY,
  CZ,
  NCX,
  NCY,
  NCZ,
  LANE,
  WARPID,
  NWARP,
  LMEQ,
  LMLT,
  LMLE,
  LMGT,
  LMGE,
  SMID,
  NSMID,
  DSMEM,
  TSMEM,
  ZERO,
  ONE,
  CLK,
  GTIME,
  ENV1,
  ENV2,
  SR_COUNT
};
int special_reg(const std::string&, int& size);  // slot or -1
static const u32 SLOT = 256;                     // bytes reserved per special register

// ---- execution state
struct Pending {
  u32 lane, group;
  u64 dst, src;
  int n, s;
  int line;
};  // a cp.async that has been issued and not waited for
struct Frame {
  int ret_pc;
  int ret_src;
  u64 dst, size;
};
struct Warp {
  char* R = nullptr;
  u32 run = 0, bar = 0, sync = 0, dead = 0;
  int pc[32];
  u32 id = 0;
  char* par = nullptr;
  char* loc = nullptr;
  std::vector<Frame> stk[32];
  const Ins* redI[32];
  u8 redP[32];
  u8 barid[32];
  int barcnt[32];
  u64 steps = 0;
  u32 sep = 0;
  std::vector<Pending> cpa;
  u32 cgrp[32];
};
struct Shadow;
struct Cta {
  std::vector<Warp> w;
  char* sh = nullptr;
  u64 lin = 0;
  u32 id[3];
  u32 epoch = 1;
  std::vector<Shadow> shd;
  u32 arrived[16];
  bool started = false;
};
struct Launch {
  const Module* M;
  const Fn* F;
  dim3 g, b;
  u64 dyn, lmem, regs;
  std::vector<char> ent;
  bool coop;
  u64 ws = 0; /* cooperative grid workspace */
};
struct Range {
  u64 lo = 0, hi = 0;
};
struct X {       // what a handler sees
  char* base[3]; /* warp registers, constants, sink */
  u32 m;
  Warp* w;
  Cta* c;
  const Launch* L;
  const Ins* I;
  u64 insts = 0;
  Range rc;
  u64 rgen = ~0ull;
  bool yield = false;
  template <class Q>
  Q* p(const Arg& a) {
    return (Q*)(base[a.bank] + a.off);
  }
  u32 pr(const Arg& a) {
    u32 v = *(u32*)(base[a.bank] + a.off);
    return a.neg ? ~v : v;
  }
  u32* R32(int slot) { return (u32*)(base[0] + slot * SLOT); }
};
[[noreturn]] void fault(X&, const char* why, int lane = -1, u64 addr = 0);
cudaError_t run_grid(Launch&);
#define LANES for (int l = 0; l < 32; l++)
#define ACTIVE                             \
  for (u32 mm_ = x.m; mm_; mm_ &= mm_ - 1) \
    if (int l = __builtin_ctz(mm_); true)
// write f(lane) to d for the active lanes; computes all 32 lanes (vectorised)
template <class Q, class F>
static inline void put(X& x, Q* d, F f) {
  if (x.m == ~0u) {
#pragma GCC ivdep
    for (int l = 0; l < 32; l++) d[l] = f(l);
  } else {
    Q t[32];
    for (int l = 0; l < 32; l++) t[l] = f(l);
    for (u32 r = x.m; r; r &= r - 1) {
      int l = __builtin_ctz(r);
      d[l] = t[l];
    }
  }
}
// the same for expensive f: active lanes only
template <class Q, class F>
static inline void put_slow(X& x, Q* d, F f) {
  for (u32 r = x.m; r; r &= r - 1) {
    int l = __builtin_ctz(r);
    d[l] = f(l);
  }
}

// handlers that live in other files
bool decode_memory(Module&, Ins&);
bool decode_tensor(Module&, Ins&);
bool decode_collective(Module&, Ins&);
Arg arg_of(Module&, const Op&, int size);  // register or pooled constant; size 0: predicate
char* shared_ptr_at(X&, u64 a, int n, int lane, bool wr);
void complete_cp_async(X&, u32 lanes, int keep);
void mbar_complete_tx(X&, u64 addr, s64 bytes, int lane);

// ---- checks.cpp
void reg_alloc(void* p, size_t n);
bool unreg_alloc(void* p, size_t* n = nullptr);
bool find_range(u64 a, int n, Range& r);
extern std::atomic<u64> g_alloc_gen;
size_t alloc_size(void*);
extern int g_race;
extern bool g_track;
extern std::atomic<u64> g_inst;
struct Shadow {
  int w = -1, r = -1, r2 = -1;
  u32 we = 0, re = 0, ws = 0, rs = 0;
  int wl = 0, rl = 0;
  u64 wt = 0;
};
void race_shared(X&, int lane, u64 a, int n, bool wr, bool atomic);
void race_global(X&, int lane, u64 a, int n, bool wr, bool strong);
void race_fence(X&);
void race_begin(const Launch&);
