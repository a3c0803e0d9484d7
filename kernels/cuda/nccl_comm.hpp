// Ranks that exchange device memory: Comm over NCCL. An all-to-all is a group of sends and receives on a stream of the
// communicator's own, which waits for the caller's stream and which the caller's stream waits for in turn: the host
// never waits. A thread watches the operations under way: one that takes longer than the time-out, or an error of
// NCCL's, aborts the communicator, and the next call says why.
//
// NCCL is set up over another communicator (MPI), which also does what is not worth a GPU: splitting and agreeing on
// ids.
#pragma once

#include <nccl.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/timer.hpp"
#include "comm/comm.hpp"
#include "kernels/cuda/cuda_backend.hpp"

namespace sparrow::cuda {

class NcclComm final : public Comm {
 public:
  /// Collective over `bootstrap`, which this communicator takes over. device: CUDA's number.
  NcclComm(std::unique_ptr<Comm> bootstrap, int device);
  ~NcclComm() override;
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  int rank() const override { return bootstrap_->rank(); }
  int size() const override { return bootstrap_->size(); }

  /// Buffers are device memory; `stream` is not null. Sizes are read before this returns.
  Ticket post(Stream* stream, const AllToAll& operation) override;
  void wait(Ticket ticket) override;
  std::unique_ptr<Comm> split(int color, int key) override;

  const Traffic& traffic() const override { return traffic_; }
  double timeout_seconds() const override { return bootstrap_->timeout_seconds(); }
  std::string name() const override { return "nccl"; }

 private:
  /// An operation from its post until the device has done it and the caller has waited.
  struct Slot {
    bool posted = false, waited = false;
    bool started = false;  ///< the device has got there; `timer` runs since
    cudaStream_t stream = nullptr;
    CudaEvent ready, done;
    Timer timer;
  };

  Slot& free_slot();
  void exchange(const AllToAll& operation);
  void throw_failure() const;
  void watch();
  void inspect(Slot& slot);
  void fail_all(const std::string& why);

  std::unique_ptr<Comm> bootstrap_;
  int device_ = 0;
  CudaStream stream_;
  ncclComm_t comm_ = nullptr;
  std::vector<std::unique_ptr<Slot>> slots_;
  Traffic traffic_;

  mutable std::mutex mutex_;  ///< guards slots_, failure_ and aborted_
  std::condition_variable stop_changed_;
  bool stop_ = false, aborted_ = false;
  std::string failure_;
  std::thread watcher_;
};

}  // namespace sparrow::cuda
