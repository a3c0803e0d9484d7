// libnccl.so.2 stand-in over MPI for the emulated GPUs ("device" pointers are host memory).  One NCCL rank per process
// and communicator. MPI must have been initialised by the application when a communicator has more than one rank.
//  - Members of a communicator find each other through small files named after the unique id (one machine,
//  $PTXEMU_NCCL_DIR or /dev/shm),
//    then MPI_Comm_create_group builds the MPI communicator; only the members take part.
//  - Every MPI operation is non-blocking and polled, so grouped sends and receives between all pairs cannot deadlock; a
//  send outside a
//    group is buffered.  Operations are complete when the call (or ncclGroupEnd) returns; the stream argument is
//    ignored.
//  - Reductions gather the contributions and reduce in rank order (bitwise the same on every rank and run); 16-bit
//  floats sum in f32.
#include <dlfcn.h>
#include <fcntl.h>
#include <mpi.h>
#include <nccl.h>
#include <sched.h>
#include <unistd.h>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>
using namespace std;
static recursive_mutex mpi_mu;
static thread_local string last_error;  // MPI calls are serialised
#define LOCK lock_guard<recursive_mutex> lock_(mpi_mu)
static ncclResult_t fail(ncclResult_t r, const string& s) {
  last_error = s;
  if (getenv("NCCL_DEBUG")) fprintf(stderr, "nccl stand-in: %s\n", s.c_str());
  return r;
}
struct PendingSend {
  MPI_Request r;
  vector<char> data;
};
struct ncclComm {
  MPI_Comm mpi = MPI_COMM_NULL;
  int rank = 0, n = 1, dev = 0;
  list<PendingSend> sends;
  list<vector<char>> self;
  bool aborted = false, finalized = false;
};
static int cu_device() {
  typedef int (*F)(int*);
  F f = (F)dlsym(RTLD_DEFAULT, "cudaGetDevice");
  int d = 0;
  if (f) f(&d);
  return d;
}
static size_t esize(ncclDataType_t t) {
  switch (t) {
    case ncclInt8:
    case ncclUint8:
    case ncclFloat8e4m3:
    case ncclFloat8e5m2:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}
static MPI_Datatype mtype(ncclDataType_t t) {
  switch (esize(t)) {
    case 1:
      return MPI_BYTE;
    case 2:
      return MPI_INT16_T;
    case 4:
      return MPI_INT32_T;
    default:
      return MPI_INT64_T;
  }
}
// ---------------------------------------------------------------- local reduction
struct bf16 {
  uint16_t b;
  operator float() const {
    uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
  }
  bf16() {}
  bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    b = f != f ? 0x7fff : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
};
struct f16 {
  _Float16 v;
  operator float() const { return (float)v; }
  f16() {}
  f16(float f) : v((_Float16)f) {}
};
template <class T>
static void reduce_t(T* out, const T* in, size_t count, size_t stride, int n, ncclRedOp_t op) {
  using A = conditional_t<is_same<T, bf16>::value || is_same<T, f16>::value, float, T>;
  for (size_t i = 0; i < count; i++) {
    A a = (A)in[i];
    for (int k = 1; k < n; k++) {
      A b = (A)in[k * stride + i];
      switch (op) {
        case ncclProd:
          a = A(a * b);
          break;
        case ncclMax:
          a = a > b ? a : b;
          break;
        case ncclMin:
          a = a < b ? a : b;
          break;
        default:
          a = A(a + b);
      }
    }
    if (op == ncclAvg) a = A(a / A(n));
    out[i] = T(a);
  }
}
static void reduce_local(void* o, const void* i, size_t c, size_t stride, int n, ncclDataType_t t, ncclRedOp_t op) {
  switch (t) {
    case ncclInt8:
      reduce_t((int8_t*)o, (const int8_t*)i, c, stride, n, op);
      break;
    case ncclUint8:
      reduce_t((uint8_t*)o, (const uint8_t*)i, c, stride, n, op);
      break;
    case ncclInt32:
      reduce_t((int32_t*)o, (const int32_t*)i, c, stride, n, op);
      break;
    case ncclUint32:
      reduce_t((uint32_t*)o, (const uint32_t*)i, c, stride, n, op);
      break;
    case ncclInt64:
      reduce_t((int64_t*)o, (const int64_t*)i, c, stride, n, op);
      break;
    case ncclUint64:
      reduce_t((uint64_t*)o, (const uint64_t*)i, c, stride, n, op);
      break;
    case ncclFloat32:
      reduce_t((float*)o, (const float*)i, c, stride, n, op);
      break;
    case ncclFloat64:
      reduce_t((double*)o, (const double*)i, c, stride, n, op);
      break;
    case ncclFloat16:
      reduce_t((f16*)o, (const f16*)i, c, stride, n, op);
      break;
    case ncclBfloat16:
      reduce_t((bf16*)o, (const bf16*)i, c, stride, n, op);
      break;
    default:
      break;
  }
}
// ---------------------------------------------------------------- operations
enum Kind { SEND, RECV, ALLREDUCE, REDUCESCATTER, ALLGATHER, BROADCAST, REDUCE, ALLTOALL, GATHER, SCATTER };
struct Task {
  Kind k;
  const void* s;
  void* r;
  size_t c;
  ncclDataType_t t;
  ncclRedOp_t op;
  int peer;
  ncclComm* comm;
};
static thread_local int depth = 0;
static thread_local vector<Task> group;
static thread_local ncclResult_t group_err = ncclSuccess;
struct Running {
  Task t;
  MPI_Request r = MPI_REQUEST_NULL;
  vector<char> in, out;
};
static void start(Running& q) {  // posts the operation; the caller holds no lock
  Task& t = q.t;
  size_t e = esize(t.t), c = t.c;
  int n = t.comm->n, me = t.comm->rank;
  MPI_Datatype mt = mtype(t.t);
  MPI_Comm m = t.comm->mpi;
  auto keep = [&](const void* p, size_t b) { q.in.assign((const char*)p, (const char*)p + b); };
  LOCK;
  if (n == 1) return;
  switch (t.k) {
    case SEND:
      keep(t.s, c * e);
      MPI_Isend(q.in.data(), c, mt, t.peer, 1, m, &q.r);
      break;
    case RECV:
      MPI_Irecv(t.r, c, mt, t.peer, 1, m, &q.r);
      break;
    case ALLREDUCE:
      keep(t.s, c * e);
      q.out.resize(c * e * n);
      MPI_Iallgather(q.in.data(), c, mt, q.out.data(), c, mt, m, &q.r);
      break;
    case REDUCESCATTER:
      keep(t.s, c * e * n);
      q.out.resize(c * e * n);
      MPI_Ialltoall(q.in.data(), c, mt, q.out.data(), c, mt, m, &q.r);
      break;
    case ALLGATHER:
      keep(t.s, c * e);
      MPI_Iallgather(q.in.data(), c, mt, t.r, c, mt, m, &q.r);
      break;
    case BROADCAST:
      if (me == t.peer && t.r != t.s) memmove(t.r, t.s, c * e);
      MPI_Ibcast(t.r, c, mt, t.peer, m, &q.r);
      break;
    case REDUCE:
      keep(t.s, c * e);
      if (me == t.peer) q.out.resize(c * e * n);
      MPI_Igather(q.in.data(), c, mt, q.out.data(), c, mt, t.peer, m, &q.r);
      break;
    case ALLTOALL:
      keep(t.s, c * e * n);
      MPI_Ialltoall(q.in.data(), c, mt, t.r, c, mt, m, &q.r);
      break;
    case GATHER:
      keep(t.s, c * e);
      MPI_Igather(q.in.data(), c, mt, t.r, c, mt, t.peer, m, &q.r);
      break;
    case SCATTER:
      if (me == t.peer) keep(t.s, c * e * n);
      MPI_Iscatter(q.in.data(), c, mt, t.r, c, mt, t.peer, m, &q.r);
      break;
  }
}
static void finish(Running& q) {
  Task& t = q.t;
  size_t e = esize(t.t);
  int n = t.comm->n, me = t.comm->rank;
  if (n == 1) {
    switch (t.k) {
      case SEND:
        t.comm->self.emplace_back((const char*)t.s, (const char*)t.s + t.c * e);
        break;
      case RECV:
        break;
      case ALLREDUCE:
      case REDUCE:
      case REDUCESCATTER:
        q.in.assign((const char*)t.s, (const char*)t.s + t.c * e);
        reduce_local(t.r, q.in.data(), t.c, t.c, 1, t.t, t.op);
        break;
      default:
        memmove(t.r, t.s, t.c * e);
    }
    return;
  }
  if (t.k == ALLREDUCE || t.k == REDUCESCATTER || (t.k == REDUCE && me == t.peer))
    reduce_local(t.r, q.out.data(), t.c, t.c, n, t.t, t.op);
}
static void progress(ncclComm* c) {
  for (auto it = c->sends.begin(); it != c->sends.end();) {
    int f;
    MPI_Test(&it->r, &f, MPI_STATUS_IGNORE);
    if (f)
      it = c->sends.erase(it);
    else
      ++it;
  }
}
static ncclResult_t run(vector<Task>& ts) {
  list<Running> q;
  for (auto& t : ts)
    if (t.k == RECV && t.c) {
      q.emplace_back();
      q.back().t = t;
      start(q.back());
    }  // receives first, then the rest in order
  for (auto& t : ts)
    if (t.k != RECV && t.c) {
      q.emplace_back();
      q.back().t = t;
      start(q.back());
    }
  for (auto& r : q)
    if (r.t.comm->n == 1 && r.t.k != RECV) finish(r);
  for (auto& r : q)
    if (r.t.comm->n == 1 && r.t.k == RECV) {
      auto& s = r.t.comm->self;
      if (s.empty()) return fail(ncclInvalidUsage, "ncclRecv from self without a send");
      memcpy(r.t.r, s.front().data(), min(s.front().size(), r.t.c * esize(r.t.t)));
      s.pop_front();
    }
  bool buffered = ts.size() == 1 && ts[0].k == SEND && depth == 0;
  if (buffered && q.size() && ts[0].comm->n > 1) {
    LOCK;
    auto& r = q.front();
    ts[0].comm->sends.push_back({r.r, move(r.in)});
    progress(ts[0].comm);
    return ncclSuccess;
  }
  for (bool all = false; !all;) {
    all = true;
    {
      LOCK;
      for (auto& r : q) {
        progress(r.t.comm);
        if (r.r != MPI_REQUEST_NULL) {
          int f;
          MPI_Test(&r.r, &f, MPI_STATUS_IGNORE);
          if (!f) all = false;
        }
      }
    }
    if (!all) sched_yield();
  }
  for (auto& r : q)
    if (r.t.comm->n > 1) finish(r);
  return ncclSuccess;
}
static ncclResult_t add(Kind k, const void* s, void* r, size_t c, ncclDataType_t t, ncclRedOp_t op, int peer,
                        ncclComm_t comm) {
  ncclResult_t e = ncclSuccess;
  if (!comm)
    e = fail(ncclInvalidArgument, "null communicator");
  else if (comm->aborted || comm->finalized)
    e = fail(ncclInvalidUsage, "communicator was aborted or finalized");
  else if (!esize(t))
    e = fail(ncclInvalidArgument, "data type");
  else if (c > INT_MAX)
    e = fail(ncclInvalidArgument, "more than 2^31 elements");
  else if (peer < 0 || peer >= comm->n)
    e = fail(ncclInvalidArgument, "peer or root out of range");
  else if ((int)op < 0 || (int)op > ncclAvg)
    e = fail(ncclInvalidArgument, "reduction operator");
  else if ((k == ALLREDUCE || k == REDUCE || k == REDUCESCATTER) && esize(t) == 1 && t != ncclInt8 && t != ncclUint8)
    e = fail(ncclInvalidArgument, "fp8 reduction is not supported");
  else if (c &&
           ((k != RECV && !s && !(k == BROADCAST && comm->rank != peer) && !(k == SCATTER && comm->rank != peer)) ||
            (k != SEND && !r && !(k == REDUCE && comm->rank != peer) && !(k == GATHER && comm->rank != peer))))
    e = fail(ncclInvalidArgument, "null buffer");
  if (e) {
    if (depth) group_err = e;
    return e;
  }
  Task q{k, s, r, c, t, op, peer, comm};
  if (depth) {
    group.push_back(q);
    return ncclSuccess;
  }
  vector<Task> v{q};
  return run(v);
}
extern "C" {
ncclResult_t ncclGetVersion(int* v) {
  if (!v) return ncclInvalidArgument;
  *v = NCCL_VERSION_CODE;
  return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (!id) return ncclInvalidArgument;
  memset(id, 0, sizeof *id);
  unsigned char b[24];
  int f = open("/dev/urandom", O_RDONLY);
  if (f < 0 || read(f, b, sizeof b) != (ssize_t)sizeof b) return fail(ncclSystemError, "urandom");
  close(f);
  for (int i = 0; i < 24; i++) sprintf(id->internal + 2 * i, "%02x", b[i]);
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* out, int n, ncclUniqueId id, int rank, ncclConfig_t*) {
  if (!out) return ncclInvalidArgument;
  *out = nullptr;
  if (n < 1 || rank < 0 || rank >= n) return fail(ncclInvalidArgument, "rank or size");
  if (id.internal[48] || strlen(id.internal) != 48) return fail(ncclInvalidArgument, "unique id");
  auto c = make_unique<ncclComm>();
  c->rank = rank;
  c->n = n;
  c->dev = cu_device();
  if (n > 1) {
    int init = 0;
    MPI_Initialized(&init);
    if (!init) return fail(ncclInvalidUsage, "MPI is not initialised");
    int wr;
    MPI_Comm_rank(MPI_COMM_WORLD, &wr);
    const char* dir = getenv("PTXEMU_NCCL_DIR");
    string base = string(dir ? dir : "/dev/shm") + "/ptxemu_nccl_" + id.internal + "_";
    auto name = [&](int r) { return base + to_string(r); };
    {
      string tmp = name(rank) + ".tmp";
      FILE* f = fopen(tmp.c_str(), "w");
      if (!f) return fail(ncclSystemError, "cannot write " + tmp);
      fprintf(f, "%d %d\n", wr, n);
      fclose(f);
      rename(tmp.c_str(), name(rank).c_str());
    }
    vector<int> world(n);
    double t0 = MPI_Wtime();
    for (int r = 0; r < n; r++)
      for (;;) {
        FILE* f = fopen(name(r).c_str(), "r");
        int w = -1, m = 0;
        if (f) {
          int k = fscanf(f, "%d %d", &w, &m);
          fclose(f);
          if (k == 2) {
            if (m != n) return fail(ncclInvalidUsage, "ranks disagree about the communicator's size");
            world[r] = w;
            break;
          }
        }
        if (MPI_Wtime() - t0 > 120)
          return fail(ncclSystemError, "ncclCommInitRank: rank " + to_string(r) + " did not come within 120 s");
        usleep(200);
      }
    for (int a = 0; a < n; a++)
      for (int b = a + 1; b < n; b++)
        if (world[a] == world[b]) return fail(ncclInvalidUsage, "two NCCL ranks in one process are not supported");
    LOCK;
    MPI_Group wg, g;
    MPI_Comm_group(MPI_COMM_WORLD, &wg);
    MPI_Group_incl(wg, n, world.data(), &g);
    int tag = (int)(strtoul(string(id.internal, 6).c_str(), 0, 16) % 30000);
    MPI_Comm_create_group(MPI_COMM_WORLD, g, tag, &c->mpi);
    MPI_Group_free(&g);
    MPI_Group_free(&wg);
    MPI_Barrier(c->mpi);
    unlink(name(rank).c_str());
  }
  *out = c.release();
  return ncclSuccess;
}
ncclResult_t ncclCommInitRank(ncclComm_t* c, int n, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(c, n, id, rank, nullptr);
}
ncclResult_t ncclCommInitAll(ncclComm_t* c, int n, const int* devs) {
  if (n != 1)
    return fail(ncclInvalidUsage, "ncclCommInitAll with several devices needs several NCCL ranks in one process");
  *c = new ncclComm;
  (*c)->dev = devs ? devs[0] : 0;
  return ncclSuccess;
}
ncclResult_t ncclCommSplit(ncclComm_t p, int color, int key, ncclComm_t* out, ncclConfig_t*) {
  if (!p || !out) return ncclInvalidArgument;
  *out = nullptr;
  if (color < 0 && color != NCCL_SPLIT_NOCOLOR) return fail(ncclInvalidArgument, "color");
  if (p->n == 1) {
    if (color == NCCL_SPLIT_NOCOLOR) return ncclSuccess;
    *out = new ncclComm;
    (*out)->dev = p->dev;
    return ncclSuccess;
  }
  LOCK;
  MPI_Comm m;
  MPI_Comm_split(p->mpi, color == NCCL_SPLIT_NOCOLOR ? MPI_UNDEFINED : color, key, &m);
  if (m == MPI_COMM_NULL) return ncclSuccess;
  auto c = new ncclComm;
  c->mpi = m;
  c->dev = p->dev;
  MPI_Comm_rank(m, &c->rank);
  MPI_Comm_size(m, &c->n);
  *out = c;
  return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t c) {
  if (!c) return ncclInvalidArgument;
  c->finalized = true;
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t c) {
  if (!c) return ncclSuccess;
  int fin = 0;
  MPI_Finalized(&fin);
  if (c->mpi != MPI_COMM_NULL && !fin && !c->aborted) {
    for (;;) {
      {
        LOCK;
        progress(c);
        if (c->sends.empty()) break;
      }
      sched_yield();
    }
    LOCK;
    MPI_Comm_free(&c->mpi);
  }
  delete c;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t c) {
  if (c) c->aborted = true;
  return ncclSuccess;
}  // the MPI communicator is left behind
ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t* e) {
  if (!c || !e) return ncclInvalidArgument;
  *e = ncclSuccess;
  return ncclSuccess;
}
ncclResult_t ncclCommCount(const ncclComm_t c, int* n) {
  if (!c || !n) return ncclInvalidArgument;
  *n = c->n;
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(const ncclComm_t c, int* r) {
  if (!c || !r) return ncclInvalidArgument;
  *r = c->rank;
  return ncclSuccess;
}
ncclResult_t ncclCommCuDevice(const ncclComm_t c, int* d) {
  if (!c || !d) return ncclInvalidArgument;
  *d = c->dev;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t r) {
  static const char* S[] = {"no error",
                            "unhandled cuda error",
                            "unhandled system error",
                            "internal error",
                            "invalid argument",
                            "invalid usage",
                            "remote process exited or there was a network error",
                            "NCCL operation in progress"};
  return r >= 0 && r < 8 ? S[r] : "unknown result code";
}
const char* ncclGetLastError(ncclComm_t) {
  return last_error.c_str();
}
ncclResult_t ncclGroupStart() {
  depth++;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (!depth) return fail(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
  if (depth > 1) {
    depth--;
    return ncclSuccess;
  }
  vector<Task> v;
  v.swap(group);
  ncclResult_t e = group_err;
  group_err = ncclSuccess;
  if (!e) e = run(v);
  depth = 0;
  return e;
}
ncclResult_t ncclSend(const void* s, size_t c, ncclDataType_t t, int peer, ncclComm_t m, cudaStream_t) {
  return add(SEND, s, nullptr, c, t, ncclSum, peer, m);
}
ncclResult_t ncclRecv(void* r, size_t c, ncclDataType_t t, int peer, ncclComm_t m, cudaStream_t) {
  return add(RECV, nullptr, r, c, t, ncclSum, peer, m);
}
ncclResult_t ncclAllReduce(const void* s, void* r, size_t c, ncclDataType_t t, ncclRedOp_t o, ncclComm_t m,
                           cudaStream_t) {
  return add(ALLREDUCE, s, r, c, t, o, 0, m);
}
ncclResult_t ncclReduceScatter(const void* s, void* r, size_t c, ncclDataType_t t, ncclRedOp_t o, ncclComm_t m,
                               cudaStream_t) {
  return add(REDUCESCATTER, s, r, c, t, o, 0, m);
}
ncclResult_t ncclAllGather(const void* s, void* r, size_t c, ncclDataType_t t, ncclComm_t m, cudaStream_t) {
  return add(ALLGATHER, s, r, c, t, ncclSum, 0, m);
}
ncclResult_t ncclBroadcast(const void* s, void* r, size_t c, ncclDataType_t t, int root, ncclComm_t m, cudaStream_t) {
  return add(BROADCAST, s, r, c, t, ncclSum, root, m);
}
ncclResult_t ncclBcast(void* b, size_t c, ncclDataType_t t, int root, ncclComm_t m, cudaStream_t) {
  return add(BROADCAST, b, b, c, t, ncclSum, root, m);
}
ncclResult_t ncclReduce(const void* s, void* r, size_t c, ncclDataType_t t, ncclRedOp_t o, int root, ncclComm_t m,
                        cudaStream_t) {
  return add(REDUCE, s, r, c, t, o, root, m);
}
ncclResult_t ncclAlltoAll(const void* s, void* r, size_t c, ncclDataType_t t, ncclComm_t m, cudaStream_t) {
  return add(ALLTOALL, s, r, c, t, ncclSum, 0, m);
}
ncclResult_t ncclGather(const void* s, void* r, size_t c, ncclDataType_t t, int root, ncclComm_t m, cudaStream_t) {
  return add(GATHER, s, r, c, t, ncclSum, root, m);
}
ncclResult_t ncclScatter(const void* s, void* r, size_t c, ncclDataType_t t, int root, ncclComm_t m, cudaStream_t) {
  return add(SCATTER, s, r, c, t, ncclSum, root, m);
}
ncclResult_t ncclMemAlloc(void** p, size_t n) {
  typedef int (*F)(void**, size_t);
  F f = (F)dlsym(RTLD_DEFAULT, "cudaMalloc");
  return f && f(p, n) == 0 ? ncclSuccess : ncclUnhandledCudaError;
}
ncclResult_t ncclMemFree(void* p) {
  typedef int (*F)(void*);
  F f = (F)dlsym(RTLD_DEFAULT, "cudaFree");
  return f && f(p) == 0 ? ncclSuccess : ncclUnhandledCudaError;
}
ncclResult_t ncclCommRegister(const ncclComm_t, void*, size_t, void** h) {
  *h = nullptr;
  return ncclSuccess;
}
ncclResult_t ncclCommDeregister(const ncclComm_t, void*) {
  return ncclSuccess;
}
ncclResult_t ncclRedOpCreatePreMulSum(ncclRedOp_t*, void*, ncclDataType_t, ncclScalarResidence_t, ncclComm_t) {
  return fail(ncclInvalidUsage, "PreMulSum is not supported");
}
ncclResult_t ncclRedOpDestroy(ncclRedOp_t, ncclComm_t) {
  return ncclSuccess;
}
}
