// CUDA runtime: memory. Device memory is host memory that fills with 0xcd when it is allocated, and is counted against
// each device's size.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "allocations.hpp"
#include "runtime.hpp"

namespace sparrow::emulator {
namespace {

enum class Kind { device, pinned, registered };

struct Allocation {
  uint64_t begin, bytes, charged;
  int device;
  Kind kind;
  unsigned flags;
};

constexpr uint64_t kGranule = 512;
constexpr int kMostDevices = 64;

class Heap {
 public:
  /// Never destroyed: see Streams::instance.
  static Heap& instance() {
    static Heap* heap = new Heap;
    return *heap;
  }

  cudaError_t allocate(void** data, size_t bytes, Kind kind, unsigned flags) {
    if (!data) return report(cudaErrorInvalidValue);
    *data = nullptr;
    if (device_count() < 1) return report(cudaErrorNoDevice);
    if (bytes == 0) return cudaSuccess;
    const uint64_t rounded = (bytes + kGranule - 1) / kGranule * kGranule, charged = kind == Kind::device ? rounded : 0;
    const std::lock_guard lock(mutex_);
    uint64_t& used = used_[current_device()];
    if (used + charged > device_memory()) return report(cudaErrorMemoryAllocation);
    void* memory = std::aligned_alloc(kGranule, rounded + kGranule);
    if (!memory) return report(cudaErrorMemoryAllocation);
    if (kind == Kind::device && bytes <= kFillLimit) std::memset(memory, 0xcd, bytes);
    used += charged;
    add(memory, {reinterpret_cast<uint64_t>(memory), bytes, charged, current_device(), kind, flags});
    *data = memory;
    return cudaSuccess;
  }

  cudaError_t release(void* data, Kind kind) {
    if (!data) return cudaSuccess;
    const std::lock_guard lock(mutex_);
    const auto found = allocations_.find(reinterpret_cast<uint64_t>(data));
    if (found == allocations_.end() || found->second.kind != kind) {
      return report(kind == Kind::registered ? cudaErrorHostMemoryNotRegistered : cudaErrorInvalidValue);
    }
    used_[found->second.device] -= found->second.charged;
    allocations_.erase(found);
    remove_allocation(data);
    if (kind != Kind::registered) std::free(data);
    return cudaSuccess;
  }

  cudaError_t register_memory(void* data, size_t bytes, unsigned flags) {
    if (!data || bytes == 0) return report(cudaErrorInvalidValue);
    const std::lock_guard lock(mutex_);
    if (allocations_.count(reinterpret_cast<uint64_t>(data))) return report(cudaErrorHostMemoryAlreadyRegistered);
    add(data, {reinterpret_cast<uint64_t>(data), bytes, 0, current_device(), Kind::registered, flags});
    return cudaSuccess;
  }

  bool find(const void* pointer, Allocation& allocation) {
    const std::lock_guard lock(mutex_);
    const auto address = reinterpret_cast<uint64_t>(pointer);
    auto entry = allocations_.upper_bound(address);
    if (entry == allocations_.begin()) return false;
    --entry;
    if (address >= entry->second.begin + entry->second.bytes) return false;
    allocation = entry->second;
    return true;
  }

  uint64_t used() {
    const std::lock_guard lock(mutex_);
    return used_[current_device()];
  }

 private:
  static constexpr uint64_t kFillLimit = 1 << 30;

  void add(void* data, const Allocation& allocation) {
    allocations_[allocation.begin] = allocation;
    add_allocation(data, allocation.bytes);
  }

  std::mutex mutex_;
  std::map<uint64_t, Allocation> allocations_;
  uint64_t used_[kMostDevices] = {};
};

/// Whether a transfer of these bytes stays inside the allocation it touches; ordinary host memory is not known.
bool inside(const void* pointer, size_t bytes) {
  Allocation a{};
  Range range;
  const auto address = reinterpret_cast<uint64_t>(pointer);
  if (Heap::instance().find(pointer, a)) return address + bytes <= a.begin + a.bytes;
  return !find_allocation(address, 1, range) || address + bytes <= range.end;
}

bool is_device_memory(const void* pointer) {
  Allocation a{};
  Range range;
  if (Heap::instance().find(pointer, a)) return a.kind == Kind::device;
  return find_allocation(reinterpret_cast<uint64_t>(pointer), 1, range);  // a variable
}

bool is_ordinary_memory(const void* pointer) {
  Allocation a{};
  Range range;
  return !Heap::instance().find(pointer, a) && !find_allocation(reinterpret_cast<uint64_t>(pointer), 1, range);
}

cudaError_t check_copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return report(cudaErrorInvalidMemcpyDirection);
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if ((to_device && is_ordinary_memory(to)) || (from_device && is_ordinary_memory(from)))
    return report(cudaErrorInvalidValue);
  return inside(to, bytes) && inside(from, bytes) ? cudaSuccess : report(cudaErrorInvalidValue);
}

/// Ordinary host memory is read at once, as the driver may do, and written when the stream gets there, as it may do,
/// too.
cudaError_t queue_copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, Queue* queue) {
  if (bytes == 0) return cudaSuccess;
  if (const cudaError_t error = check_copy(to, from, bytes, kind)) return error;
  Streams& streams = Streams::instance();
  if (is_ordinary_memory(from)) {
    if (is_ordinary_memory(to)) streams.run_until(streams.mark(queue));
    const auto* first = static_cast<const char*>(from);
    auto snapshot = std::make_shared<std::vector<char>>(first, first + bytes);
    streams.enqueue(queue, [=] {
      std::memcpy(to, snapshot->data(), bytes);
      return true;
    });
  } else {
    streams.enqueue(queue, [=] {
      std::memmove(to, from, bytes);
      return true;
    });
  }
  return cudaSuccess;
}

