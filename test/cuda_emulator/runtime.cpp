// The CUDA runtime API.  Every operation is performed when it is issued (streams are synchronous); callable from
// several threads.
#include <chrono>
#include <mutex>
#include <set>
#include <shared_mutex>
#include "emulator.hpp"
using namespace std;
struct Kern {
  shared_ptr<Module> M;
  string name;
  int max_dyn = 49152;
};
static shared_mutex& mu() {
  static shared_mutex* m = new shared_mutex;
  return *m;
}
template <class A>
static A& global() {
  static A* a = new A;
  return *a;
}
struct KernTab {
  unordered_map<const void*, Kern> t;
};
struct VarTab {
  unordered_map<const void*, pair<shared_ptr<Module>, string>> t;
};
static KernTab& kerns() {
  return global<KernTab>();
}
static VarTab& vars() {
  return global<VarTab>();
}
static thread_local cudaError_t t_err = cudaSuccess;
static thread_local int t_dev = 0;
static cudaError_t R(cudaError_t e) {
  if (e) t_err = e;
  return e;
}
static int ndev() {
  static int n = getenv("PTXEMU_DEVICES") ? atoi(getenv("PTXEMU_DEVICES")) : 1;
  return n;
}
#define NEED_DEV \
  if (t_dev >= ndev()) return R(cudaErrorNoDevice)
