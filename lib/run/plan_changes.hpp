// The plans of a run that re-plans: counts go on, the replanner is asked (replanner.hpp), and its answers are carried
// out by the trainer, whose rows move a few per step. A plan is settled when all rows are where it wants them.
//
// What of it a checkpoint keeps beside the model, so that a continued run does the same:
//
//   replanning/
//     plan.json          that the rows follow, or come from while they move
//     next_plan.json     that they move to; only while they do
//     move.json          how far they are (MigrationState); only while they move
//     counts_00000.bin   one per rank: its counts of lookups (AccessCounter::serialize)
//
// All of it depends on ranks and plans: a run continued on another number of ranks plans anew instead.
#pragma once

#include <optional>
#include <string>

#include "planning/replanner.hpp"
#include "run/run.hpp"

namespace sparrow {

class PlanChanges {
 public:
  /// `run` must outlive it.
  explicit PlanChanges(Run& run);

  /// Called by every rank: into the folder `replanning` of a checkpoint. Throws Error naming the file that could not be
  /// written.
  void save(const std::string& folder) const;
  /// Collective: back from it, where the run was planned with its plan.json, before the rows are loaded.
  void load(const std::string& folder);

  /// After every step on this rank's part of a batch.
  void note_step(const Batch& batch);

  /// Collective. Asks whether another plan would win over so many iterations; no answer while the last one is still
  /// being carried out.
  std::optional<Replanning> ask(int64_t iterations);
  /// Collective. The plan of the run becomes the answer's, if it has one, and the rows begin to move.
  void carry_out(const Replanning& answer);

  /// Collective. Sent per rank and iteration (mean over ranks) under the plan in force: since the last question was
  /// asked, or its answer carried out.
  double counted_bytes() const;

 private:
  std::string counts_path(const std::string& folder) const;

  Run& run_;
  Trainer& trainer_;
  Replanner replanner_;
  placement::Plan settled_plan_;  ///< that rows follow, or come from while they move
  Ledger settled_ledger_;         ///< when the last question was asked, or its answer carried out
  bool moving_ = false;
};

}  // namespace sparrow
