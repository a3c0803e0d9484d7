#include "base/host_memory.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/error.hpp"

namespace sparrow {

AlignedBytes allocate_aligned(int64_t bytes, int64_t alignment) {
  SPARROW_CHECK(bytes >= 0, "{} bytes of memory", bytes);
  // Linux promises more memory than there is, and ends the process when it is used: refuse here what can never fit.
  const int64_t most = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  if (bytes > most) fail("no memory for {} bytes, this machine has {}", bytes, most);
  const int64_t whole = std::max<int64_t>(1, (bytes + alignment - 1) / alignment) * alignment;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(alignment, whole));
  if (data == nullptr) fail("no memory for {} bytes", bytes);
  return AlignedBytes(data);
}

int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  for (int64_t kilobytes = 0; file >> name >> kilobytes >> unit;)
    if (name == "MemAvailable:") return kilobytes * 1024;
  fail("/proc/meminfo names no MemAvailable");
}

}  // namespace sparrow
