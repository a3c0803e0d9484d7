// The plan of a run with what the trainer is then made with: it leaves the memory that a step needs.
#pragma once

#include <memory>

#include "exchange/rank_context.hpp"
#include "layout/holder_map.hpp"
#include "layout/system_shape.hpp"
#include "layout/tables.hpp"
#include "planning/plan_run.hpp"
#include "train/memory_plan.hpp"
#include "train/trainer_options.hpp"

namespace sparrow {

/// A plan, and what of it concerns this rank.
struct PlacedRun {
  PlannedRun planned;
  TrainerOptions trainer;
  std::unique_ptr<HolderMap> holder_map;  ///< of mapped rows, if there can be any; the directory refers to it
  Directory directory;
  MemoryPlan memory;
};

/// Collective. Planning knows what rows need and estimates the rest; where device memory is divided up before training,
/// a plan that leaves the rest too little is made again with so much less for rows, which `system` then says. Throws
/// Error, with a table of what each part needs, if there is none: on all ranks alike, before a trainer takes any memory.
/// `tables` and `system` must outlive what is returned. node: that this rank is on.
PlacedRun plan_within_memory(const RankContext& context, int node, const PlanningProblem& problem, const Tables& tables,
                             SystemShape& system);

}  // namespace sparrow
