// One training step over all ranks: synchronous, exact, the same arithmetic whatever the placement.
//
//   route   distinct rows of the batch, who asks whom            ids
//   load    rows of the slower store into memory                 store
//   fetch   rows to the ranks whose samples need them            rows
//   compute pooling, bottom MLP, interaction, top MLP, loss, backward
//   return  gradients, summed per distinct row, to the holders   gradients
//   reduce  dense gradients over all ranks, and those of rows     all-reduce
//           that have several copies over the copies
//   update  rows held here, and dense parameters
//   finish  rows of the slower store go back to it               store
//
// What of this happens beside computation is in pipeline.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/comm.hpp"
#include "data/batch.hpp"
#include "exchange/embedding_exchange.hpp"
#include "exchange/migration.hpp"
#include "exchange/staged_all_reduce.hpp"
#include "kernels/backend.hpp"
#include "layout/directory.hpp"
#include "model/dlrm.hpp"
#include "model/options.hpp"
#include "store/row_admission.hpp"
#include "store/store.hpp"
#include "train/ledger.hpp"
#include "train/memory_plan.hpp"
#include "train/pipeline.hpp"
#include "train/trainer_options.hpp"

namespace sparrow {

/// Learning rate factor of a step (from 0): linear warm-up, then 1, then polynomial decay of power 2, then held
/// (MLPerf's DLRM schedule).
double learning_rate_factor(const OptimizerOptions& options, int64_t step);

class Trainer {
 public:
  /// Collective. Everything passed by reference must outlive it, and what `directory` refers to. memory: what
  /// plan_memory() says of this directory and these options, and there must be as much. All of it is taken here: no
  /// step allocates any. Without id_of rows are not filled: what plan_memory() makes and counts is a trainer too.
  Trainer(const RankContext& context, Directory directory, MemoryPlan memory, const TrainerOptions& options,
          const Store::IdOfPosition& id_of);

  /// Collective. Trains on one global batch, of which `batch` is this rank's part. Returns the sum of its samples'
  /// losses, before the update. next: this rank's part of the batch that the next call will be given, so that its rows
  /// can be fetched meanwhile; null where none is known. Both batches must stay alive until the next call, or
  /// release_batches().
  double step(const Batch& batch, const Batch* next = nullptr);
  /// Waits until announced batches are no longer read: before their memory goes, also when an error ends the run.
  void release_batches() noexcept { pipeline_.release(); }
  /// Collective. Waits for what is still to be done of the last step, so that the model is whole: before rows are read
  /// or written. Predictions do so themselves; what was fetched for the next batch stays valid unless rows are written.
  void drain() { pipeline_.drain(); }

  /// Collective, between steps: rows move to `plan`, some before every step from the next one on, until all have. No
  /// move may be under way. Throws Error, on all ranks alike, if a rank has no room on the way. Training does not
  /// change. Where a map has holders, no rank may settle batches meanwhile: those that were settled ahead are
  /// forgotten. Tests force any schedule of plans with it. Where device memory is planned, what the new plan needs of it
  /// is taken when it is in force; while rows move, buffers may grow.
  void migrate_to(const ResolvedPlan& plan, int64_t copies_per_move);
  /// Collective. Why rows cannot move to `plan`: which rank has no room on the way, or too little device memory for the
  /// plan's buffers; empty if they can.
  std::string lack_of_room(const ResolvedPlan& plan) const;
  /// The same for a run that is continued in the middle of a move: before its checkpoint is loaded.
  void continue_migration(const ResolvedPlan& plan, const MigrationState& state);
  /// Collective, between steps: the next rows of a move under way. step() begins with it.
  void move_rows();
  /// The plan that rows follow, or move to.
  const ResolvedPlan& plan_ahead() const { return migration_ ? migration_->to() : directory_.plan(); }
  /// The move under way; null if none is.
  const Migration* migration() const { return migration_.get(); }
  /// Of all moves that are over, and the one under way.
  MigrationTotals migrated() const;

  /// Collective. Logits of this rank's part, valid until the next call; adds the losses to loss_sum.
  std::span<const float> predict(const Batch& batch, double& loss_sum);

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }  ///< when a run is resumed
  Ledger& ledger() { return ledger_; }
  /// All bytes so far of a stage of the hierarchy.
  Traffic stage_traffic(int stage) const;

  Dlrm& model() { return model_; }
  float* dense_state() const { return dense_state_.data(); }
  int64_t dense_state_size() const { return dense_state_.size(); }
  /// After drain().
  Store& store() {
    SPARROW_CHECK(pipeline_.drained(), "rows are read or written before the last step is over");
    return store_;
  }
  const Directory& directory() const { return directory_; }
  /// The map says of more rows than before that they are here, by other means than batches: they get slots, and, if
  /// filled, initial values.
  void admit_held(bool filled);
  /// After drain(): of mapped rows.
  RowAdmission& row_admission() { return admission_; }
  const StageComms& comms() const { return comms_; }
  const RankContext& context() const { return context_; }
  /// Of this rank: what was planned at the start.
  const MemoryPlan& memory() const { return memory_; }
  Backend& backend() { return context_.backend; }
  Stream& stream() { return *stream_; }

 private:
  void forward_dense(const Batch& batch);
  void reduce_gradients();
  void take_plan();
  void settle_moved_rows(const ResolvedPlan& plan);
  void reserve();
  int64_t max_samples() const { return options_.limits.samples.at(context_.comm.rank()); }

  RankContext context_;
  Backend& backend_;
  TrainerOptions options_;
  std::unique_ptr<Stream> stream_;
  StageComms comms_;
  Directory directory_;
  MemoryPlan memory_;
  Store store_;
  RowAdmission admission_;
  EmbeddingExchange exchange_;
  std::unique_ptr<Migration> migration_;
  MigrationTotals migrated_;  ///< by moves that are over
  Ledger ledger_;
  Dlrm model_;
  StagedAllReduce reduce_dense_;
  Array<float> dense_state_, dense_input_, labels_;
  Array<float> pinned_input_;  ///< dense values and labels on their way; free again when the step's loss is known
  Array<double> loss_sum_;
  std::unique_ptr<Event> loss_ready_;
  std::vector<Traffic> dense_traffic_;  ///< by stage: before the reduction under way
  Array<float> logits_;
  Pipeline pipeline_;  ///< last, so that its thread ends before what it uses
  int64_t steps_ = 0;
};

}  // namespace sparrow
