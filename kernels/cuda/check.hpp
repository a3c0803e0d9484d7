// One policy for CUDA's return codes: a call that fails throws Error with its text, its place and CUDA's own words, in
// every build.
#pragma once

#include <cuda_runtime_api.h>

namespace sparrow::cuda {

/// Throws Error "file:line: call: cudaErrorName: description".
[[noreturn]] void call_failed(cudaError_t status, const char* call, const char* file, int line);

}  // namespace sparrow::cuda

/// Runs a call of the CUDA runtime and throws unless it returns cudaSuccess. After a launch:
/// SPARROW_CUDA(cudaGetLastError()).
#define SPARROW_CUDA(call)                                                                     \
  do {                                                                                         \
    if (const cudaError_t sparrow_status = (call); sparrow_status != cudaSuccess) [[unlikely]] \
      ::sparrow::cuda::call_failed(sparrow_status, #call, __FILE__, __LINE__);                 \
  } while (false)
