// From the addresses that lanes compute to memory of the host, with every check a GPU would make, and some it would
// not: out of bounds, misaligned, wrong space, data races.
#pragma once

#include <cstdint>

#include "machine.hpp"

namespace sparrow::emulator {

/// addresses[lane] = base + displacement for the active lanes; for the others, the address of an active one.
void lane_addresses(const Context& context, const Argument& base, int64_t displacement, uint64_t* addresses);

/// Replaces the active lanes' addresses of `bytes` bytes by pointers. atomic: races with no other atomic access.
void resolve_addresses(Context& context, uint64_t* addresses, int bytes, Space space, bool writes, bool atomic);

/// Both, for the memory operand of a load, store or atomic operation.
void lane_pointers(Context& context, const Instruction& in, const Argument& base, uint64_t* pointers, int bytes,
                   bool writes);

/// Whether [offset, offset + bytes) is shared memory of the block.
bool in_shared(const Context& context, uint64_t offset, int bytes);

/// The memory at a shared (or generic) address of one lane.
char* shared_pointer(Context& context, uint64_t address, int bytes, int lane, bool writes);

/// Ends the program unless [address, address + bytes) is within an allocation.
void check_global(Context& context, uint64_t address, int bytes, int lane);

}  // namespace sparrow::emulator
