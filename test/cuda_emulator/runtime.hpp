// What the files that implement the CUDA runtime's functions share. A function that is not there is missed when a
// program is loaded.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>

#include "machine.hpp"
#include "streams.hpp"

namespace sparrow::emulator {

constexpr int kMultiprocessorCount = 132;
constexpr int kSharedPerBlock = 49152;
constexpr int kSharedPerBlockOptIn = 232448;
constexpr int kSharedPerMultiprocessor = 233472;
constexpr int kSharedReserved = 1024;

/// Remembers an error for cudaGetLastError and returns it.
cudaError_t report(cudaError_t error);

int device_count();        ///< CUDA_EMULATOR_DEVICES, 1 unless set
int current_device();      ///< of the calling thread
uint64_t device_memory();  ///< CUDA_EMULATOR_MEMORY in bytes

Queue* queue_of(cudaStream_t stream);

/// A kernel, found by the address of its host function.
struct Kernel {
  std::shared_ptr<Module> module;
  std::string name;
  int dynamic_shared_limit = kSharedPerBlock;

  const Function& function() const { return module->functions.at(name); }
};
bool find_kernel(const void* host_function, Kernel& kernel);

/// The memory of a __device__ or __constant__ variable; null if there is none.
char* symbol_address(const void* symbol, uint64_t& bytes);

}  // namespace sparrow::emulator
