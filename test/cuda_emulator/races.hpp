// Detection of data races: two threads access the same memory, one of them writes, and nothing orders the two. What the
// emulator executes is one order of many; a race is where another order could differ. CUDA_EMULATOR_RACE=1 checks
// shared memory, 2 also global memory.
//
// Ordered are accesses of one thread, those with a barrier of the block between them (Block::epoch counts barriers),
// those within a warp with a warp-wide synchronisation between them (Warp::sync_epoch), and, in global memory, those of
// blocks which both executed a fence since the first access (flags passed between blocks). Atomic and volatile accesses
// do not race with each other. Races between kernels are not looked for: a launch starts with a clean slate. The fence
// rule can miss races; equal values stored by different threads are reported too.
#pragma once

#include <cstdint>

#include "machine.hpp"

namespace sparrow::emulator {

enum class RaceCheck : int { off = 0, shared = 1, global = 2 };
RaceCheck race_check();
inline bool checks_shared_races() {
  return race_check() >= RaceCheck::shared;
}
inline bool checks_global_races() {
  return race_check() >= RaceCheck::global;
}

/// One lane's access to `bytes` bytes; for shared memory `address` is an offset in it.
void note_shared_access(Context& context, int lane, uint64_t address, int bytes, bool writes, bool atomic);
void note_global_access(Context& context, int lane, uint64_t address, int bytes, bool writes, bool strong);

/// The block has executed a fence.
void note_fence(Context& context);

void start_global_race_check(const Launch& launch);

/// Reports a race and ends the program (CUDA_EMULATOR_RACE_CONTINUE=1: goes on, up to 20 different ones).
void report_race(Context& context, const char* kind, const char* memory, int lane, uint64_t address,
                 uint64_t other_thread, int other_line);

}  // namespace sparrow::emulator
