// Only for lib/comm/mpi_*: every MPI call goes through check_mpi.
#pragma once

#include <mpi.h>

namespace sparrow {

/// Throws Error "call: MPI_Error_string" unless code is MPI_SUCCESS.
void check_mpi(int code, const char* call);

/// A communicator that is freed at the end. Freeing is collective in the standard but waits for nobody in practice.
class MpiHandle {
 public:
  MpiHandle() = default;
  explicit MpiHandle(MPI_Comm comm) : comm_(comm) {}
  ~MpiHandle();
  MpiHandle(const MpiHandle&) = delete;
  MpiHandle& operator=(const MpiHandle&) = delete;

  MPI_Comm get() const { return comm_; }
  MPI_Comm* address() { return &comm_; }  ///< for calls that fill it in

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

}  // namespace sparrow
