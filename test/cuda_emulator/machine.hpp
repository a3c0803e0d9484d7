// The emulated GPU while a kernel runs: warps, blocks, the launch, and the context that instruction handlers work in.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "ptx.hpp"

namespace sparrow::emulator {

/// A cp.async that was issued and not yet performed.
struct PendingCopy {
  uint32_t lane, group;
  uint64_t to, from;
  int bytes, from_bytes;
};

/// A call of a device function by one lane.
struct Frame {
  int return_to;
  int result_offset;       ///< in the callee's parameter space, -1: none
  uint64_t result_target;  ///< in the caller's
  uint64_t result_bytes;
};

constexpr uint64_t kNowhere = ~uint64_t{0};

struct Warp {
  uint32_t id = 0;
  char* registers = nullptr;
  char* parameters = nullptr;  ///< of called functions, lane by lane
  char* local = nullptr;       ///< local memory, lane by lane
  // A lane is in exactly one of these sets.
  uint32_t running = 0, at_barrier = 0, at_sync = 0, exited = 0;
  int pc[kLanes];
  std::vector<Frame> calls[kLanes];
  // Lanes at a barrier: which, for how many threads, and what they bring to a reduction.
  uint8_t barrier[kLanes];
  int barrier_threads[kLanes];
  const Instruction* reduction[kLanes];
  uint8_t reduction_value[kLanes];
  uint64_t steps = 0;
  uint32_t sync_epoch = 0;  ///< counts warp-wide synchronisations; see races.hpp
  std::vector<PendingCopy> copies;
  uint32_t copy_group[kLanes];
};

/// Who touched a byte of shared memory last; see shared_race.cpp.
struct SharedAccess {
  int writer = -1, reader = -1, other_reader = -1;
  uint32_t write_epoch = 0, read_epoch = 0, write_sync = 0, read_sync = 0;
  int write_line = 0, read_line = 0;
};

struct Block {
  std::vector<Warp> warps;
  char* shared = nullptr;
  uint64_t linear = 0;  ///< number within the grid
  uint32_t id[3];
  uint32_t epoch = 1;  ///< counts barriers
  std::vector<SharedAccess> accesses;
  uint32_t arrived[16];  ///< threads that passed a barrier without waiting
  bool started = false;
};

struct Launch {
  const Module* module;
  const Function* function;
  dim3 grid, block;
  uint64_t dynamic_shared, local_bytes, register_bytes;
  std::vector<char> parameters;
  bool cooperative = false;
  uint64_t workspace = 0;  ///< of a cooperative grid

  uint64_t block_threads() const { return uint64_t{block.x} * block.y * block.z; }
  uint64_t blocks() const { return uint64_t{grid.x} * grid.y * grid.z; }
};

struct Range {
  uint64_t begin = 0, end = 0;
};

/// Calls f(lane) for the lanes in a mask.
template <class F>
inline void for_lanes(uint32_t mask, F f) {
  for (; mask; mask &= mask - 1) f(std::countr_zero(mask));
}

/// What a handler sees: the lanes that execute its instruction, and where.
struct Context {
  char* banks[3];       ///< by Bank: the warp's registers, the module's constants, a place for what nobody reads
  uint32_t active = 0;  ///< lanes that execute
  Warp* warp = nullptr;
  Block* block = nullptr;
  const Launch* launch = nullptr;
  const Instruction* instruction = nullptr;
  uint64_t executed = 0;  ///< thread-instructions
  Range cached_range;     ///< the allocation found last, valid in its generation
  uint64_t cached_generation = kNowhere;

  /// The 32 values of an argument.
  template <class Q>
  Q* lanes(const Argument& a) const {
    return reinterpret_cast<Q*>(banks[static_cast<int>(a.bank)] + a.offset);
  }
  uint32_t mask(const Argument& a) const { return a.negated ? ~*lanes<uint32_t>(a) : *lanes<uint32_t>(a); }
  uint32_t* special(Special s) const { return reinterpret_cast<uint32_t*>(banks[0] + offset_of(s)); }
  int first_active() const { return active ? std::countr_zero(active) : 0; }

  /// to[lane] = f(lane) for the active lanes. f may be called for the others too, so that the loop vectorises.
  template <class Q, class F>
  void write(Q* to, F f) const {
    if (active == ~0u) {
#pragma GCC ivdep
      for (int lane = 0; lane < kLanes; ++lane) to[lane] = f(lane);
      return;
    }
    Q values[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) values[lane] = f(lane);
    for_lanes(active, [&](int lane) { to[lane] = values[lane]; });
  }

  /// The same for an f that is expensive or has effects: called for active lanes only.
  template <class Q, class F>
  void write_active(Q* to, F f) const {
    for_lanes(active, [&](int lane) { to[lane] = f(lane); });
  }

  /// Predicate bits of the active lanes.
  void write_mask(uint32_t* to, uint32_t bits) const {
    *to = (*to & ~active) | (bits & active);
  }
};

/// Ends the program: what happened, at which instruction, in which thread.
[[noreturn]] void fault(const Context& context, const char* what, int lane = -1, uint64_t address = 0);

// --- Running
// ------------------------------------------------------------------------------------------------------------------------

enum class Progress {
  blocked,  ///< nothing can run until another warp (or block) does something
  yielded,  ///< waits for something that another may bring
  spinning  ///< used up its budget
};

/// Runs the context's warp until it blocks, yields or has taken `budget` steps. fair: let another group of lanes go
/// first.
Progress run_warp(Context& context, uint64_t budget, bool fair);

/// Runs a block; blocked: it is done.
Progress run_block(Context& context, Block& block, uint64_t budget);

/// Calls a device function, or one of the built-in ones (printf, assert, malloc, free), for the active lanes.
void call_function(Context& context, int pc);

/// Runs a whole grid.
void run_grid(Launch& launch);

/// Thread-instructions executed so far.
uint64_t executed_instructions();

/// Performs the lanes' pending cp.async of all groups but the last `keep`; keep -1: all of them, committed or not.
void complete_copies(Context& context, uint32_t lanes, int keep);

/// One bit of the environment: whether a switch is set.
bool switch_set(const char* name);
/// A number in the environment, or `otherwise`.
int64_t number_set(const char* name, int64_t otherwise);

}  // namespace sparrow::emulator
