// Scheduling: lanes of a warp (min-PC with reconvergence), warps of a block, blocks of a grid; barriers, calls, warp
// collectives.
#include <climits>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include "emulator.hpp"
using namespace std;
[[noreturn]] void fault(X& x, const char* why, int lane, u64 addr) {
  int l = lane >= 0 ? lane : x.m ? __builtin_ctz(x.m) : 0;
  die("%s at '%s' (PTX line %d) in %s, block (%u,%u,%u) thread (%u,%u,%u) addr 0x%llx", why, x.I->c->text.c_str(),
      x.I->c->line, x.L->F->name.c_str(), x.c->id[0], x.c->id[1], x.c->id[2], x.R32(TIDX)[l], x.R32(TIDY)[l],
      x.R32(TIDZ)[l], (unsigned long long)addr);
}
// ---------------------------------------------------------------- warp collectives (x.m: the lanes that execute
// together; a[4]: member mask)
static void h_shfl(X& x, const Ins& i) {
  const u32 *A = x.p<u32>(i.a[1]), *B = x.p<u32>(i.a[2]), *C = x.p<u32>(i.a[3]);
  u32 r[32], pd = 0;
  ACTIVE {
    int b = B[l] & 31, cv = C[l] & 31, sm = C[l] >> 8 & 31, mx = (l & sm) | (cv & ~sm), mn = l & sm, j;
    bool p;
    switch (i.n) {
      case 0:
        j = l - b;
        p = j >= mx;
        break;
      case 1:
        j = l + b;
        p = j <= mx;
        break;
      case 2:
        j = l ^ b;
        p = j <= mx;
        break;
      default:
        j = mn | (b & ~sm);
        p = j <= mx;
    }
    if (!p) j = l;
    if (!(x.m >> j & 1)) fault(x, "shfl reads an inactive lane", l);
    r[l] = A[j];
    pd |= (u32)p << l;
  }
  u32* d = x.p<u32>(i.a[0]);
  ACTIVE d[l] = r[l];
  if (i.imm >= 0) {
    u32* q = (u32*)(x.base[0] + i.imm);
    *q = (*q & ~x.m) | (pd & x.m);
  }
}
static void h_vote(X& x, const Ins& i) {
  u32 p = x.pr(i.a[1]);
  const u32* mm = x.p<u32>(i.a[4]);
  u32 mk = mm[__builtin_ctz(x.m)] & x.m, v = p & mk;
  if (i.n == 0) {
    u32* d = x.p<u32>(i.a[0]);
    ACTIVE d[l] = v;
    return;
  }
  bool r = i.n == 1 ? v != 0 : i.n == 2 ? v == mk : v == mk || v == 0;
  u32* d = x.p<u32>(i.a[0]);
  *d = r ? *d | x.m : *d & ~x.m;
}
template <class Q>
static void h_match(X& x, const Ins& i) {
  const Q* A = x.p<Q>(i.a[1]);
  u32 out[32];
  u32 pd = 0;
  ACTIVE {
    u32 r = 0;
    for (u32 k = x.m; k; k &= k - 1) {
      int j = __builtin_ctz(k);
      if (A[j] == A[l]) r |= 1u << j;
    }
    if (i.n) {
      bool all = r == x.m;
      out[l] = all ? x.m : 0;
      pd |= (u32)all << l;
    } else
      out[l] = r;
  }
  u32* d = x.p<u32>(i.a[0]);
  ACTIVE d[l] = out[l];
  if (i.imm >= 0) {
    u32* q = (u32*)(x.base[0] + i.imm);
    *q = (*q & ~x.m) | pd;
  }
}
static void h_redux(X& x, const Ins& i) {
  const u32* A = x.p<u32>(i.a[1]);
  bool first = true;
  u32 r = 0;
  float fr = 0;
  ACTIVE {
    u32 v = A[l];
    if (i.t == F32) {
      float f;
      memcpy(&f, &v, 4);
      if (i.fl & NANP && (f != f)) {
        fr = f;
        first = false;
        continue;
      }
      fr = first ? f : i.n == 4 ? fminf(fr, f) : fmaxf(fr, f);
      first = false;
      memcpy(&r, &fr, 4);
      continue;
    }
    if (first)
      r = v;
    else
      switch (i.n) {
        case 0:
          r += v;
          break;
        case 1:
          r &= v;
          break;
        case 2:
          r |= v;
          break;
        case 3:
          r ^= v;
          break;
        case 4:
          r = i.t == S32 ? (u32)min((int)r, (int)v) : min(r, v);
          break;
        default:
          r = i.t == S32 ? (u32)max((int)r, (int)v) : max(r, v);
      }
    first = false;
  }
  u32* d = x.p<u32>(i.a[0]);
  ACTIVE d[l] = r;
}
static void h_elect(X& x, const Ins& i) {
  int leader = __builtin_ctz(x.m);
  if (i.a[0].bank == 0) {
    u32* d = x.p<u32>(i.a[0]);
    ACTIVE d[l] = leader;
  }
  if (i.imm >= 0) {
    u32* q = (u32*)(x.base[0] + i.imm);
    *q = (*q & ~x.m) | 1u << leader;
  }
}
static void h_none(X&, const Ins&) {}
bool decode_collective(Module& M, Ins& I) {
  Cold& C = *I.c;
  auto& o = C.o;
  const string& op = C.op;
  int z = I.t == NOT_T ? 4 : tsize(I.t);
  I.imm = -1;
  if (op == "shfl") {
    if (!C.has("sync")) die("shfl without .sync");
    I.kind = K_SYNC;
    for (int k = 0; k < 5; k++) I.a[k] = arg_of(M, o[k], 4);
    if (o[0].off2 >= 0) I.imm = o[0].off2;
    I.n = C.has("up") ? 0 : C.has("down") ? 1 : C.has("bfly") ? 2 : 3;
    I.fn = h_shfl;
    return true;
  }
  if (op == "vote") {
    I.kind = K_SYNC;
    I.n = C.has("ballot") ? 0 : C.has("any") ? 1 : C.has("all") ? 2 : 3;
    I.a[0] = arg_of(M, o[0], I.n ? 0 : 4);
    I.a[1] = arg_of(M, o[1], 0);
    I.a[4] = arg_of(M, o[2], 4);
    I.fn = h_vote;
    return true;
  }
  if (op == "match") {
    I.kind = K_SYNC;
    I.n = C.has("all");
    I.a[0] = arg_of(M, o[0], 4);
    if (o[0].off2 >= 0) I.imm = o[0].off2;
    I.a[1] = arg_of(M, o[1], z);
    I.a[4] = arg_of(M, o[2], 4);
    I.fn = z == 4 ? h_match<u32> : h_match<u64>;
    return true;
  }
  if (op == "redux") {
    I.kind = K_SYNC;
    static const char* N[] = {"add", "and", "or", "xor", "min", "max"};
    for (int k = 0; k < 6; k++)
      if (C.has(N[k])) I.n = k;
    I.a[0] = arg_of(M, o[0], 4);
    I.a[1] = arg_of(M, o[1], 4);
    I.a[4] = arg_of(M, o[2], 4);
    I.fn = C.has("abs") ? nullptr : h_redux;
    return true;
  }
  if (op == "elect") {
    I.kind = K_SYNC;
    if (o[0].k == Op::REG && o[0].size)
      I.a[0] = arg_of(M, o[0], 4);
    else
      I.a[0].bank = 2;
    if (o[0].off2 >= 0) I.imm = o[0].off2;
    I.a[4] = arg_of(M, o[1], 4);
    I.fn = h_elect;
    return true;
  }
  if (op == "bar" || op == "barrier") {
    if (C.has("warp")) {
      I.kind = K_SYNC;
      I.a[4] = arg_of(M, o[0], 4);
      I.fn = h_none;
      return true;
    }
    I.kind = K_BAR;
    I.fn = h_none;
    I.n = 0;
    Op zero;
    zero.k = Op::IMM;
    if (C.has("cluster")) {
      if (C.has("arrive")) {
        I.kind = K_ALU;
        return true;
      }
      I.a[1] = arg_of(M, zero, 4);
      return true;
    }
    if (C.has("red")) {
      I.n = C.has("popc") ? 2 : C.has("and") ? 3 : 4;
      I.a[0] = arg_of(M, o[0], I.n == 2 ? 4 : 0);
      I.a[1] = arg_of(M, o[1], 4);
      if (o.size() > 3) I.a[2] = arg_of(M, o[2], 4);
      I.a[3] = arg_of(M, o.back(), 0);
      return true;
    }
    if (C.has("arrive")) I.n = 1;
    I.a[1] = arg_of(M, o[0], 4);
    if (o.size() > 1) I.a[2] = arg_of(M, o[1], 4);
    return true;
  }
  return false;
}
// ---------------------------------------------------------------- calls
static string format(const char* f, const char* b, X& x) {
  size_t off = 0;
  string s;
  for (; *f; f++) {
    if (*f != '%') {
      s += *f;
      continue;
    }
    if (f[1] == '%') {
      s += '%';
      f++;
      continue;
    }
    string sp = "%";
    f++;
    bool ll = false;
    while (*f && !isalpha((unsigned char)*f)) {
      if (*f == '*') {
        off = (off + 3) / 4 * 4;
        int v;
        memcpy(&v, b + off, 4);
        off += 4;
        sp += to_string(v);
        f++;
      } else
        sp += *f++;
    }
    while (*f == 'l' || *f == 'h' || *f == 'z') {
      if (*f == 'l' || *f == 'z') ll = true;
      f++;
    }
    char bf[512];
    int sz = strchr("fFgGeEaAsp", *f) || ll ? 8 : 4;
    off = (off + sz - 1) / sz * sz;
    if (strchr("fFgGeEaA", *f)) {
      double v;
      memcpy(&v, b + off, 8);
      snprintf(bf, 512, (sp + *f).c_str(), v);
    } else if (*f == 's' || *f == 'p') {
      char* v;
      memcpy(&v, b + off, 8);
      snprintf(bf, 512, (sp + *f).c_str(), v);
    } else {
      s64 v = 0;
      memcpy(&v, b + off, sz);
      if (sz == 4) v = *f == 'd' || *f == 'i' ? (s64)(int32_t)v : v;
      if (*f == 'c')
        snprintf(bf, 512, (sp + 'c').c_str(), (int)v);
      else
        snprintf(bf, 512, (sp + "ll" + *f).c_str(), v);
    }
    off += sz;
    s += bf;
  }
  (void)x;
  return s;
}
static void do_call(X& x, int pc) {  // sets w.pc of the active lanes
  const Ins& i = *x.I;
  const Module& M = *x.L->M;
  Warp& w = *x.w;
  const Cold& C = *i.c;
  auto par = [&](int l, u64 off) { return w.par + (size_t)l * M.pspace + off; };
  const string& n = C.o[1].sym;
  if (C.o[1].k != Op::REG) {
    if (n == "vprintf") {
      ACTIVE {
        u64 fa, va;
        memcpy(&fa, par(l, C.o[2].imm), 8);
        memcpy(&va, par(l, C.o[3].imm), 8);
        const char* b = va >> 56 == 2 ? w.loc + l * x.L->lmem + (va & 0xffffffff) : "";
        string s = format((const char*)fa, b, x);
        fwrite(s.data(), 1, s.size(), stdout);
        if (C.o[0].k == Op::IMM) {
          int r = 0;
          memcpy(par(l, C.o[0].imm), &r, 4);
        }
        w.pc[l] = pc + 1;
      }
      return;
    }
    if (n == "__assertfail") {
      int l = __builtin_ctz(x.m);
      char *m, *f;
      u32 ln;
      memcpy(&m, par(l, C.o[2].imm), 8);
      memcpy(&f, par(l, C.o[3].imm), 8);
      memcpy(&ln, par(l, C.o[4].imm), 4);
      fflush(stdout);
      fprintf(stderr, "%s:%u: block [%u,%u,%u], thread [%u,%u,%u] Assertion `%s` failed.\n", f, ln, x.c->id[0],
              x.c->id[1], x.c->id[2], x.R32(TIDX)[l], x.R32(TIDY)[l], x.R32(TIDZ)[l], m);
      fault(x, "device assertion");
    }
    if (n == "malloc") {
      ACTIVE {
        u64 z;
        memcpy(&z, par(l, C.o[2].imm), 8);
        void* p = aligned_alloc(16, (z + 31) / 16 * 16);
        reg_alloc(p, z);
        memcpy(par(l, C.o[0].imm), &p, 8);
        w.pc[l] = pc + 1;
      }
      return;
    }
    if (n == "free") {
      ACTIVE {
        void* p;
        memcpy(&p, par(l, C.o[2].imm), 8);
        if (p) {
          unreg_alloc(p);
          free(p);
        }
        w.pc[l] = pc + 1;
      }
      return;
    }
  }
  ACTIVE {
    const string* fn = &n;
    if (C.o[1].k == Op::REG) {
      u64 a = ((u64*)(x.base[0] + C.o[1].off))[l];
      if (a >> 56 != 3 || (a & 0xffffff) >= M.fn_by_id.size()) fault(x, "indirect call to a bad address", l, a);
      fn = &M.fn_by_id[a & 0xffffff];
    }
    auto it = M.fns.find(*fn);
    if (it == M.fns.end() || it->second.start < 0) fault(x, ("call to undefined function " + *fn).c_str(), l);
    const Fn& f = it->second;
    for (auto& r : w.stk[l])
      if (r.ret_pc >= f.start && r.ret_pc < f.end) fault(x, "recursion is not supported", l);
    if (pc >= f.start && pc < f.end) fault(x, "recursion is not supported", l);
    for (size_t k = 2; k < C.o.size() && k - 2 < f.params.size(); k++) {
      auto pi = f.params[k - 2];
      memcpy(par(l, pi.first), par(l, C.o[k].imm), pi.second);
    }
    w.stk[l].push_back({pc, f.has_ret ? (int)f.ret.first : -1, C.o[0].k == Op::IMM ? C.o[0].imm : ~0ull,
                        f.has_ret ? f.ret.second : 0});
    w.pc[l] = f.start;
  }
}
// ---------------------------------------------------------------- one warp
enum { BLOCKED, YIELDED, SPINNING };
static int run_warp(X& x, u64 budget, bool fair) {
  Warp& w = *x.w;
  const Ins* code = x.L->M->code.data();
  x.base[0] = w.R;
  u64 limit = w.steps + budget;
  u32 turn = w.steps;
  for (;;) {
    if (!w.run) {
      if (w.sync) {
        int l = __builtin_ctz(w.sync);
        x.I = &code[w.pc[l]];
        x.m = w.sync;
        fault(x,
              w.bar ? "DEADLOCK: lane waits at a warp-sync op for lanes that sit at a CTA barrier"
                    : "DEADLOCK: warp-sync op never reached by all lanes of its mask",
              l);
      }
      return BLOCKED;
    }
    int pc = INT_MAX;
    for (u32 r = w.run; r; r &= r - 1) pc = min(pc, w.pc[__builtin_ctz(r)]);
    if (fair) {
      int k = turn++ % __builtin_popcount(w.run);
      u32 r = w.run;
      while (k--) r &= r - 1;
      pc = w.pc[__builtin_ctz(r)];
      fair = false;
    }  // let another group of lanes run after a long loop
    u32 grp = 0;
    int omin = INT_MAX;
    for (u32 r = w.run | w.sync; r; r &= r - 1) {
      int l = __builtin_ctz(r);
      if (w.pc[l] == pc)
        grp |= 1u << l;
      else if ((w.run >> l & 1) && w.pc[l] > pc)
        omin = min(omin, w.pc[l]);
    }
    u64 glimit = omin == INT_MAX && (w.run & ~grp) == 0 ? limit : min(limit, w.steps + 20000);
    auto setpc = [&](u32 lanes, int v) {
      for (; lanes; lanes &= lanes - 1) w.pc[__builtin_ctz(lanes)] = v;
    };
    for (;;) {
      const Ins& I = code[pc];
      x.I = &I;
      u32 m = grp;
      if (I.pred >= 0) {
        u32 q = *(u32*)(w.R + I.pred);
        m &= I.pneg ? ~q : q;
      }
      x.insts += __builtin_popcount(m);
      w.steps++;
      switch (I.kind) {
        case K_ALU:
          if (m) {
            x.m = m;
            I.fn(x, I);
          }
          pc++;
          if (pc >= omin) {
            setpc(grp, pc);
            goto again;
          }
          continue;
        case K_BRA:
          if (m == grp) {
            int t = I.target;
            if (t <= pc && w.steps >= glimit) {
              setpc(grp, t);
              if (w.steps >= limit) return SPINNING;
              fair = true;
              goto again;
            }
            pc = t;
            if (pc >= omin) {
              setpc(grp, pc);
              goto again;
            }
            continue;
          }
          if (!m) {
            pc++;
            if (pc >= omin) {
              setpc(grp, pc);
              goto again;
            }
            continue;
          }
          setpc(m, I.target);
          setpc(grp & ~m, pc + 1);
          if (w.steps >= limit) return SPINNING;
          if (w.steps >= glimit) fair = true;
          goto again;
        case K_BRX: {
          setpc(grp & ~m, pc + 1);
          const u32* q = x.p<u32>(I.a[0]);
          for (u32 r = m; r; r &= r - 1) {
            int l = __builtin_ctz(r);
            if (q[l] >= I.c->targets.size()) {
              x.m = m;
              fault(x, "brx.idx index out of range", l, q[l]);
            }
            w.pc[l] = I.c->targets[q[l]];
          }
          goto again;
        }
        case K_RET:
        case K_EXIT: {
          x.m = m;
          setpc(grp & ~m, pc + 1);
          u32 gone = 0;
          for (u32 r = m; r; r &= r - 1) {
            int l = __builtin_ctz(r);
            auto& s = w.stk[l];
            if (I.kind == K_EXIT || s.empty())
              gone |= 1u << l;
            else {
              Frame f = s.back();
              s.pop_back();
              char* pb = w.par + (size_t)l * x.L->M->pspace;
              if (f.ret_src >= 0 && f.dst != ~0ull) memcpy(pb + f.dst, pb + f.ret_src, f.size);
              w.pc[l] = f.ret_pc + 1;
            }
          }
          if (gone) {
            if (!w.cpa.empty()) complete_cp_async(x, gone, -1);
            w.run &= ~gone;
            w.dead |= gone;
          }
          goto again;
        }
        case K_CALL:
          setpc(grp & ~m, pc + 1);
          x.m = m;
          if (m) do_call(x, pc);
          goto again;
        case K_SYNC: {
          const u32* mm = x.p<u32>(I.a[4]);
          u32 live = ~w.dead, ready = 0;
          x.m = m;
          for (u32 r = m; r; r &= r - 1) {
            int l = __builtin_ctz(r);
            if (!(mm[l] >> l & 1)) fault(x, "lane not in its own member mask", l);
            if ((mm[l] & live & ~grp) == 0) ready |= 1u << l;
          }
          u32 wait = m & ~ready;
          w.sep++;
          for (u32 rem = ready; rem;) {
            u32 mk = mm[__builtin_ctz(rem)], sub = 0;
            for (u32 r = rem; r; r &= r - 1) {
              int l = __builtin_ctz(r);
              if (mm[l] == mk) sub |= 1u << l;
            }
            x.m = sub;
            I.fn(x, I);
            rem &= ~sub;
          }
          if (!wait) {
            w.run |= grp;
            w.sync &= ~grp;
            pc++;
            if (pc >= omin) {
              setpc(grp, pc);
              goto again;
            }
            continue;
          }
          setpc(grp & ~wait, pc + 1);
          setpc(wait, pc);
          w.run = (w.run | grp) & ~wait;
          w.sync = (w.sync & ~grp) | wait;
          goto again;
        }
        case K_ALIGNED:
          x.m = m;
          if (m && m != grp) fault(x, "a .aligned warp instruction under a divergent predicate");
          if (m) {
            if (w.dead) fault(x, "a .aligned warp instruction in a warp with exited or missing threads");
            if (grp != ~0u) {
              setpc(grp, pc);
              w.run &= ~grp;
              w.sync |= grp;
              goto again;
            }
            w.sep++;
            I.fn(x, I);
          }
          w.run |= grp;
          w.sync &= ~grp;
          pc++;
          if (pc >= omin) {
            setpc(grp, pc);
            goto again;
          }
          continue;
        case K_BAR:
          setpc(grp, pc + 1);
          x.m = m;
          for (u32 r = m; r; r &= r - 1) {
            int l = __builtin_ctz(r);
            u32 id = x.p<u32>(I.a[1])[l];
            int cnt = I.a[2].size ? (int)x.p<u32>(I.a[2])[l] : 0;
            if (id > 15) fault(x, "barrier number", l, id);
            if (I.n == 1) {
              x.c->arrived[id]++;
              continue;
            }
            w.barid[l] = id;
            w.barcnt[l] = cnt;
            w.redI[l] = I.n >= 2 ? &I : nullptr;
            if (I.n >= 2) w.redP[l] = x.pr(I.a[3]) >> l & 1;
            w.bar |= 1u << l;
            w.run &= ~(1u << l);
          }
          goto again;
        case K_YIELD:
          x.yield = true;
          if (m) {
            x.m = m;
            I.fn(x, I);
          }
          pc++;
          if (m && x.yield) {
            setpc(grp, pc);
            return YIELDED;
          }
          if (pc >= omin) {
            setpc(grp, pc);
            goto again;
          }
          continue;
      }
    }
  again:;
  }
}
// ---------------------------------------------------------------- one block
static bool release_barriers(Cta& c, const Launch& L, u32 live) {
  bool any = false;
  u32 wait[16] = {};
  int need[16] = {};
  for (auto& w : c.w)
    for (u32 r = w.bar; r; r &= r - 1) {
      int l = __builtin_ctz(r);
      wait[w.barid[l]]++;
      if (w.barcnt[l]) need[w.barid[l]] = w.barcnt[l];
    }
  for (int b = 0; b < 16; b++)
    if (wait[b]) {
      u32 expect = need[b] ? need[b] : live;
      u32 have = wait[b] + c.arrived[b];
      if (have < expect) continue;
      if (have > expect)
        die("barrier %d of %s: %u threads arrived where %u are expected", b, L.F->name.c_str(), have, expect);
      c.arrived[b] = 0;
      any = true;
      c.epoch++;
      u32 cnt = 0, tot = 0;
      for (auto& w : c.w)
        for (u32 r = w.bar; r; r &= r - 1) {
          int l = __builtin_ctz(r);
          if (w.barid[l] == b && w.redI[l]) {
            tot++;
            cnt += w.redP[l];
          }
        }
      for (auto& w : c.w)
        for (u32 r = w.bar; r; r &= r - 1) {
          int l = __builtin_ctz(r);
          if (w.barid[l] != b) continue;
          if (const Ins* ri = w.redI[l]) {
            u32* d = (u32*)(w.R + ri->a[0].off);
            if (ri->n == 2)
              d[l] = cnt;
            else {
              bool v = ri->n == 3 ? cnt == tot : cnt > 0;
              *d = (*d & ~(1u << l)) | (u32)v << l;
            }
            w.redI[l] = nullptr;
          }
          w.bar &= ~(1u << l);
          w.run |= 1u << l;
        }
    }
  return any;
}
static int run_cta(X& x, Cta& c, u64 budget) {
  static const bool rev = getenv("PTXEMU_REVERSE");
  x.c = &c;
  size_t nw = c.w.size();
  int passes = 0;
  bool fair = c.started;
  c.started = true;
  for (;;) {
    bool spin = false, yl = false;
    for (size_t k = 0; k < nw; k++) {
      Warp& w = c.w[rev ? nw - 1 - k : k];
      if (!w.run && !w.sync) continue;
      x.w = &w;
      int r = run_warp(x, budget, fair);
      spin |= r == SPINNING;
      yl |= r == YIELDED;
    }
    fair = true;
    u32 live = 0, run = 0, bar = 0;
    for (auto& w : c.w) {
      live += 32 - __builtin_popcount(w.dead);
      run += __builtin_popcount(w.run);
      bar += __builtin_popcount(w.bar);
    }
    if (!live) return BLOCKED;
    if (bar && release_barriers(c, *x.L, live)) {
      passes = 0;
      fair = false;
      continue;
    }
    if (run) {
      if (spin || ++passes > 64) return YIELDED;
      continue;
    }
    for (auto& w : c.w)
      if (w.bar) {
        x.w = &w;
        x.base[0] = w.R;
        int l = __builtin_ctz(w.bar);
        x.m = w.bar;
        x.I = &x.L->M->code[w.pc[l] - 1];
        fault(x, "DEADLOCK: barrier not reached by all the threads it expects", l);
      }
    die("scheduler: no runnable warp");
  }
}
// ---------------------------------------------------------------- a grid
namespace {
struct Arena {
  vector<pair<char*, size_t>> chunks;
  size_t k = 0, used = 0;
  char* get(size_t n) {
    n = (n + 63) / 64 * 64;
    for (;; k++, used = 0) {
      if (k == chunks.size()) {
        size_t z = max<size_t>(n, 1 << 20);
        char* p = (char*)aligned_alloc(64, z);
        memset(p, 0xde, z);
        chunks.push_back({p, z});
      }
      if (used + n <= chunks[k].second) {
        char* r = chunks[k].first + used;
        used += n;
        return r;
      }
    }
  }
  void reset() { k = used = 0; }
  ~Arena() {
    for (auto& c : chunks) free(c.first);
  }
};
}  // namespace
static void splat(Warp& w, int slot, u64 v) {
  u64* p64;
  (void)p64;
  u32* p = (u32*)(w.R + slot * SLOT);
  if (slot == ZERO) {
    memset(p, 0, SLOT);
    return;
  }
  for (int l = 0; l < 32; l++) p[l] = v;
}
static unique_ptr<Cta> new_cta(const Launch& L, Arena& A) {
  auto c = make_unique<Cta>();
  unsigned n = L.b.x * L.b.y * L.b.z, nw = (n + 31) / 32;
  c->w.resize(nw);
  c->sh = A.get(DYN + L.dyn + 64);
  for (unsigned k = 0; k < nw; k++) {
    Warp& w = c->w[k];
    w.id = k;
    w.R = A.get(L.regs + 256);
    w.par = A.get(32 * L.M->pspace);
    w.loc = A.get(32 * L.lmem + 64);
    u32* t[3] = {(u32*)(w.R + TIDX * SLOT), (u32*)(w.R + TIDY * SLOT), (u32*)(w.R + TIDZ * SLOT)};
    for (int l = 0; l < 32; l++) {
      unsigned i = k * 32 + l;
      t[0][l] = i % L.b.x;
      t[1][l] = i / L.b.x % L.b.y;
      t[2][l] = i / (L.b.x * L.b.y);
      ((u32*)(w.R + LANE * SLOT))[l] = l;
      ((u32*)(w.R + LMEQ * SLOT))[l] = 1u << l;
      ((u32*)(w.R + LMLT * SLOT))[l] = (1u << l) - 1;
      ((u32*)(w.R + LMLE * SLOT))[l] = (2ull << l) - 1;
      ((u32*)(w.R + LMGT * SLOT))[l] = ~(u32)((2ull << l) - 1);
      ((u32*)(w.R + LMGE * SLOT))[l] = ~((1u << l) - 1);
    }
    splat(w, NTX, L.b.x);
    splat(w, NTY, L.b.y);
    splat(w, NTZ, L.b.z);
    splat(w, NCX, L.g.x);
    splat(w, NCY, L.g.y);
    splat(w, NCZ, L.g.z);
    splat(w, WARPID, k);
    splat(w, NWARP, nw);
    splat(w, NSMID, 132);
    splat(w, DSMEM, L.dyn);
    splat(w, TSMEM, L.F->smem + L.dyn);
    splat(w, ZERO, 0);
    splat(w, ONE, 1);
    splat(w, ENV1, L.ws >> 32);
    splat(w, ENV2, (u32)L.ws);
    splat(w, CLK, 0);
    splat(w, GTIME, 0);
  }
  return c;
}
static void start_cta(Cta& c, const Launch& L, u64 lin) {
  c.lin = lin;
  c.id[0] = lin % L.g.x;
  c.id[1] = lin / L.g.x % L.g.y;
  c.id[2] = lin / ((u64)L.g.x * L.g.y);
  c.epoch = 1;
  c.shd.clear();
  c.started = false;
  memset(c.arrived, 0, sizeof c.arrived);
  memset(c.sh, 0xff, L.F->smem);
  memset(c.sh + DYN, 0xff, L.dyn);
  unsigned n = L.b.x * L.b.y * L.b.z;
  for (auto& w : c.w) {
    unsigned have = min(32u, n - w.id * 32);
    w.run = have == 32 ? ~0u : (1u << have) - 1;
    w.dead = ~w.run;
    w.bar = w.sync = 0;
    w.cpa.clear();
    for (int l = 0; l < 32; l++) {
      w.pc[l] = L.F->start;
      w.stk[l].clear();
      w.redI[l] = nullptr;
      w.cgrp[l] = 0;
    }
    splat(w, CX, c.id[0]);
    splat(w, CY, c.id[1]);
    splat(w, CZ, c.id[2]);
    splat(w, SMID, lin % 132);
  }
}
static void worker(const Launch& L, atomic<u64>& next, u64 total) {
  static thread_local Arena A;
  A.reset();
  alignas(64) static thread_local char sink[32 * 32];
  X x;
  x.L = &L;
  x.base[1] = (char*)L.M->cpool.data();
  x.base[2] = sink;
  x.w = nullptr;
  deque<unique_ptr<Cta>> act;
  vector<unique_ptr<Cta>> idle;
  size_t cap = L.coop ? 4096 : 1, fruitless = 0;
  u64 budget = L.coop ? 20000 : 1000000;
  for (;;) {
    while (act.size() < cap) {
      u64 k = next.fetch_add(1);
      if (k >= total) {
        next.store(total);
        break;
      }
      unique_ptr<Cta> c;
      if (idle.empty())
        c = new_cta(L, A);
      else {
        c = move(idle.back());
        idle.pop_back();
      }
      start_cta(*c, L, k);
      act.push_back(move(c));
    }
    if (act.empty()) break;
    unique_ptr<Cta> c = move(act.front());
    act.pop_front();
    if (run_cta(x, *c, budget) == BLOCKED) {
      idle.push_back(move(c));
      fruitless = 0;
    } else {
      act.push_back(move(c));
      if (++fruitless >= act.size()) {
        cap = min<size_t>(cap * 2, 4096);
        fruitless = 0;
        budget = max<u64>(budget / 2, 20000);
      }
    }
  }
  g_inst += x.insts;
}
cudaError_t run_grid(Launch& L) {
  u64 total = (u64)L.g.x * L.g.y * L.g.z;
  atomic<u64> next{0};
  static const int threads = getenv("PTXEMU_THREADS") ? max(1, atoi(getenv("PTXEMU_THREADS"))) : 1;
  struct Ws {
    u64 p = 0;
    ~Ws() {
      if (p) {
        unreg_alloc((void*)p);
        free((void*)p);
      }
    }
  } ws;
  if (L.coop) {
    void* q = aligned_alloc(256, 256);
    memset(q, 0, 256);
    *(u32*)q = 256;
    reg_alloc(q, 256);
    ws.p = L.ws = (u64)q;
  }
  static mutex race_mu;
  unique_lock<mutex> lk(race_mu, defer_lock);
  if (g_race >= 2) {
    lk.lock();
    race_begin(L);
  }
  int n = g_race >= 2 ? 1 : (int)min<u64>(threads, total);
  if (n <= 1) {
    worker(L, next, total);
    return cudaSuccess;
  }
  vector<thread> t;
  for (int k = 0; k < n; k++) t.emplace_back([&] { worker(L, next, total); });
  for (auto& q : t) q.join();
  return cudaSuccess;
}
