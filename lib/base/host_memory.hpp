// Memory of the machine: aligned blocks of it, and how much is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace sparrow {

constexpr int64_t kCacheLineBytes = 64;  ///< also the widest vector register
constexpr int64_t kPageBytes = 4096;     ///< what unbuffered reads and writes of files need

struct FreeAligned {
  void operator()(std::byte* data) const noexcept { std::free(data); }
};
using AlignedBytes = std::unique_ptr<std::byte[], FreeAligned>;

/// At least `bytes`, undefined, at a multiple of `alignment`, a power of 2. Whoever releases the pointer frees it with
/// std::free. Throws Error for more than there is.
AlignedBytes allocate_aligned(int64_t bytes, int64_t alignment);

/// Bytes that processes of this machine may still take without swapping (MemAvailable of /proc/meminfo).
int64_t available_memory();

}  // namespace sparrow
