// Whole training steps tried on synthetic rows: what no part of a step shows when it is timed alone.
//
// The parts do not add up to the step. Ranks wait for one another at every exchange; ranks that share processors
// compute by turns, and while one waits for the network another computes; a link that rested passes its first bytes
// faster than those in the middle of a long transfer. So whole steps are timed, as training does them, with every row
// held by one rank. What such a step takes beyond what the theory says of its exchanges and its work on rows is what
// its computation takes in a step, with what the ranks wait for one another. That belongs to the samples, not to the
// placement: where an exchange goes away, its waiting moves to the next one.
//
// Lists of ids (WorkRates::list_ids_per_s) are timed likewise: routes of the same batch are built with held rows, with
// copies of all rows on all ranks, and with all lookups pooled at holders; what the latter take longer is theirs.
#pragma once

#include "calibrate/calibration.hpp"

namespace sparrow {

/// Collective. Sets flops_per_s and list_ids_per_s of `rates`, whose other fields are measured already, of ranks on
/// these nodes. All ranks get the same. The number of steps follows from the batch alone, so that what a run sends does
/// not depend on the clock.
void run_trial_steps(const RankContext& context, const std::vector<int>& node_of, const CalibrationOptions& options,
                     MachineRates& rates);

}  // namespace sparrow