static const int SMS = 132, SMEM_OPTIN = 232448;
// ---------------------------------------------------------------- memory accounting per device
static u64 capacity() {
  static u64 c = []() -> u64 {
    const char* e = getenv("PTXEMU_MEMORY");
    if (!e) return 80ull << 30;
    char* q;
    double v = strtod(e, &q);
    u64 m = 1;
    switch (*q | 32) {
      case 'k':
        m = 1 << 10;
        break;
      case 'm':
        m = 1 << 20;
        break;
      case 'g':
        m = 1 << 30;
        break;
    }
    return (u64)(v * m);
  }();
  return c;
}
enum MK { DEVICE_MEM, HOST_MEM, MANAGED_MEM, REGISTERED };
struct Mem {
  u64 size, charged;
  int dev;
  MK kind;
  unsigned flags;
};
struct Mems {
  mutex m;
  map<u64, Mem> t;
  u64 used[64] = {};
};
static Mems& mems() {
  return global<Mems>();
}
static cudaError_t mem_alloc(void** p, size_t n, MK kind, unsigned flags = 0) {
  if (!p) return R(cudaErrorInvalidValue);
  *p = nullptr;
  if (ndev() < 1) return R(cudaErrorNoDevice);
  if (n == 0) return cudaSuccess;
  u64 ch = kind == HOST_MEM ? 0 : (n + 511) / 512 * 512;
  auto& S = mems();
  {
    lock_guard<mutex> l(S.m);
    if (ch && S.used[t_dev] + ch > capacity()) return R(cudaErrorMemoryAllocation);
    S.used[t_dev] += ch;
  }
  void* q = aligned_alloc(512, (n + 1023) / 512 * 512);
  if (!q) {
    lock_guard<mutex> l(S.m);
    S.used[t_dev] -= ch;
    return R(cudaErrorMemoryAllocation);
  }
  static u64 fill = getenv("PTXEMU_NOFILL") ? 0 : ~0ull;
  if (fill && kind == DEVICE_MEM && n <= (1ull << 30)) memset(q, 0xcd, n);  // fresh device memory is not zero
  {
    lock_guard<mutex> l(S.m);
    S.t[(u64)q] = {n, ch, t_dev, kind, flags};
  }
  reg_alloc(q, n);
  *p = q;
  return cudaSuccess;
}
static cudaError_t mem_free(void* p, bool host) {
  if (!p) return cudaSuccess;
  auto& S = mems();
  {
    lock_guard<mutex> l(S.m);
    auto it = S.t.find((u64)p);
    if (it == S.t.end() || (it->second.kind == HOST_MEM) != host || it->second.kind == REGISTERED)
      return R(cudaErrorInvalidValue);
    S.used[it->second.dev] -= it->second.charged;
    S.t.erase(it);
  }
  unreg_alloc(p);
  free(p);
  return cudaSuccess;
}
static bool mem_find(const void* p, Mem& m, u64& base) {
  auto& S = mems();
  lock_guard<mutex> l(S.m);
  auto it = S.t.upper_bound((u64)p);
  if (it == S.t.begin()) return false;
  --it;
  if ((u64)p >= it->first + it->second.size) return false;
  m = it->second;
  base = it->first;
  return true;
}
// a transfer that touches device memory must stay inside one allocation
static bool inside(const void* p, size_t n) {
  Mem m;
  u64 b;
  if (!n || !mem_find(p, m, b)) return true;
  return (u64)p + n <= b + m.size;
}
static cudaError_t copy(void* d, const void* s, size_t n, cudaMemcpyKind k) {
  if (!n) return cudaSuccess;
  if ((unsigned)k > 4) return R(cudaErrorInvalidMemcpyDirection);
  Mem m;
  u64 b;
  if ((k == cudaMemcpyHostToDevice || k == cudaMemcpyDeviceToDevice) && !mem_find(d, m, b) && !alloc_size(d)) {
    Range r;
    if (!find_range((u64)d, n > 1 << 30 ? 1 : (int)n, r)) return R(cudaErrorInvalidValue);
  }
  if ((k == cudaMemcpyDeviceToHost || k == cudaMemcpyDeviceToDevice) && !mem_find(s, m, b)) {
    Range r;
    if (!find_range((u64)s, n > 1 << 30 ? 1 : (int)n, r)) return R(cudaErrorInvalidValue);
  }
  if (!inside(d, n) || !inside(s, n)) return R(cudaErrorInvalidValue);
  memmove(d, s, n);
  return cudaSuccess;
}
static cudaError_t fill(void* d, int v, size_t n) {
  if (!n) return cudaSuccess;
  Mem m;
  u64 b;
  if (mem_find(d, m, b) ? (u64)d + n > b + m.size : !alloc_size(d)) return R(cudaErrorInvalidValue);
  memset(d, v, n);
  return cudaSuccess;
}
static cudaError_t copy2d(void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h, cudaMemcpyKind k) {
  if (w > dp || w > sp) return R(cudaErrorInvalidPitchValue);
  for (size_t r = 0; r < h; r++)
    if (auto e = copy((char*)d + r * dp, (const char*)s + r * sp, w, k)) return e;
  return cudaSuccess;
}
// ---------------------------------------------------------------- launches
static bool find_kernel(const void* fn, Kern& k) {
  shared_lock<shared_mutex> l(mu());
  auto it = kerns().t.find(fn);
  if (it == kerns().t.end()) return false;
  k = it->second;
  return true;
}
static cudaError_t launch(const void* fn, dim3 g, dim3 b, void** args, size_t dyn, bool coop = false) {
  if (ndev() < 1) return R(cudaErrorNoDevice);
  Kern K;
  if (!find_kernel(fn, K)) return R(cudaErrorInvalidDeviceFunction);
  const Module& M = *K.M;
  auto it = M.fns.find(K.name);
  if (it == M.fns.end() || it->second.start < 0) return R(cudaErrorInvalidDeviceFunction);
  const Fn& F = it->second;
  u64 n = (u64)b.x * b.y * b.z;
  if (!n || n > 1024 || b.x > 1024 || b.y > 1024 || b.z > 64 || !g.x || !g.y || !g.z || g.x > 0x7fffffff ||
      g.y > 65535 || g.z > 65535 || (F.maxntid && n > (u64)F.maxntid))
    return R(cudaErrorInvalidConfiguration);
  if (F.smem + dyn > (u64)max(49152, K.max_dyn + (int)F.smem) || F.smem + dyn > (u64)SMEM_OPTIN)
    return R(cudaErrorInvalidValue);
  Launch L;
  L.M = &M;
  L.F = &F;
  L.g = g;
  L.b = b;
  L.dyn = (dyn + 15) / 16 * 16;
  L.dyn = dyn;
  L.coop = coop;
  L.regs = F.regs + 64;
  L.lmem = (max(F.lmem, M.func_lmem) + 15) / 16 * 16;
  L.ent.assign(ENTRY_PARAMS + 64, 0);
  for (size_t k = 0; k < F.params.size(); k++) memcpy(&L.ent[F.params[k].first], args[k], F.params[k].second);
  return run_grid(L);
}
struct FBW {
  int magic, ver;
  const void* data;
  void* f;
};
struct PushedConfig {
  dim3 g, b;
  size_t s;
  cudaStream_t st;
};
static thread_local vector<PushedConfig> pushed;
struct Ev {
  chrono::steady_clock::time_point t;
  bool rec = false, timing = true;
};
struct St {
  unsigned flags;
  int prio, dev;
};
static int max_blocks(const void* fn, int bs, size_t dyn) {
  Kern K;
  if (!find_kernel(fn, K) || bs < 1 || bs > 1024) return 0;
  const Fn& F = K.M->fns.at(K.name);
  int t = 2048 / ((bs + 31) / 32 * 32);
  u64 s = F.smem + dyn;
  if (s > (u64)SMEM_OPTIN) return 0;
  int q = (int)(233472 / (s + 1024));
  return max(0, min(min(t, 32), q));
}
extern "C" {
void** __cudaRegisterFatBinary(void* w_) {
  FBW* w = (FBW*)w_;
  const char* d = (const char*)w->data;
  struct Hd {
    u32 magic;
    u16 ver, hs;
    u64 sz;
  }* h = (Hd*)d;
  const char *p = d + h->hs, *e = p + h->sz;
  string ptx;
  u32 best = 0;
  bool packed = false;
  while (p < e) {
    u16 kind = *(u16*)p;
    u32 hs = *(u32*)(p + 4);
    u64 sz = *(u64*)(p + 8);
    u32 arch = *(u32*)(p + 28);
    u64 fl = *(u64*)(p + 40);
    if (kind == 1) {
      if (fl & 0xF000)
        packed = true;
      else if (arch >= best) {
        best = arch;
        ptx.assign(p + hs, strnlen(p + hs, sz));
      }
    }
    p += hs + sz;
  }
  if (ptx.empty())
    die(packed ? "compressed PTX in the fatbinary: compile with nvcc --no-compress"
               : "no PTX in the fatbinary: compile with -gencode arch=compute_XX,code=compute_XX or -arch=sm_XX");
  auto M = make_shared<Module>();
  parse_module(*M, ptx);
  return (void**)new shared_ptr<Module>(M);
}
void __cudaRegisterFatBinaryEnd(void**) {}
char __cudaInitModule(void**) {
  return 1;
}
void __cudaUnregisterFatBinary(void**) {
  if (g_track) {
    fprintf(stderr, "ptxemu: %llu thread-instructions\n", (unsigned long long)g_inst.load());
    g_track = false;
  }
}
void __cudaRegisterFunction(void** h, const char* host, char*, const char* dev, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  unique_lock<shared_mutex> l(mu());
  Kern k;
  k.M = *(shared_ptr<Module>*)h;
  k.name = dev;
  kerns().t[host] = k;
}
void __cudaRegisterVar(void** h, char* hv, char*, const char* dn, int, size_t, int, int) {
  unique_lock<shared_mutex> l(mu());
  vars().t[hv] = {*(shared_ptr<Module>*)h, dn};
}
void __cudaRegisterManagedVar(void**, void**, char*, const char* n, int, size_t, int, int) {
  die("__managed__ variable %s is not supported", n);
}
unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t s, struct CUstream_st* st) {
  pushed.push_back({g, b, s, st});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* g, dim3* b, size_t* s, void* st) {
  if (pushed.empty()) return cudaErrorMissingConfiguration;
  auto c = pushed.back();
  pushed.pop_back();
  *g = c.g;
  *b = c.b;
  *s = c.s;
  *(cudaStream_t*)st = c.st;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* k, const void* f) {
  *k = (cudaKernel_t)f;
  return cudaSuccess;
}
cudaError_t cudaGetKernel(cudaKernel_t* k, const void* f) {
  *k = (cudaKernel_t)f;
  return cudaSuccess;
}
cudaError_t cudaGetFuncBySymbol(cudaFunction_t* k, const void* f) {
  *k = (cudaFunction_t)f;
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 g, dim3 b, void** a, size_t s, cudaStream_t) {
  return launch((const void*)k, g, b, a, s);
}
cudaError_t cudaLaunchKernel(const void* k, dim3 g, dim3 b, void** a, size_t s, cudaStream_t) {
  return launch(k, g, b, a, s);
}
cudaError_t cudaLaunchCooperativeKernel(const void* k, dim3 g, dim3 b, void** a, size_t s, cudaStream_t) {
  if ((u64)g.x * g.y * g.z > (u64)max_blocks(k, b.x * b.y * b.z, s) * SMS) return R(cudaErrorCooperativeLaunchTooLarge);
  return launch(k, g, b, a, s, true);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* k, void** a) {
  bool coop = false;
  for (unsigned i = 0; i < c->numAttrs; i++) {
    auto& q = c->attrs[i];
    if (q.id == cudaLaunchAttributeCooperative) coop = q.val.cooperative;
    if (q.id == cudaLaunchAttributeClusterDimension && q.val.clusterDim.x * q.val.clusterDim.y * q.val.clusterDim.z > 1)
      die("thread block clusters are not supported");
  }
  return coop ? cudaLaunchCooperativeKernel(k, c->gridDim, c->blockDim, a, c->dynamicSmemBytes, c->stream)
              : launch(k, c->gridDim, c->blockDim, a, c->dynamicSmemBytes);
}
cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t f, void* u) {
  f(u);
  return cudaSuccess;
}
cudaError_t cudaStreamAddCallback(cudaStream_t s, cudaStreamCallback_t f, void* u, unsigned) {
  f(s, cudaSuccess, u);
  return cudaSuccess;
}
// ---- memory
cudaError_t cudaMalloc(void** p, size_t n) {
  return mem_alloc(p, n, DEVICE_MEM);
}
cudaError_t cudaMallocAsync(void** p, size_t n, cudaStream_t) {
  return mem_alloc(p, n, DEVICE_MEM);
}
cudaError_t cudaMallocManaged(void** p, size_t n, unsigned) {
  return mem_alloc(p, n, MANAGED_MEM);
}
cudaError_t cudaMallocFromPoolAsync(void** p, size_t n, cudaMemPool_t, cudaStream_t) {
  return mem_alloc(p, n, DEVICE_MEM);
}
cudaError_t cudaMallocHost(void** p, size_t n) {
  return mem_alloc(p, n, HOST_MEM);
}
cudaError_t cudaHostAlloc(void** p, size_t n, unsigned f) {
  return mem_alloc(p, n, HOST_MEM, f);
}
cudaError_t cudaMallocPitch(void** p, size_t* pitch, size_t w, size_t h) {
  *pitch = (w + 511) / 512 * 512;
  return mem_alloc(p, *pitch * h, DEVICE_MEM);
}
cudaError_t cudaFree(void* p) {
  return mem_free(p, false);
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t) {
  return mem_free(p, false);
}
cudaError_t cudaFreeHost(void* p) {
  return mem_free(p, true);
}
cudaError_t cudaHostRegister(void* p, size_t n, unsigned f) {
  if (!p || !n) return R(cudaErrorInvalidValue);
  {
    auto& S = mems();
    lock_guard<mutex> l(S.m);
    if (S.t.count((u64)p)) return R(cudaErrorHostMemoryAlreadyRegistered);
    S.t[(u64)p] = {n, 0, t_dev, REGISTERED, f};
  }
  reg_alloc(p, n);
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* p) {
  {
    auto& S = mems();
    lock_guard<mutex> l(S.m);
    auto it = S.t.find((u64)p);
    if (it == S.t.end() || it->second.kind != REGISTERED) return R(cudaErrorHostMemoryNotRegistered);
    S.t.erase(it);
  }
  unreg_alloc(p);
  return cudaSuccess;
}
cudaError_t cudaHostGetDevicePointer(void** d, void* h, unsigned) {
  Mem m;
  u64 b;
  if (!mem_find(h, m, b) || m.kind == DEVICE_MEM) return R(cudaErrorInvalidValue);
  *d = h;
  return cudaSuccess;
}
cudaError_t cudaHostGetFlags(unsigned* f, void* h) {
  Mem m;
  u64 b;
  if (!mem_find(h, m, b)) return R(cudaErrorInvalidValue);
  *f = m.flags;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* f, size_t* t) {
  if (ndev() < 1) return R(cudaErrorNoDevice);
  auto& S = mems();
  lock_guard<mutex> l(S.m);
  if (t) *t = capacity();
  if (f) *f = capacity() - S.used[t_dev];
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* p) {
  memset(a, 0, sizeof *a);
  Mem m;
  u64 b;
  a->device = t_dev;
  if (!mem_find(p, m, b)) {
    a->type = cudaMemoryTypeUnregistered;
    a->device = -2;
    a->hostPointer = (void*)p;
    return cudaSuccess;
  }
  a->device = m.dev;
  a->type = m.kind == DEVICE_MEM    ? cudaMemoryTypeDevice
            : m.kind == MANAGED_MEM ? cudaMemoryTypeManaged
                                    : cudaMemoryTypeHost;
  a->devicePointer = (void*)p;
  if (m.kind != DEVICE_MEM) a->hostPointer = (void*)p;
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) {
  return copy(d, s, n, k);
}
cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t) {
  return copy(d, s, n, k);
}
cudaError_t cudaMemcpyPeer(void* d, int, const void* s, int, size_t n) {
  return copy(d, s, n, cudaMemcpyDefault);
}
cudaError_t cudaMemcpyPeerAsync(void* d, int, const void* s, int, size_t n, cudaStream_t) {
  return copy(d, s, n, cudaMemcpyDefault);
}
cudaError_t cudaMemcpy2D(void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h, cudaMemcpyKind k) {
  return copy2d(d, dp, s, sp, w, h, k);
}
cudaError_t cudaMemcpy2DAsync(void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h, cudaMemcpyKind k,
                              cudaStream_t) {
  return copy2d(d, dp, s, sp, w, h, k);
}
cudaError_t cudaMemset(void* d, int v, size_t n) {
  return fill(d, v, n);
}
cudaError_t cudaMemsetAsync(void* d, int v, size_t n, cudaStream_t) {
  return fill(d, v, n);
}
cudaError_t cudaMemset2D(void* d, size_t p, int v, size_t w, size_t h) {
  for (size_t r = 0; r < h; r++)
    if (auto e = fill((char*)d + r * p, v, w)) return e;
  return cudaSuccess;
}
cudaError_t cudaMemset2DAsync(void* d, size_t p, int v, size_t w, size_t h, cudaStream_t) {
  return cudaMemset2D(d, p, v, w, h);
}
static char* symbol(const void* s, u64* size = nullptr) {
  shared_lock<shared_mutex> l(mu());
  auto it = vars().t.find(s);
  if (it == vars().t.end()) return nullptr;
  auto v = it->second.first->gv.find(it->second.second);
  if (v == it->second.first->gv.end()) return nullptr;
  if (size) *size = v->second.size;
  return (char*)v->second.off;
}
cudaError_t cudaGetSymbolAddress(void** p, const void* s) {
  *p = symbol(s);
  return *p ? cudaSuccess : R(cudaErrorInvalidSymbol);
}
cudaError_t cudaGetSymbolSize(size_t* n, const void* s) {
  u64 z = 0;
  if (!symbol(s, &z)) return R(cudaErrorInvalidSymbol);
  *n = z;
  return cudaSuccess;
}
cudaError_t cudaMemcpyToSymbol(const void* s, const void* p, size_t n, size_t o, cudaMemcpyKind) {
  u64 z;
  char* a = symbol(s, &z);
  if (!a) return R(cudaErrorInvalidSymbol);
  if (o + n > z) return R(cudaErrorInvalidValue);
  memcpy(a + o, p, n);
  return cudaSuccess;
}
cudaError_t cudaMemcpyFromSymbol(void* p, const void* s, size_t n, size_t o, cudaMemcpyKind) {
  u64 z;
  char* a = symbol(s, &z);
  if (!a) return R(cudaErrorInvalidSymbol);
  if (o + n > z) return R(cudaErrorInvalidValue);
  memcpy(p, a + o, n);
  return cudaSuccess;
}
cudaError_t cudaMemcpyToSymbolAsync(const void* s, const void* p, size_t n, size_t o, cudaMemcpyKind k, cudaStream_t) {
  return cudaMemcpyToSymbol(s, p, n, o, k);
}
cudaError_t cudaMemcpyFromSymbolAsync(void* p, const void* s, size_t n, size_t o, cudaMemcpyKind k, cudaStream_t) {
  return cudaMemcpyFromSymbol(p, s, n, o, k);
}
cudaError_t cudaMemPrefetchAsync(const void*, size_t, cudaMemLocation, unsigned, cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaMemAdvise(const void*, size_t, cudaMemoryAdvise, cudaMemLocation) {
  return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* p, int) {
  *p = (cudaMemPool_t)&t_dev;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* p, int) {
  *p = (cudaMemPool_t)&t_dev;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  return cudaSuccess;
}
// ---- streams and events
cudaError_t cudaDeviceSynchronize(void) {
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t e, unsigned) {
  return e ? cudaSuccess : R(cudaErrorInvalidResourceHandle);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned f, int p) {
  if (ndev() < 1) return R(cudaErrorNoDevice);
  *s = (cudaStream_t) new St{f, p, t_dev};
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* s) {
  return cudaStreamCreateWithPriority(s, 0, 0);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned f) {
  return cudaStreamCreateWithPriority(s, f, 0);
}
static bool own(cudaStream_t s) {
  return (u64)s > 2;
}
cudaError_t cudaStreamDestroy(cudaStream_t s) {
  if (!own(s)) return R(cudaErrorInvalidResourceHandle);
  delete (St*)s;
  return cudaSuccess;
}
cudaError_t cudaStreamGetFlags(cudaStream_t s, unsigned* f) {
  *f = own(s) ? ((St*)s)->flags : 0;
  return cudaSuccess;
}
cudaError_t cudaStreamGetPriority(cudaStream_t s, int* p) {
  *p = own(s) ? ((St*)s)->prio : 0;
  return cudaSuccess;
}
cudaError_t cudaStreamGetDevice(cudaStream_t s, int* d) {
  *d = own(s) ? ((St*)s)->dev : t_dev;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* s) {
  *s = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* a, int* b) {
  if (a) *a = 0;
  if (b) *b = -5;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned f) {
  if (ndev() < 1) return R(cudaErrorNoDevice);
  Ev* v = new Ev;
  v->timing = !(f & cudaEventDisableTiming);
  *e = (cudaEvent_t)v;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* e) {
  return cudaEventCreateWithFlags(e, 0);
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t) {
  if (!e) return R(cudaErrorInvalidResourceHandle);
  ((Ev*)e)->t = chrono::steady_clock::now();
  ((Ev*)e)->rec = true;
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned) {
  return cudaEventRecord(e, s);
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) {
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  delete (Ev*)e;
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* f, cudaEvent_t a, cudaEvent_t b) {
  Ev *x = (Ev*)a, *y = (Ev*)b;
  if (!x || !y || !x->rec || !y->rec || !x->timing || !y->timing) return R(cudaErrorInvalidResourceHandle);
  *f = chrono::duration<float, milli>(y->t - x->t).count();
  return cudaSuccess;
}
// ---- errors
cudaError_t cudaGetLastError(void) {
  auto e = t_err;
  t_err = cudaSuccess;
  return e;
}
cudaError_t cudaPeekAtLastError(void) {
  return t_err;
}
static const struct {
  cudaError_t e;
  const char *n, *s;
} ERR[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidPitchValue, "cudaErrorInvalidPitchValue", "invalid pitch argument"},
    {cudaErrorInvalidSymbol, "cudaErrorInvalidSymbol", "invalid device symbol"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorCooperativeLaunchTooLarge, "cudaErrorCooperativeLaunchTooLarge", "too many blocks in cooperative launch"},
    {cudaErrorMissingConfiguration, "cudaErrorMissingConfiguration", "__global__ function call is not configured"}};
