// The backend of a run: chosen together by all ranks, made, and the process bound to the processors beside its GPU.
#pragma once

#include <memory>

#include "comm/comm.hpp"
#include "comm/mpi_runtime.hpp"
#include "config/options.hpp"
#include "kernels/backend.hpp"

namespace sparrow {

/// Collective. Logs which backend it is and why. Throws Error when it cannot be had.
std::unique_ptr<Backend> choose_backend(const SystemOptions& system, const MpiRuntime& mpi, Comm& comm);

}  // namespace sparrow
