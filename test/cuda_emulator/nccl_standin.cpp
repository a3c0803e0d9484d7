// A stand-in for libnccl over MPI, for programs on the emulated GPU: sends and receives, alone or in groups, which is
// what kernels/cuda/nccl_comm uses. One rank per process and communicator; the program must have initialised MPI with
// MPI_THREAD_MULTIPLE.
//
// An operation is queued on its stream (see streams.hpp) and moves data when the stream gets there. It is polled, not
// waited for, so that work in other streams goes on meanwhile. As in NCCL, the n-th send from one rank to another meets
// the n-th receive there, in the order of the calls.
#include <cuda_runtime_api.h>
#include <mpi.h>
#include <nccl.h>

#include <atomic>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

extern "C" void cudaEmulatorEnqueue(cudaStream_t stream, int (*work)(void*), void* argument);
extern "C" int cudaEmulatorInside(const void* data, size_t bytes);

struct ncclComm {
  MPI_Comm mpi = MPI_COMM_NULL;
  int rank = 0, size = 1, device = 0;
  std::vector<int> sent, received;  ///< messages so far, by peer
  std::atomic<bool> aborted{false};
};

namespace {

struct Message {
  bool sends;
  void* data;
  size_t bytes;
  int peer;
  int tag;  ///< its number among those to or from the peer
};

/// The messages of a group on one stream, once they are under way.
struct Transfer {
  ncclComm* comm;
  std::vector<Message> messages;
  std::vector<MPI_Request> requests;
  bool started = false;
};

/// A group that is being collected by this thread.
struct Group {
  int depth = 0;
  ncclResult_t error = ncclSuccess;
  std::map<std::pair<ncclComm*, cudaStream_t>, std::vector<Message>> messages;
};

Group& group_of_thread() {
  static thread_local Group group;
  return group;
}

std::string& last_error() {
  static thread_local std::string text;
  return text;
}

ncclResult_t refuse(ncclResult_t result, const std::string& why) {
  last_error() = why;
  return result;
}

size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
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

void start(Transfer& transfer) {
  for (const bool sends : {false, true}) {  // receives first: what arrives finds its place
    for (const Message& m : transfer.messages) {
      if (m.sends != sends) continue;
      transfer.requests.emplace_back();
      const auto count = static_cast<int>(m.bytes);
      if (sends) {
        MPI_Isend(m.data, count, MPI_BYTE, m.peer, m.tag, transfer.comm->mpi, &transfer.requests.back());
      } else {
        MPI_Irecv(m.data, count, MPI_BYTE, m.peer, m.tag, transfer.comm->mpi, &transfer.requests.back());
      }
    }
  }
  transfer.started = true;
}

/// Work for a stream: returns 1 when the transfer is done, and takes it away.
int advance(void* argument) {
  auto* transfer = static_cast<Transfer*>(argument);
  if (!transfer->comm->aborted) {
    if (!transfer->started) start(*transfer);
    int done = 0;
    std::vector<MPI_Status> statuses(transfer->requests.size());
    MPI_Testall(static_cast<int>(transfer->requests.size()), transfer->requests.data(), &done, statuses.data());
    if (!done) return 0;
    for (size_t k = 0, received = 0; k < transfer->messages.size(); ++k) {
      const Message& m = transfer->messages[k];
      if (m.sends) continue;
      int count = 0;
      MPI_Get_count(&statuses[received++], MPI_BYTE, &count);
      if (static_cast<size_t>(count) == m.bytes) continue;
      std::fprintf(stderr, "nccl stand-in: rank %d expected %zu bytes from rank %d and got %d\n", transfer->comm->rank,
                   m.bytes, m.peer, count);
      std::abort();
    }
  }
  delete transfer;
  return 1;
}

ncclResult_t end_group(Group& group) {
  const ncclResult_t error = group.error;
  for (auto& [where, messages] : group.messages) {
    const auto [comm, stream] = where;
    if (error == ncclSuccess) cudaEmulatorEnqueue(stream, advance, new Transfer{comm, std::move(messages), {}, false});
  }
  group = {};
  return error;
}

ncclResult_t add(bool sends, void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                 cudaStream_t stream) {
  Group& group = group_of_thread();
  const size_t bytes = count * size_of(type);
  ncclResult_t result = ncclSuccess;
  if (!comm || comm->aborted) {
    result = refuse(ncclInvalidArgument, "no communicator, or an aborted one");
  } else if (size_of(type) == 0 || bytes > INT_MAX || (bytes > 0 && !data)) {
    result = refuse(ncclInvalidArgument, "data type, count or buffer");
  } else if (peer < 0 || peer >= comm->size || peer == comm->rank) {
    result = refuse(ncclInvalidArgument, "peer " + std::to_string(peer));
  }
  if (result != ncclSuccess) {
    group.error = result;
    if (group.depth == 0) group = {};
    return result;
  }
  if (bytes > 0 && !cudaEmulatorInside(data, bytes)) {
    std::fprintf(stderr, "nccl stand-in: rank %d: %zu bytes %s rank %d go beyond their allocation\n", comm->rank, bytes,
                 sends ? "to" : "from", peer);
    std::abort();
  }
  int& number = (sends ? comm->sent : comm->received)[static_cast<size_t>(peer)];
  group.messages[{comm, stream}].push_back({sends, data, bytes, peer, number++ % 30000});
  return group.depth == 0 ? end_group(group) : ncclSuccess;
}

/// Ranks agree on a communicator by its id: rank 0's world rank is in it, and it tells the others who takes part.
struct IdContents {
  int root_world_rank;
  int number;
};

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> number{0};
  IdContents contents{0, number++};
  int initialised = 0;
  MPI_Initialized(&initialised);
  if (initialised) MPI_Comm_rank(MPI_COMM_WORLD, &contents.root_world_rank);
  std::memset(id, 0, sizeof *id);
  std::memcpy(id->internal, &contents, sizeof contents);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* out, int size, ncclUniqueId id, int rank) {
  *out = nullptr;
  if (size < 1 || rank < 0 || rank >= size) return refuse(ncclInvalidArgument, "rank or size");
  auto comm = std::make_unique<ncclComm>();
  comm->rank = rank;
  comm->size = size;
  cudaGetDevice(&comm->device);
  comm->sent.resize(static_cast<size_t>(size));
  comm->received.resize(static_cast<size_t>(size));
  if (size > 1) {
    IdContents contents;
    std::memcpy(&contents, id.internal, sizeof contents);
    const int tag = 30001 + contents.number % 1000;
    int world_rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    std::vector<int> members(static_cast<size_t>(size));
    if (world_rank == contents.root_world_rank) {
      members[static_cast<size_t>(rank)] = world_rank;
      for (int k = 1; k < size; ++k) {
        int from[2];  // its rank in the communicator, and in the world
        MPI_Recv(from, 2, MPI_INT, MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        members[static_cast<size_t>(from[0])] = from[1];
      }
      for (const int member : members) {
        if (member != world_rank) MPI_Send(members.data(), size, MPI_INT, member, tag, MPI_COMM_WORLD);
      }
    } else {
      const int own[2] = {rank, world_rank};
      MPI_Send(own, 2, MPI_INT, contents.root_world_rank, tag, MPI_COMM_WORLD);
      MPI_Recv(members.data(), size, MPI_INT, contents.root_world_rank, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    MPI_Group world, group;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_incl(world, size, members.data(), &group);
    MPI_Comm_create_group(MPI_COMM_WORLD, group, tag, &comm->mpi);
    MPI_Group_free(&group);
    MPI_Group_free(&world);
  }
  *out = comm.release();
  return ncclSuccess;
}

/// What is queued must be done: NCCL says so, too.
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!comm) return ncclSuccess;
  int finalised = 0;
  MPI_Finalized(&finalised);
  if (comm->mpi != MPI_COMM_NULL && !finalised) MPI_Comm_free(&comm->mpi);
  delete comm;
  return ncclSuccess;
}

/// The communicator itself stays: transfers in streams still look at it.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (comm) comm->aborted = true;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* error) {
  *error = ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++group_of_thread().depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  Group& group = group_of_thread();
  if (group.depth == 0) return refuse(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
  return --group.depth > 0 ? ncclSuccess : end_group(group);
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add(true, const_cast<void*>(data), count, type, peer, comm, stream);
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add(false, data, count, type, peer, comm, stream);
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    default:
      return "error";
  }
}

const char* ncclGetLastError(ncclComm_t) {
  return last_error().c_str();
}
}
