// Host memory: 64-byte aligned; large blocks on 2 MiB pages where the kernel has them, which random rows need (see
// test/bench).
#include <sys/mman.h>

#include <cstdlib>

#include "base/error.hpp"
#include "base/host_memory.hpp"
#include "kernels/host/host_backend.hpp"

namespace sparrow::host {
namespace {

constexpr int64_t kHugePage = int64_t{1} << 21;

}  // namespace

void* HostBackend::allocate(Memory, int64_t bytes, MemoryPart) {
  SPARROW_CHECK(bytes >= 0, "allocate: {} bytes", bytes);
  if (bytes == 0) return nullptr;
  const int64_t alignment = bytes >= kHugePage ? kHugePage : kCacheLineBytes;
  void* data = allocate_aligned(bytes, alignment).release();
  // Advice only: without transparent huge pages the block is as good, only slower.
  const int64_t whole = (bytes + alignment - 1) / alignment * alignment;
  if (alignment == kHugePage) madvise(data, whole, MADV_HUGEPAGE);
  return data;
}

int64_t HostBackend::free_memory() const {
  return available_memory();
}

void HostBackend::release(Memory, void* data, int64_t) noexcept {
  std::free(data);
}

}  // namespace sparrow::host
