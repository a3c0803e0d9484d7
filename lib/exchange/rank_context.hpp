// What one rank computes and talks with.
#pragma once

#include "comm/comm.hpp"
#include "kernels/backend.hpp"

namespace sparrow {

/// Where device memory is host memory (Backend::device_is_host), `host` is `backend` and `device_comm` is `comm`.
/// Everything here outlives what is made with it.
struct RankContext {
  Backend& backend;   ///< device memory and the operations on it
  Backend& host;      ///< the same operations on host memory: routes are made there
  Comm& comm;         ///< moves host memory: ids, counts, scores, what is said at start
  Comm& device_comm;  ///< moves device memory: rows, gradients, sums

  static RankContext on_host(Backend& backend, Comm& comm) { return {backend, backend, comm, comm}; }
};

}  // namespace sparrow