void finish(Queue* queue) {
  Streams::instance().run_until(Streams::instance().mark(queue));
}

}  // namespace
}  // namespace sparrow::emulator

using namespace sparrow::emulator;

extern "C" {

cudaError_t cudaMalloc(void** data, size_t bytes) {
  return Heap::instance().allocate(data, bytes, Kind::device, 0);
}
cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t) {
  return cudaMalloc(data, bytes);
}
cudaError_t cudaMallocHost(void** data, size_t bytes) {
  return Heap::instance().allocate(data, bytes, Kind::pinned, 0);
}
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned flags) {
  return Heap::instance().allocate(data, bytes, Kind::pinned, flags);
}

// Freeing waits for the device.
cudaError_t cudaFree(void* data) {
  if (data) Streams::instance().run_all();
  return Heap::instance().release(data, Kind::device);
}
cudaError_t cudaFreeHost(void* data) {
  if (data) Streams::instance().run_all();
  return Heap::instance().release(data, Kind::pinned);
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  Streams::instance().enqueue(queue_of(stream), [=] {
    Heap::instance().release(data, Kind::device);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaHostRegister(void* data, size_t bytes, unsigned flags) {
  return Heap::instance().register_memory(data, bytes, flags);
}
cudaError_t cudaHostUnregister(void* data) {
  Streams::instance().run_all();
  return Heap::instance().release(data, Kind::registered);
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  if (is_device_memory(host) || is_ordinary_memory(host)) return report(cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {};
  attributes->type = cudaMemoryTypeUnregistered;
  attributes->device = -2;  // what the runtime says of memory it does not know
  attributes->hostPointer = const_cast<void*>(pointer);
  Allocation a{};
  if (!Heap::instance().find(pointer, a)) return cudaSuccess;
  attributes->type = a.kind == Kind::device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
  attributes->device = a.device;
  attributes->devicePointer = const_cast<void*>(pointer);
  if (a.kind == Kind::device) attributes->hostPointer = nullptr;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (device_count() < 1) return report(cudaErrorNoDevice);
  *total = device_memory();
  *free = device_memory() - Heap::instance().used();
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return queue_copy(to, from, bytes, kind, queue_of(stream));
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t error = queue_copy(to, from, bytes, kind, queue_of(nullptr))) return error;
  finish(queue_of(nullptr));
  return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return report(cudaErrorInvalidPitchValue);
  for (size_t row = 0; row < height; ++row) {
    const cudaError_t error =
        queue_copy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width,
                   kind, queue_of(stream));
    if (error) return error;
  }
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (is_ordinary_memory(data) || !inside(data, bytes)) return report(cudaErrorInvalidValue);
  Streams::instance().enqueue(queue_of(stream), [=] {
    std::memset(data, value, bytes);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaMemset(void* data, int value, size_t bytes) {
  return cudaMemsetAsync(data, value, bytes, nullptr);
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  uint64_t available = 0;
  char* to = symbol_address(symbol, available);
  if (!to) return report(cudaErrorInvalidSymbol);
  if (offset + bytes > available) return report(cudaErrorInvalidValue);
  return cudaMemcpy(to + offset, from, bytes, kind);
}

cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  uint64_t available = 0;
  const char* from = symbol_address(symbol, available);
  if (!from) return report(cudaErrorInvalidSymbol);
  if (offset + bytes > available) return report(cudaErrorInvalidValue);
  return cudaMemcpy(to, from + offset, bytes, kind);
}

/// For stand-ins of other libraries: whether these bytes lie in one allocation of device or pinned memory.
int cudaEmulatorInside(const void* data, size_t bytes) {
  return !is_ordinary_memory(data) && inside(data, bytes);
}
}
