// What the planner expects of an iteration, in the terms of the ledger, so that the two stand side by side.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "comm/comm.hpp"
#include "layout/system_shape.hpp"
#include "planning/planning.hpp"

namespace sparrow {

/// What the placement theory expects of an iteration; see placement/cost/cost.hpp. Sent bytes per rank by phase.
struct Prediction {
  double seconds_per_iteration = 0, bound = 0, gap = 0;
  double sequential_seconds = 0, overlapped_seconds = 0, critical_path_seconds = 0;  ///< of the same placement
  double floor_bytes = 0;                                                            ///< all ranks together
  double distinct_rows_per_iteration = 0;
  std::array<double, kPhases> mean_bytes{}, max_bytes{};
  std::vector<double> level_bytes;  ///< mean over ranks, by the level of the tree at which ways part: 0 crosses nodes
  double store_read_bytes = 0, store_written_bytes = 0;  ///< of a rank's slower store, mean
  std::array<double, kPhases> seconds_by_phase{};
};

Prediction predict(const PlannedRun& planned, const SystemShape& system);

}  // namespace sparrow
