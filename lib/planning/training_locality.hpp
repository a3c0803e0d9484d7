// Locality of a run's own data: where and when it is measured, and where it is kept.
//
// Rank 0 measures, before the plan is made; one measurement is a sequence, as each batch is assigned with the holders
// that those before it made, so that others could only repeat it. They wait for a second or two. What it finds is kept in
// locality.json of the folder `start` of the run, with the time that it took: a continued run plans with the numbers
// that the first one had, and so no decision depends on a clock twice.
#pragma once

#include <string>
#include <vector>

#include "access/training_data.hpp"
#include "comm/comm.hpp"
#include "config/options.hpp"
#include "layout/system_shape.hpp"
#include "placement/model/locality_profile.hpp"
#include "planning/locality.hpp"

namespace sparrow {

/// How samples are to be assigned, and to whom.
struct AssignedSystem {
  const Hierarchy& hierarchy;
  std::vector<double> shares = {};  ///< of the batch, per rank; empty: equal
  placement::SampleAssignment assignment{.local = true};
  bool first_use = true;
  int64_t run_batches = 0;  ///< of the whole run; 0: unknown, long
};

struct MeasuredLocality {
  placement::LocalityMeasurement measurement;
  AssignmentMoves moves;          ///< of the batches counted
  std::vector<double> by_chance;  ///< [level - 1]: rows that would have entered domains
  int64_t samples = 0;            ///< of these batches
};

/// On the first batches of the training data, as the run reads them. Reads ahead of itself on a thread of its own.
MeasuredLocality measure_locality(const RunOptions& options, const TrainingData& data, const AssignedSystem& system,
                                  int64_t most_lookups = kMostLookups);

/// Whether the run may assign samples, or hold rows where they are used first.
bool wants_locality(const RunOptions& options, int ranks);

/// The locality to plan with: measured, or as it was measured when the run began. Empty where the run does not want it.
/// Collective; other ranks than 0, which do not plan, get none. folder: `start` of the run.
placement::Locality locality_of_run(Comm& comm, const RunOptions& options, const TrainingData& data,
                                    const SystemShape& shape, const std::vector<double>& shares, int64_t run_batches,
                                    const std::string& folder);

}  // namespace sparrow
