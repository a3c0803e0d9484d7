// A whole training run: opens the data, builds the trainer, goes through the passes, reports, evaluates, saves.
#pragma once

#include "config/options.hpp"
#include "exchange/rank_context.hpp"
#include "train/run_summary.hpp"
#include "train/training_data.hpp"

namespace sparrow {

/// Collective. Trains, writes metrics.jsonl, checkpoints and summary.json into output.dir, prints the closing table.
/// Throws Error.
RunResult run_training(const RunOptions& options, const RankContext& context, const NodePlace& place);

}  // namespace sparrow
