// Finds the CUDA backend at run time. It lives in a module of its own, libsparrow_cuda.so, so that one program starts
// on machines with and without CUDA's libraries, and a build without the CUDA Toolkit merely has no module.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.hpp"

namespace sparrow {

class Comm;

struct CudaOptions {
  int device = 0;     ///< CUDA's number of the GPU to use
  bool tf32 = false;  ///< fp32 matrix products on tensor cores, inputs rounded to tf32
};

/// Loads libsparrow_cuda.so from the folder `directory`, or from that of the running program where it is empty, and
/// makes its backend. Throws Error with the reason: no module (a build without CUDA), a library that it needs is
/// missing, no device. The module is never unloaded.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {}, const std::string& directory = "");

/// The module's maker of NCCL communicators; throws as make_cuda_backend, and when the module was built without NCCL.
using MakeNcclComm = Comm*(Comm* bootstrap);
MakeNcclComm* find_nccl(const std::string& directory = "");

/// A communicator of the same ranks that exchanges device memory through NCCL, on the device of the backend made last
/// by this thread. Collective. A template over the one type Comm, so that the kernels need not know lib/comm.
template <class AnyComm>
std::unique_ptr<AnyComm> make_nccl_comm(std::unique_ptr<AnyComm> bootstrap, const std::string& directory = "") {
  MakeNcclComm* make = find_nccl(directory);
  return std::unique_ptr<AnyComm>(make(bootstrap.release()));
}

}  // namespace sparrow

/// What the module exports; the second one takes `bootstrap` over.
extern "C" sparrow::Backend* sparrow_make_cuda_backend(const sparrow::CudaOptions* options);
extern "C" sparrow::Comm* sparrow_make_nccl_comm(sparrow::Comm* bootstrap);
