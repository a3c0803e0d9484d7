// The table of allocations that kernels may touch as global memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "machine.hpp"

namespace sparrow::emulator {

void add_allocation(void* data, size_t bytes);
bool remove_allocation(void* data);

/// The allocation that holds bytes [address, address + bytes), if one does.
bool find_allocation(uint64_t address, uint64_t bytes, Range& range);

/// Changes whenever the table does: a Range found in another generation may be gone.
uint64_t allocation_generation();

}  // namespace sparrow::emulator
