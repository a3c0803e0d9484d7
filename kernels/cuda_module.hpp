// Finds the CUDA backend at run time. It lives in a module of its own, libsparrow_cuda.so, so that one program starts
// on machines with and without CUDA's libraries, and a build without the CUDA Toolkit merely has no module. What needs
// NCCL is in a second one, libsparrow_nccl.so: one rank trains without.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.hpp"

namespace sparrow {

class Comm;

constexpr int64_t kFreeMemory = -1;

struct CudaOptions {
  int device = 0;     ///< CUDA's number of the GPU to use
  bool tf32 = false;  ///< fp32 matrix products on tensor cores, inputs rounded to tf32
  /// Device memory that is taken at once and then divided up, in bytes; kFreeMemory: all that is free, but what CUDA
  /// and NCCL need. 0: every array is an allocation of the driver's, which memory checkers like better.
  int64_t arena_bytes = 0;
};

/// A GPU that this process may use.
struct CudaDevice {
  std::string name;
  std::string uuid;  ///< the same in every process
  std::string pci;   ///< as in /sys/bus/pci/devices: 0000:17:00.0
  int64_t memory_bytes = 0;
};

/// The GPUs by CUDA's number, at least one; uses none of them. Throws Error with the reason as make_cuda_backend does.
std::vector<CudaDevice> list_cuda_devices(const std::string& directory = "");

/// Loads libsparrow_cuda.so from the folder `directory`, or from that of the running program where it is empty, and
/// makes its backend. Throws Error with the reason: no module (a build without CUDA), a library that it needs is
/// missing, no device. The module is never unloaded.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {}, const std::string& directory = "");

/// The maker of NCCL communicators; throws Error with the reason: no libsparrow_nccl.so (a build without NCCL), a
/// library that it needs is missing.
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

/// What the modules export; the last takes `bootstrap` over.
extern "C" void sparrow_list_cuda_devices(std::vector<sparrow::CudaDevice>* devices);
extern "C" sparrow::Backend* sparrow_make_cuda_backend(const sparrow::CudaOptions* options);
extern "C" sparrow::Comm* sparrow_make_nccl_comm(sparrow::Comm* bootstrap);
