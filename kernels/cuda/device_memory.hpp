// The device memory of a backend: one arena that is allocated at the start, so that no later step calls the driver, or,
// without an arena, an allocation for every array, which compute-sanitizer and the emulator's checks see one by one.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/arena.hpp"
#include "kernels/memory_part.hpp"

namespace sparrow::cuda {

class DeviceMemory {
 public:
  /// On `device`, which has been set. arena_bytes: of the arena; 0: none; kFreeMemory (kernels/cuda_module.hpp): all
  /// that is free but what CUDA and NCCL need for themselves. Throws Error when the device has less.
  DeviceMemory(int device, int64_t arena_bytes);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  /// `bytes` > 0 bytes aligned to 256. Throws Error that names `part`, what every part has, and what is left.
  void* allocate(int64_t bytes, MemoryPart part);

  /// Work that uses the memory may still be queued: it is given to somebody else only after the device has finished
  /// everything. Without an arena this waits.
  void release(void* data) noexcept;

  /// What allocate() can still give, in one piece or several.
  int64_t free_bytes() const;

  /// What is allocated and not released, and the most that was at a time.
  MemoryByPart used() const;
  int64_t most_used() const;
  void restart_most_used();

 private:
  struct Block {
    int64_t bytes;
    MemoryPart part;
  };
  void* take(int64_t bytes);
  void reclaim();
  [[noreturn]] void out_of_memory(int64_t bytes, MemoryPart part) const;

  const int device_;
  mutable std::mutex mutex_;
  char* base_ = nullptr;
  std::optional<Arena> arena_;
  std::map<void*, Block> blocks_;
  MemoryByPart used_;
  int64_t most_used_ = 0;
  std::vector<void*> released_;  ///< of the arena, perhaps still in use by queued work
  int64_t released_bytes_ = 0;
};

}  // namespace sparrow::cuda
