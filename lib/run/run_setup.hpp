// From the options, the data and the system of a run to what its parts are made with: loaders, trainer and, within the
// memory that the trainer then needs, the plan.
#pragma once

#include "access/training_data.hpp"
#include "config/options.hpp"
#include "data/loader.hpp"
#include "exchange/rank_context.hpp"
#include "layout/system_shape.hpp"
#include "layout/tables.hpp"
#include "planning/planning.hpp"
#include "train/memory_plan.hpp"
#include "train/trainer_options.hpp"

namespace sparrow {

/// What a run is made of. Everything must outlive it.
struct RunParts {
  const RankContext& context;
  const RunOptions& options;
  const TrainingData& data;
  const Tables& tables;
};

/// Samples over all passes: train.samples, rounded up to whole batches. A run that stops there has seen the batches of
/// any longer run, and can be continued as one.
int64_t samples_to_train(const RunOptions& options, const TrainingData& data);

/// For this rank's part of pass `epoch` over the training data.
LoaderOptions loader_options(const RunParts& run, const SystemShape& system, int64_t epoch);
/// The same for the held-out samples: in the order of the files, every batch in parts.
LoaderOptions evaluation_options(const RunParts& run, const SystemShape& system);

TrainerOptions trainer_options(const RunParts& run, const SystemShape& system);

/// A plan, and what of it concerns this rank.
struct PlacedRun {
  PlannedRun planned;
  Directory directory;
  MemoryPlan memory;
};

/// Collective. The plan of the run, made with `options` (those of the run, with decisions of an earlier one). Planning
/// knows what rows need and estimates the rest; where device memory is divided up before training, a plan that leaves
/// the rest too little is made again with so much less for rows, which `system` then says. Throws Error, with a table
/// of what each part needs, if there is none: on all ranks alike, before a trainer takes any memory.
PlacedRun plan_within_memory(const RunParts& run, const RunOptions& options, SystemShape& system);

}  // namespace sparrow
