// Device memory of a run, planned before its first step: what each part needs at most, and whether that fits. All of it
// is taken at the start, so that no batch, however skewed, finds memory short (exchange/exchange_bounds.hpp says what
// the largest batch is). Where device memory is the host's nothing is planned: buffers grow with the batches there.
#pragma once

#include <string>

#include "comm/comm.hpp"
#include "kernels/backend.hpp"
#include "layout/directory.hpp"
#include "train/trainer_options.hpp"

namespace sparrow {

struct MemoryPlan {
  MemoryByPart needs;
  int64_t budget = 0;  ///< bytes that were free
};

/// For a trainer with these options, whose rows are where `directory` says: makes one on a backend that only counts,
/// and all that takes device memory beside it. Whether it fits is for lack_of_memory to say, before the trainer itself
/// is made: run/placed_run.hpp.
MemoryPlan plan_memory(Backend& backend, const Directory& directory, const TrainerOptions& options);

/// A table of the parts and their bytes, the sum, and the budget.
std::string describe(const MemoryByPart& needs, int64_t budget);

/// Collective. By how much the needs of the rank that lacks most exceed its `budget` (0: they fit on all), and which
/// table says so.
struct MemoryLack {
  int64_t bytes = 0;
  std::string why;
};
MemoryLack lack_of_memory(Comm& comm, const MemoryByPart& needs, int64_t budget);

}  // namespace sparrow
