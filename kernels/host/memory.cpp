// Host memory: 64-byte aligned; large blocks on 2 MiB pages where the kernel has them, which random rows need (see
// test/bench).
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/error.hpp"
#include "kernels/host/host_backend.hpp"

namespace sparrow::host {
namespace {

constexpr int64_t kHugePage = int64_t{1} << 21;

int64_t machine_bytes() {
  return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

}  // namespace

void* HostBackend::allocate(Memory, int64_t bytes, MemoryPart) {
  SPARROW_CHECK(bytes >= 0, "allocate: {} bytes", bytes);
  if (bytes == 0) return nullptr;
  // Linux promises more memory than there is, and ends the process when it is used: refuse here what can never fit.
  if (bytes > machine_bytes()) fail("allocate: no memory for {} bytes, this machine has {}", bytes, machine_bytes());
  const int64_t alignment = bytes >= kHugePage ? kHugePage : 64;
  const auto size = static_cast<size_t>((bytes + alignment - 1) / alignment * alignment);
  void* data = std::aligned_alloc(static_cast<size_t>(alignment), size);
  if (!data) fail("allocate: no memory for {} bytes", bytes);
  // Advice only: without transparent huge pages the block is as good, only slower.
  if (alignment == kHugePage) madvise(data, size, MADV_HUGEPAGE);
  return data;
}

int64_t HostBackend::free_memory() const {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  for (int64_t kilobytes = 0; file >> name >> kilobytes >> unit;)
    if (name == "MemAvailable:") return kilobytes * 1024;
  fail("/proc/meminfo names no MemAvailable");
}

void HostBackend::release(Memory, void* data, int64_t) noexcept {
  std::free(data);
}

}  // namespace sparrow::host