const char* cudaGetErrorString(cudaError_t e) {
  for (auto& q : ERR)
    if (q.e == e) return q.s;
  return "unrecognized error code";
}
const char* cudaGetErrorName(cudaError_t e) {
  for (auto& q : ERR)
    if (q.e == e) return q.n;
  return "unrecognized error code";
}
// ---- devices: an H100 in the numbers that programs ask for
cudaError_t cudaGetDeviceCount(int* n) {
  *n = max(0, ndev());
  return ndev() < 1 ? R(cudaErrorNoDevice) : cudaSuccess;
}
cudaError_t cudaGetDevice(int* d) {
  *d = t_dev;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int d) {
  if (d < 0 || d >= ndev()) return R(ndev() < 1 ? cudaErrorNoDevice : cudaErrorInvalidDevice);
  t_dev = d;
  return cudaSuccess;
}
cudaError_t cudaInitDevice(int d, unsigned, unsigned) {
  return d < ndev() ? cudaSuccess : R(cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceReset(void) {
  return cudaSuccess;
}
cudaError_t cudaSetDeviceFlags(unsigned) {
  return cudaSuccess;
}
cudaError_t cudaGetDeviceFlags(unsigned* f) {
  *f = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceSetLimit(cudaLimit, size_t) {
  return cudaSuccess;
}
cudaError_t cudaDeviceGetLimit(size_t* v, cudaLimit) {
  *v = 8 << 20;
  return cudaSuccess;
}
cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) {
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* c, int a, int b) {
  *c = a != b && a < ndev() && b < ndev();
  return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) {
  return cudaSuccess;
}
cudaError_t cudaDeviceDisablePeerAccess(int) {
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* s, int n, int d) {
  snprintf(s, n, "0000:%02X:00.0", d + 1);
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int d) {
  if (d < 0 || d >= ndev()) return R(cudaErrorInvalidDevice);
  memset(p, 0, sizeof *p);
  strcpy(p->name, "ptxemu (H100 stand-in)");
  p->totalGlobalMem = capacity();
  p->sharedMemPerBlock = 49152;
  p->regsPerBlock = 65536;
  p->warpSize = 32;
  p->memPitch = 2147483647;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->totalConstMem = 65536;
  p->major = 9;
  p->minor = 0;
  p->textureAlignment = 512;
  p->multiProcessorCount = SMS;
  p->canMapHostMemory = 1;
  p->concurrentKernels = 1;
  p->unifiedAddressing = 1;
  p->managedMemory = 1;
  p->asyncEngineCount = 3;
  p->memoryBusWidth = 5120;
  p->l2CacheSize = 52428800;
  p->persistingL2CacheMaxSize = 32 << 20;
  p->maxThreadsPerMultiProcessor = 2048;
  p->maxBlocksPerMultiProcessor = 32;
  p->sharedMemPerMultiprocessor = 233472;
  p->sharedMemPerBlockOptin = SMEM_OPTIN;
  p->reservedSharedMemPerBlock = 1024;
  p->regsPerMultiprocessor = 65536;
  p->cooperativeLaunch = 1;
  p->memoryPoolsSupported = 1;
  p->hostRegisterSupported = 1;
  p->streamPrioritiesSupported = 1;
  p->pciBusID = d + 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int d) {
  if (d < 0 || d >= ndev()) return R(cudaErrorInvalidDevice);
  switch (a) {
    case cudaDevAttrMultiProcessorCount:
      *v = SMS;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *v = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *v = 0;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      *v = 1024;
      break;
    case cudaDevAttrMaxBlockDimZ:
      *v = 64;
      break;
    case cudaDevAttrMaxGridDimX:
      *v = 2147483647;
      break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      *v = 65535;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *v = 49152;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *v = SMEM_OPTIN;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *v = 233472;
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *v = 1024;
      break;
    case cudaDevAttrWarpSize:
      *v = 32;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *v = 2048;
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *v = 32;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
    case cudaDevAttrTotalConstantMemory:
      *v = 65536;
      break;
    case cudaDevAttrL2CacheSize:
      *v = 52428800;
      break;
    case cudaDevAttrClockRate:
      *v = 1980000;
      break;
    case cudaDevAttrMemoryClockRate:
      *v = 2619000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *v = 5120;
      break;
    case cudaDevAttrAsyncEngineCount:
      *v = 3;
      break;
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrHostNativeAtomicSupported:
      *v = 1;
      break;
    default:
      *v = 0;
  }
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* f, cudaFuncAttribute a, int v) {
  unique_lock<shared_mutex> l(mu());
  auto it = kerns().t.find(f);
  if (it == kerns().t.end()) return R(cudaErrorInvalidDeviceFunction);
  if (a == cudaFuncAttributeMaxDynamicSharedMemorySize) {
    if (v < 0 || v + (int)it->second.M->fns.at(it->second.name).smem > SMEM_OPTIN) return R(cudaErrorInvalidValue);
    it->second.max_dyn = max(v, 49152 - (int)it->second.M->fns.at(it->second.name).smem);
  }
  return cudaSuccess;
}
cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) {
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void* f) {
  Kern K;
  memset(a, 0, sizeof *a);
  if (!find_kernel(f, K)) return R(cudaErrorInvalidDeviceFunction);
  const Fn& F = K.M->fns.at(K.name);
  a->sharedSizeBytes = F.smem;
  a->localSizeBytes = F.lmem;
  a->maxThreadsPerBlock = F.maxntid ? F.maxntid : 1024;
  a->numRegs = 32;
  a->ptxVersion = K.M->target ? K.M->target : 90;
  a->binaryVersion = 90;
  a->maxDynamicSharedSizeBytes = K.max_dyn;
  return cudaSuccess;
}
cudaError_t cudaFuncGetName(const char** n, const void* f) {
  shared_lock<shared_mutex> l(mu());
  auto it = kerns().t.find(f);
  if (it == kerns().t.end()) return R(cudaErrorInvalidDeviceFunction);
  *n = it->second.name.c_str();
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void* f, int bs, size_t s, unsigned) {
  *n = max_blocks(f, bs, s);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, const void* f, int bs, size_t s) {
  *n = max_blocks(f, bs, s);
  return cudaSuccess;
}
cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* s, const void* f, int nb, int) {
  Kern K;
  if (!find_kernel(f, K) || nb < 1) return R(cudaErrorInvalidValue);
  s64 v = 233472 / nb - 1024 - (s64)K.M->fns.at(K.name).smem;
  *s = max<s64>(0, min<s64>(v, SMEM_OPTIN));
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* v) {
  *v = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* v) {
  *v = 13000;
  return cudaSuccess;
}
cudaError_t cudaProfilerStart(void) {
  return cudaSuccess;
}
cudaError_t cudaProfilerStop(void) {
  return cudaSuccess;
}
// ---- graphs: not supported
#define NOTSUP(name, args)           \
  cudaError_t name args {            \
    return R(cudaErrorNotSupported); \
  }
NOTSUP(cudaStreamBeginCapture, (cudaStream_t, cudaStreamCaptureMode))
NOTSUP(cudaStreamEndCapture, (cudaStream_t, cudaGraph_t*))
    NOTSUP(cudaGraphInstantiate, (cudaGraphExec_t*, cudaGraph_t, unsigned long long))
        NOTSUP(cudaGraphLaunch, (cudaGraphExec_t, cudaStream_t)) NOTSUP(cudaGraphCreate, (cudaGraph_t*, unsigned))
            NOTSUP(cudaGraphDestroy, (cudaGraph_t)) NOTSUP(cudaGraphExecDestroy, (cudaGraphExec_t))
                NOTSUP(cudaGraphUpload, (cudaGraphExec_t, cudaStream_t))
                    NOTSUP(cudaIpcGetMemHandle, (cudaIpcMemHandle_t*, void*))
                        NOTSUP(cudaIpcOpenMemHandle, (void**, cudaIpcMemHandle_t, unsigned))
                            NOTSUP(cudaIpcCloseMemHandle, (void*))
}
