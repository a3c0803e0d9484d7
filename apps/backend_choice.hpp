// The backend of a run: chosen together by all ranks, made, and the process bound to the processors beside its GPU.
#pragma once

#include <memory>

#include "comm/comm.hpp"
#include "comm/mpi_runtime.hpp"
#include "config/options.hpp"
#include "exchange/rank_context.hpp"
#include "kernels/backend.hpp"

namespace sparrow {

struct ChosenBackend {
  std::unique_ptr<Backend> host;
  std::unique_ptr<Backend> cuda;      ///< null: the host backend was chosen
  std::unique_ptr<Comm> device_comm;  ///< of cuda
  int host_threads = 1;

  /// comm: of all ranks, for host memory.
  RankContext context(Comm& comm) const {
    return cuda ? RankContext{*cuda, *host, comm, *device_comm} : RankContext::on_host(*host, comm);
  }
};

/// Collective. Logs which backend it is and why. Throws Error when it cannot be had.
ChosenBackend choose_backend(const SystemOptions& system, MpiRuntime& mpi, Comm& comm);

}  // namespace sparrow
