#include "kernels/cuda/device_memory.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/cuda_module.hpp"

namespace sparrow::cuda {
namespace {

constexpr double kMiB = 1 << 20;

/// Left to CUDA (kernels' local memory, page tables) and to NCCL (a few ten MB per pair of ranks and communicator) when
/// all the rest is taken.
int64_t reserve(int64_t total) {
  return std::min(total / 8, int64_t{3} << 30);
}

struct Info {
  int64_t free, total;
};

Info memory_info() {
  size_t free = 0, total = 0;
  SPARROW_CUDA(cudaMemGetInfo(&free, &total));
  return {static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

void* malloc_or_null(int64_t bytes) {
  void* data = nullptr;
  if (cudaMalloc(&data, bytes) == cudaSuccess) return data;
  cudaGetLastError();  // a shortage is not an error of the next call
  return nullptr;
}

}  // namespace

DeviceMemory::DeviceMemory(int device, int64_t arena_bytes) : device_(device) {
  if (arena_bytes == 0) return;
  const Info info = memory_info();
  const bool all = arena_bytes == kFreeMemory;
  const int64_t bytes = all ? info.free - reserve(info.total) : arena_bytes;
  SPARROW_CHECK(all || bytes > 0, "device memory of {} bytes", bytes);
  if (bytes > 0) base_ = static_cast<char*>(malloc_or_null(bytes));
  if (!base_) {
    fail("device memory: {:.0f} MiB of CUDA device {} are wanted, {:.0f} of its {:.0f} MiB are free",
         static_cast<double>(std::max<int64_t>(bytes, 0)) / kMiB, device_, static_cast<double>(info.free) / kMiB,
         static_cast<double>(info.total) / kMiB);
  }
  arena_.emplace(bytes);
}

DeviceMemory::~DeviceMemory() {
  // A destructor must not throw: an error here was reported, or will be, by the next checked call.
  cudaSetDevice(device_);
  cudaFree(base_);
}

void* DeviceMemory::take(int64_t bytes) {
  if (!arena_) return malloc_or_null(bytes);
  if (!released_.empty()) reclaim();  // at once: holes that stay until memory is short cut it into pieces
  const auto offset = arena_->take(bytes);
  return offset ? base_ + *offset : nullptr;
}

/// Waits until nothing that is queued can use what was released.
void DeviceMemory::reclaim() {
  SPARROW_CUDA(cudaDeviceSynchronize());
  for (void* data : released_) arena_->give_back(static_cast<char*>(data) - base_);
  released_.clear();
  released_bytes_ = 0;
}

void* DeviceMemory::allocate(int64_t bytes, MemoryPart part) {
  const std::lock_guard lock(mutex_);
  SPARROW_CUDA(cudaSetDevice(device_));
  void* data = take(bytes);
  if (!data) out_of_memory(bytes, part);
  blocks_[data] = {bytes, part};
  used_.add(part, bytes);
  most_used_ = std::max(most_used_, used_.total());
  return data;
}

void DeviceMemory::release(void* data) noexcept {
  const std::lock_guard lock(mutex_);
  const auto block = blocks_.find(data);
  if (block == blocks_.end()) return;
  used_.remove(block->second.part, block->second.bytes);
  if (arena_) {
    released_.push_back(data);
    released_bytes_ += block->second.bytes;
  } else {
    cudaFree(data);
  }
  blocks_.erase(block);
}

int64_t DeviceMemory::free_bytes() const {
  const std::lock_guard lock(mutex_);
  if (!arena_) {
    SPARROW_CUDA(cudaSetDevice(device_));
    return memory_info().free;
  }
  return arena_->free_bytes() + released_bytes_;
}

MemoryByPart DeviceMemory::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

void DeviceMemory::restart_most_used() {
  const std::lock_guard lock(mutex_);
  most_used_ = used_.total();
}

int64_t DeviceMemory::most_used() const {
  const std::lock_guard lock(mutex_);
  return most_used_;
}

void DeviceMemory::out_of_memory(int64_t bytes, MemoryPart part) const {
  std::string taken;
  for (int p = 0; p < kMemoryParts; ++p) {
    const int64_t used = used_.of(static_cast<MemoryPart>(p));
    if (used > 0)
      taken += fmt::format("{}{} {:.1f} MiB", taken.empty() ? "" : ", ", memory_part_name(static_cast<MemoryPart>(p)),
                           static_cast<double>(used) / kMiB);
  }
  const Info info = memory_info();
  const int64_t all = arena_ ? arena_->bytes() : info.total, free = arena_ ? arena_->free_bytes() : info.free;
  const int64_t longest = arena_ ? arena_->longest_free_run() : free;
  fail(
      "device memory: {} bytes ({:.1f} MiB) for {} do not fit: of {:.1f} MiB on CUDA device {}, {:.1f} are free, at "
      "most {:.1f} in one piece; taken by: {}",
      bytes, static_cast<double>(bytes) / kMiB, memory_part_name(part), static_cast<double>(all) / kMiB, device_,
      static_cast<double>(free) / kMiB, static_cast<double>(longest) / kMiB, taken.empty() ? "nothing" : taken);
}

}  // namespace sparrow::cuda
