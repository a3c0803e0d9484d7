// Measures what assigning samples to their rows does, by doing it: on batches of the training data, without moving
// anything. What is counted becomes factors on the rows that the cost model expects to move
// (placement/model/locality_profile.hpp).
//
// A batch is assigned as in a run: with the holders as they were known W batches before, exact quotas, and rows that
// nobody held settled behind it. Then every row is followed through the tree as a run's routes would: it enters a domain
// that looks it up and does not have its source. Nothing depends on a clock but seconds_per_sample.
//
// How much is simulated (locality_effort): as many samples as kMostLookups allows; for eight batches four times as many
// if need be, and beyond that smaller batches, whose factors are higher: what is said to move is too much then. Of a run
// that is longer the first third is not counted: most rows are new then.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "assign/row_places.hpp"
#include "data/batch_source.hpp"
#include "layout/hierarchy.hpp"
#include "layout/resolved_plan.hpp"
#include "placement/model/locality_profile.hpp"
#include "placement/model/plan.hpp"

namespace sparrow {

/// What it refers to must outlive the meter.
struct LocalityProblem {
  /// Of it count the tables with their distributions and the batch: that of the batches that will be added.
  const placement::Workload& workload;
  const Hierarchy& hierarchy;
  std::vector<double> shares = {};                        ///< of the batch, per rank; empty: equal
  placement::SampleAssignment assignment{.local = true};  ///< not local: contiguous parts
  bool first_use = true;                                  ///< holders; else arithmetic
  const ResolvedPlan* plan = nullptr;                     ///< rows with copies do not count; none: every row has one
};

/// Takes whole global batches one after the other.
class LocalityMeter {
 public:
  /// first_counted: batches before it are assigned, and not counted. Throws Error for a workload whose ranks see
  /// different data.
  LocalityMeter(const LocalityProblem& problem, int64_t first_counted);
  ~LocalityMeter();
  LocalityMeter(LocalityMeter&&) noexcept;

  void add(const Batch& batch);

  /// Throws Error if nothing was counted.
  placement::LocalityMeasurement measurement() const;
  /// Of the counted batches together.
  const AssignmentMoves& moves() const;
  /// Rows that would have entered domains, [level - 1], if samples came to ranks by chance.
  std::vector<double> by_chance() const;
  int64_t counted() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// How much is simulated.
struct LocalityEffort {
  int64_t batch = 0, batches = 0, first_counted = 0;
};
constexpr int64_t kMostLookups = int64_t{1} << 24;  ///< lookups that are assigned: half a million samples of Criteo
/// available: samples of a pass; run_batches: of the whole run; 0: unknown, long.
LocalityEffort locality_effort(int64_t global_batch, int ranks, int64_t lookups_per_sample, int64_t available,
                               int64_t run_batches, int64_t most_lookups = kMostLookups);

}  // namespace sparrow
