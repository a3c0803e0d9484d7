// Re-planning: counts go on while a run trains, and every placement.replan_every samples the ranks ask whether another
// plan is worth moving to (replan.hpp). Rank 0 decides for all; the trainer moves rows, a few per step. A plan is settled
// when all rows are where it wants them.
//
// Where ranks see different data, counts are added up by access group, one group after the other: rank 0 then has one
// counter for each (33 MB for 26 large tables). The groups are those found when the run began.
//
// Kept in checkpoints, beside the model, so that a continued run does the same:
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
#include <vector>

#include "access/access_counter.hpp"
#include "access/training_data.hpp"
#include "planning/replan.hpp"
#include "train/trainer.hpp"

namespace sparrow {

class Replanner {
 public:
  /// first: the plan that `trainer` was made for. Everything passed by reference must outlive it.
  Replanner(const RunOptions& options, const TrainingData& data, const Tables& tables, const SystemShape& system,
            const Decision& first, Trainer& trainer);

  /// After every step on this rank's part of a batch.
  void note_step(const Batch& batch);

  /// Collective. Asks whether another plan would win over so many iterations, and makes the counts fade by half; no
  /// answer while the last one is still being carried out.
  std::optional<Replan> ask(int64_t iterations);
  /// Collective. The rows begin to move, if the answer says so.
  void carry_out(const Replan& replan);

  /// Collective. Sent per rank and iteration (mean over ranks) under the plan in force: since the last question was
  /// asked, or its answer carried out.
  double counted_bytes() const;

  /// That rows follow, or move to.
  const placement::Plan& plan() const { return plan_; }

  /// Into the folder of a checkpoint, called by every rank (throws Error naming the file that could not be written),
  /// and (collective) from it, for a trainer that was made for plan.json: before the rows are loaded, for it says where
  /// they go.
  void save(const std::string& folder) const;
  void load(const std::string& folder);
  static std::string saved_plan_path(const std::string& folder);

 private:
  Replan decided_by_rank_0(int64_t iterations);
  std::vector<AccessCounter> merged_by_group() const;

  const RunOptions& options_;
  const TableShapes& shapes_;
  const Tables& tables_;
  const SystemShape& system_;
  Trainer& trainer_;
  Comm& comm_;
  const placement::Locality locality_;  ///< of assigned samples
  placement::Plan plan_;                ///< that rows follow or move to
  placement::Plan settled_plan_;        ///< that rows follow or come from
  Ledger settled_ledger_;               ///< when the last question was asked, or its answer carried out
  bool moving_ = false;
  AccessCounter counter_;
  std::vector<std::vector<int64_t>> cuts_;  ///< by table: where the classes of the first count begin
  std::vector<int> group_of_rank_;
};

}  // namespace sparrow
