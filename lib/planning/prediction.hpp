// What the planner expects of an iteration, in the terms of the ledger, so that the two stand side by side.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "layout/system_shape.hpp"
#include "planning/decide.hpp"

namespace sparrow {

/// What the placement theory expects of an iteration; see placement/cost/cost.hpp. Sent bytes are of one rank.
struct Prediction {
  placement::Cost cost;
  double bound = 0, gap = 0;        ///< of the optimiser
  double floor_bytes = 0;           ///< all ranks together
  std::vector<double> level_bytes;  ///< mean over ranks, by the level of the tree at which ways part: 0 crosses nodes
  double store_read_bytes = 0, store_written_bytes = 0;  ///< of a rank's slower store, mean
};

Prediction predict(const Decision& decision, const SystemShape& system);

}  // namespace sparrow
