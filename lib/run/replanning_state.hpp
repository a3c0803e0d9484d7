// What a run that re-plans keeps in its checkpoints, beside the model, so that a continued run does the same:
//
//   replanning/
//     plan.json          that the rows follow, or come from while they move
//     next_plan.json     that they move to; only while they do
//     move.json          how far they are (MigrationState); only while they move
//     counts_00000.bin   one per rank: its counts of lookups (AccessCounter::serialize)
//
// All of it depends on ranks and plans: a run continued on another number of ranks plans anew instead.
#pragma once

#include <string>

#include "planning/replanner.hpp"
#include "train/trainer.hpp"

namespace sparrow {

std::string saved_plan_path(const std::string& folder);

/// Called by every rank. Throws Error naming the file that could not be written.
void save_replanning(const std::string& folder, const SystemShape& system, int rank, const Replanner& replanner,
                     const placement::Plan& settled, const Trainer& trainer);

/// Collective: of a trainer that was made for plan.json, before its rows are loaded.
void load_replanning(const std::string& folder, const SystemShape& system, int rank, Replanner& replanner,
                     Trainer& trainer);

}  // namespace sparrow
