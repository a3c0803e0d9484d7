// A whole training run: opens the data, builds the trainer, goes through the passes, reports, evaluates, saves.
#pragma once

#include <functional>

#include "access/training_data.hpp"
#include "config/options.hpp"
#include "exchange/rank_context.hpp"
#include "run/run_summary.hpp"

namespace sparrow {

/// Collective. Trains, writes metrics.jsonl, checkpoints and summary.json into output.dir, prints the closing table.
/// stop, on all ranks or none: asked when a record of metrics.jsonl is due; where it is true on any rank the run ends
/// there, with a checkpoint (if the options have any) and without a summary: the same call continues it. Throws Error.
RunResult run_training(const RunOptions& options, const RankContext& context, const NodePlace& place,
                       const std::function<bool()>& stop = {});

}  // namespace sparrow
