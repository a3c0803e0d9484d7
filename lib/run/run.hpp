// A run as far as its first step: the data opened, the system found, lookups counted, the plan made and the trainer
// built. Training (training_run.hpp) goes on from here.
#pragma once

#include <memory>
#include <string>

#include "access/training_data.hpp"
#include "config/options.hpp"
#include "data/loader.hpp"
#include "exchange/rank_context.hpp"
#include "layout/holder_map.hpp"
#include "layout/system_shape.hpp"
#include "layout/tables.hpp"
#include "planning/plan_run.hpp"
#include "train/trainer.hpp"

namespace sparrow {

struct Run {
  /// Collective. The model has its initial values. counts_folder: where counts and positions are, from an earlier run,
  /// or are put; all ranks share it. What context refers to must outlive the run. Throws Error.
  Run(const RunOptions& options, const RankContext& context, const NodePlace& place, const std::string& counts_folder);
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Samples over all passes: train.samples, rounded up to whole batches. A run that stops there has seen the batches
  /// of any longer run, and can be continued as one.
  int64_t total_samples() const;

  /// Collective. This rank's parts of the batches of a pass over the training data, from `first_batch` on. Where the
  /// plan in force has batches read in turn they send samples, and book that in the trainer's ledger; the map of holders
  /// is theirs as long as they live.
  std::unique_ptr<BatchSource> training_batches(int64_t pass, int64_t first_batch = 0) const;
  /// The same for the samples held out (which may be none): in the order of the files, every batch in parts.
  std::unique_ptr<BatchSource> held_out_batches() const;

  RunOptions options;
  RankContext context;
  TrainingData data;
  Tables tables;
  SystemShape system;
  PlannedRun planned;  ///< the plan in force
  Store::IdOfPosition id_of, position_of;
  std::unique_ptr<HolderMap> holder_map;  ///< null where holders are arithmetic
  std::unique_ptr<Trainer> trainer;

 private:
  LoaderOptions loader_options() const;
  std::unique_ptr<BatchSource> assigned_batches(int64_t pass, LoaderOptions loader) const;
};

}  // namespace sparrow
