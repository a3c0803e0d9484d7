#include "kernels/cuda/nccl_comm.hpp"

#include <algorithm>
#include <chrono>
#include <span>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "comm/operation.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/cuda_module.hpp"

namespace sparrow::cuda {
namespace {

int current_device() {
  int device = 0;
  SPARROW_CUDA(cudaGetDevice(&device));
  return device;
}

void check_nccl(ncclResult_t result, const char* call) {
  if (result != ncclSuccess) fail("{}: {} ({})", call, ncclGetErrorString(result), ncclGetLastError(nullptr));
}

}  // namespace

NcclComm::NcclComm(std::unique_ptr<Comm> bootstrap, int device)
    : bootstrap_(std::move(bootstrap)), device_(device), stream_(device_, nullptr) {
  ncclUniqueId id{};
  if (rank() == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
  broadcast(*bootstrap_, std::as_writable_bytes(std::span(&id, 1)), 0);
  check_nccl(ncclCommInitRank(&comm_, size(), id, rank()), "ncclCommInitRank");
  for (int i = 0; i < kMaxPosted; ++i) slots_.push_back(std::make_unique<Slot>());
  watcher_ = std::thread([this] { watch(); });
}

NcclComm::~NcclComm() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_changed_.notify_all();
  watcher_.join();
  // An aborted communicator is freed already.
  if (!aborted_) ncclCommDestroy(comm_);
}

void NcclComm::throw_failure() const {
  if (!failure_.empty()) throw Error(failure_);
}

/// A slot whose operation is over. When there is none, too many are posted, or waited for but not done: then the oldest
/// is waited for.
NcclComm::Slot& NcclComm::free_slot() {
  for (const auto& slot : slots_) {
    if (!slot->posted) return *slot;
  }
  for (const auto& slot : slots_) {
    if (!slot->waited) continue;
    SPARROW_CUDA(cudaEventSynchronize(slot->done.handle()));
    slot->posted = false;
    return *slot;
  }
  fail("nccl: more than {} operations are posted and not waited for", kMaxPosted);
}

void NcclComm::exchange(const AllToAll& operation) {
  const auto bytes = [](std::span<const int64_t> all, int peer) { return static_cast<size_t>(all[peer]); };
  check_nccl(ncclGroupStart(), "ncclGroupStart");
  for (int peer = 0; peer < size(); ++peer) {
    const std::byte* from = operation.send + operation.send_offsets[peer];
    std::byte* to = operation.recv + operation.recv_offsets[peer];
    const size_t sends = bytes(operation.send_bytes, peer), receives = bytes(operation.recv_bytes, peer);
    if (peer == rank()) {
      if (sends > 0 && from != to) SPARROW_CUDA(cudaMemcpyAsync(to, from, sends, cudaMemcpyDefault, stream_.handle()));
      continue;
    }
    if (sends > 0) check_nccl(ncclSend(from, sends, ncclInt8, peer, comm_, stream_.handle()), "ncclSend");
    if (receives > 0) check_nccl(ncclRecv(to, receives, ncclInt8, peer, comm_, stream_.handle()), "ncclRecv");
  }
  check_nccl(ncclGroupEnd(), "ncclGroupEnd");
}

Ticket NcclComm::post(Stream* stream, const AllToAll& operation) {
  check_operation(operation, rank(), size());
  SPARROW_CHECK(stream != nullptr, "nccl: an operation needs a stream");
  const std::lock_guard lock(mutex_);
  throw_failure();
  Slot& slot = free_slot();
  slot.stream = handle(*stream);
  SPARROW_CUDA(cudaEventRecord(slot.ready.handle(), slot.stream));
  SPARROW_CUDA(cudaStreamWaitEvent(stream_.handle(), slot.ready.handle(), 0));
  exchange(operation);
  SPARROW_CUDA(cudaEventRecord(slot.done.handle(), stream_.handle()));
  slot.posted = true;
  slot.waited = slot.started = false;
  count_sent(traffic_, operation, rank(), level_of_rank_);
  count_received(traffic_, operation, rank());
  const auto at = std::find_if(slots_.begin(), slots_.end(), [&](const auto& s) { return s.get() == &slot; });
  return {static_cast<int>(at - slots_.begin())};
}

void NcclComm::wait(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  throw_failure();
  SPARROW_CHECK(ticket.index >= 0 && ticket.index < kMaxPosted, "nccl: no operation {}", ticket.index);
  Slot& slot = *slots_[ticket.index];
  SPARROW_CHECK(slot.posted && !slot.waited, "nccl: operation {} is not under way", ticket.index);
  SPARROW_CUDA(cudaStreamWaitEvent(slot.stream, slot.done.handle(), 0));
  slot.waited = true;
}

std::unique_ptr<Comm> NcclComm::split(int color, int key) {
  std::unique_ptr<Comm> part = bootstrap_->split(color, key);
  if (!part) return nullptr;
  return std::make_unique<NcclComm>(std::move(part), device_);
}

/// Called with the mutex held.
void NcclComm::fail_all(const std::string& why) {
  failure_ = why;
  aborted_ = true;
  ncclCommAbort(comm_);  // ends the transfers on the device, so that whoever waits for a stream comes back
}

void NcclComm::inspect(Slot& slot) {
  const auto happened = [](const CudaEvent& event) { return cudaEventQuery(event.handle()) != cudaErrorNotReady; };
  if (!slot.started && happened(slot.ready)) {
    slot.started = true;
    slot.timer.restart();
  }
  if (happened(slot.done)) {
    if (slot.waited) slot.posted = false;
  } else if (slot.started && slot.timer.seconds() > timeout_seconds()) {
    fail_all(
        fmt::format("nccl: rank {} of {} waited more than {} s for the others", rank(), size(), timeout_seconds()));
  }
}

void NcclComm::watch() {
  if (cudaSetDevice(device_) != cudaSuccess) return;
  const auto interval = std::chrono::duration<double>(std::min(0.5, timeout_seconds() / 4));
  std::unique_lock lock(mutex_);
  while (!stop_changed_.wait_for(lock, interval, [this] { return stop_; })) {
    ncclResult_t error = ncclSuccess;
    if (ncclCommGetAsyncError(comm_, &error) != ncclSuccess || error != ncclSuccess) {
      fail_all(fmt::format("nccl: rank {} of {}: {}", rank(), size(), ncclGetErrorString(error)));
    }
    for (const auto& slot : slots_) {
      if (slot->posted && !aborted_) inspect(*slot);
    }
    if (aborted_) return;
  }
}

}  // namespace sparrow::cuda

extern "C" sparrow::Comm* sparrow_make_nccl_comm(sparrow::Comm* bootstrap) {
  return new sparrow::cuda::NcclComm(std::unique_ptr<sparrow::Comm>(bootstrap), sparrow::cuda::current_device());
}
