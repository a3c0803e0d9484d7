// Logging through spdlog: one logger per process, the rank in each line, ranks other than 0 quiet below `warning` unless asked.
#pragma once

#include <spdlog/spdlog.h>

namespace sparrow {

/// Sets the pattern "[HH:MM:SS.mmm] [rank N] [level] text" on standard error, and the level: `level` on rank 0; on other ranks too when
/// all_ranks, else `warning`. Call once the rank is known, and again if it changes.
void set_up_log(int rank, spdlog::level::level_enum level = spdlog::level::info, bool all_ranks = false);

}  // namespace sparrow
