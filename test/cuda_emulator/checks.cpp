// The table of allocations and the race checks.
#include <cstdarg>
#include <mutex>
#include <set>
#include <shared_mutex>
#include "emulator.hpp"
using namespace std;
void die(const char* f, ...) {
  va_list a;
  va_start(a, f);
  fflush(stdout);
  fprintf(stderr, "ptxemu: ");
  vfprintf(stderr, f, a);
  fputc('\n', stderr);
  fflush(stderr);
  abort();
}
atomic<u64> g_alloc_gen{1};
int g_race = getenv("PTXEMU_RACE") ? max(1, atoi(getenv("PTXEMU_RACE"))) : 0;
bool g_track = getenv("PTXEMU_STATS");
atomic<u64> g_inst{0};
static shared_mutex& mu() {
  static shared_mutex* m = new shared_mutex;
  return *m;
}
static map<u64, u64>& allocs() {
  static auto* m = new map<u64, u64>;
  return *m;
}
void reg_alloc(void* p, size_t n) {
  unique_lock<shared_mutex> l(mu());
  allocs()[(u64)p] = n;
  g_alloc_gen++;
}
bool unreg_alloc(void* p, size_t* n) {
  unique_lock<shared_mutex> l(mu());
  auto it = allocs().find((u64)p);
  if (it == allocs().end()) return false;
  if (n) *n = it->second;
  allocs().erase(it);
  g_alloc_gen++;
  return true;
}
size_t alloc_size(void* p) {
  shared_lock<shared_mutex> l(mu());
  auto it = allocs().find((u64)p);
  return it == allocs().end() ? 0 : it->second;
}
bool find_range(u64 a, int n, Range& r) {
  shared_lock<shared_mutex> l(mu());
  auto it = allocs().upper_bound(a);
  if (it == allocs().begin()) return false;
  --it;
  if (a + n > it->first + it->second) return false;
  r = {it->first, it->first + it->second};
  return true;
}
// ---------------------------------------------------------------- races
static const char* text_at(X& x, int line) {
  for (auto& i : x.L->M->code)
    if (i.c->line == line) return i.c->text.c_str();
  return "?";
}
static void report(X& x, const char* kind, const char* where, int lane, u64 a, u64 other, int oline) {
  unsigned n = x.L->b.x * x.L->b.y * x.L->b.z;
  char buf[1200];
  snprintf(buf, sizeof buf,
           "RACE: %s in %s memory; the other access: block %llu thread %llu, PTX line %d '%s'; this one: block %llu "
           "thread %u,",
           kind, where, (unsigned long long)(other / n), (unsigned long long)(other % n), oline, text_at(x, oline),
           (unsigned long long)x.c->lin, x.w->id * 32 + lane);
  static const bool go_on = getenv("PTXEMU_RACE_CONTINUE");
  if (!go_on) fault(x, buf, lane, a);
  static set<pair<int, int>> seen;
  if (seen.size() < 20 && seen.insert({oline, x.I->c->line}).second)
    fprintf(stderr, "ptxemu: %s at '%s' (PTX line %d) in %s addr 0x%llx\n", buf, x.I->c->text.c_str(), x.I->c->line,
            x.L->F->name.c_str(), (unsigned long long)a);
}
// shared memory: per byte the last writer and reader, with the block's barrier epoch and the warp's sync epoch
void race_shared(X& x, int l, u64 a, int n, bool wr, bool atomic) {
  Cta& c = *x.c;
  if (c.shd.empty()) c.shd.resize(DYN + x.L->dyn + 64);
  if (atomic) return;
  int t = x.w->id * 32 + l, line = x.I->c->line;
  u64 base = c.lin * (u64)(x.L->b.x * x.L->b.y * x.L->b.z);
  for (int k = 0; k < n; k++) {
    Shadow& s = c.shd[a + k];
    auto haz = [&](int o, u32 ep, u32 sp) {
      return o >= 0 && o != t && ep == c.epoch && !(o / 32 == (int)x.w->id && sp != x.w->sep);
    };
    if (haz(s.w, s.we, s.ws)) {
      report(x, wr ? "write-after-write without a barrier" : "read-after-write without a barrier", "shared", l, a,
             base + s.w, s.wl);
    }
    if (wr && haz(s.r, s.re, s.rs)) report(x, "write-after-read without a barrier", "shared", l, a, base + s.r, s.rl);
    if (wr && s.r2 >= 0 && haz(s.r2, s.re, s.rs))
      report(x, "write-after-read without a barrier", "shared", l, a, base + s.r2, s.rl);
    if (wr) {
      s.w = t;
      s.we = c.epoch;
      s.ws = x.w->sep;
      s.wl = line;
    } else {
      if (s.r >= 0 && s.r != t && s.re == c.epoch)
        s.r2 = s.r;
      else
        s.r2 = -1;
      s.r = t;
      s.re = c.epoch;
      s.rs = x.w->sep;
      s.rl = line;
    }
  }
}
// global memory: per 4-byte word (split into bytes when narrower accesses occur) the last writer and two readers of
// this launch. Two accesses are ordered when a barrier of the block (or a warp sync, within a warp) lies between them,
// or when both blocks have executed a fence since the first one (flag-passing between blocks); two strong accesses
// (atomic, volatile, relaxed..) never race.
namespace {
struct Acc {
  s64 t = -1;
  u32 ep = 0, sep = 0;
  int line = 0;
  bool strong = false;
  u64 time = 0;
};
struct Word {
  Acc w, r, r2;
  unique_ptr<Word[]> bytes;
};
struct Page {
  Word w[1024];
};
}  // namespace
static unordered_map<u64, unique_ptr<Page>> pages;
static u64 last_no = ~0ull;
static Page* last_page;
static u64 now;
static vector<u64> fences;
void race_begin(const Launch& L) {
  pages.clear();
  last_no = ~0ull;
  now = 1;
  fences.assign((u64)L.g.x * L.g.y * L.g.z, 0);
}
void race_fence(X& x) {
  fences[x.c->lin] = ++now;
}
static void touch(X& x, Word& s, int l, u64 a, bool wr, bool strong) {
  u64 nt = x.L->b.x * x.L->b.y * x.L->b.z;
  s64 t = (s64)(x.c->lin * nt + x.w->id * 32 + l);
  int line = x.I->c->line;
  auto haz = [&](const Acc& o) {
    if (o.t < 0 || o.t == t || (strong && o.strong)) return false;
    u64 oc = o.t / nt;
    if (oc == x.c->lin) {
      if (o.ep != x.c->epoch) return false;
      if ((o.t % (s64)nt) / 32 == (s64)x.w->id) return o.sep == x.w->sep;
    }
    return !(fences[oc] > o.time && fences[x.c->lin] > o.time);
  };
  if (haz(s.w)) report(x, wr ? "write after write" : "read after write", "global", l, a, s.w.t, s.w.line);
  if (wr) {
    if (haz(s.r)) report(x, "write after read", "global", l, a, s.r.t, s.r.line);
    if (haz(s.r2)) report(x, "write after read", "global", l, a, s.r2.t, s.r2.line);
  }
  Acc me;
  me.t = t;
  me.ep = x.c->epoch;
  me.sep = x.w->sep;
  me.line = line;
  me.strong = strong;
  me.time = ++now;
  if (wr)
    s.w = me;
  else {
    if (s.r.t >= 0 && s.r.t != t) s.r2 = s.r;
    s.r = me;
  }
}
void race_global(X& x, int l, u64 a, int n, bool wr, bool strong) {
  while (n > 0) {
    u64 no = a >> 12;
    if (no != last_no) {
      auto& p = pages[no];
      if (!p) p = make_unique<Page>();
      last_page = p.get();
      last_no = no;
    }
    Word& w = last_page->w[a >> 2 & 1023];
    int off = a & 3, k = min(n, 4 - off);
    if (k == 4 && !w.bytes)
      touch(x, w, l, a, wr, strong);
    else {
      if (!w.bytes) {
        w.bytes.reset(new Word[4]);
        for (int b = 0; b < 4; b++) w.bytes[b].w = w.w, w.bytes[b].r = w.r, w.bytes[b].r2 = w.r2;
      }
      for (int b = 0; b < k; b++) touch(x, w.bytes[off + b], l, a + b, wr, strong);
    }
    a += k;
    n -= k;
  }
}
