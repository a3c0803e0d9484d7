// What a run tells at its end: summary.json, in which predicted stands beside counted, and a short table of it
// (closing_table.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/comm.hpp"
#include "exchange/migration.hpp"
#include "planning/prediction.hpp"
#include "train/evaluation.hpp"
#include "train/ledger.hpp"

namespace sparrow {

/// Facts of a finished run, the same on all ranks but for the ledger.
struct RunResult {
  std::string backend;
  std::string output_dir;
  int ranks = 1;
  int64_t samples = 0;
  int64_t steps = 0;
  double seconds = 0;                ///< of training steps, without start-up and evaluation
  std::optional<double> train_loss;  ///< mean over the last report interval; none: nothing was left to train
  std::optional<Metrics> eval;
  bool stopped = false;  ///< asked to, before it was done: there is no summary
  int64_t skipped_lines = 0;
  bool overlapped = false;
  Ledger ledger;                           ///< of this rank
  Prediction predicted;                    ///< rank 0's; of the last plan, if the run has changed plans
  std::vector<std::string> replannings;    ///< rank 0's: the records of metrics.jsonl
  MigrationTotals migrated;                ///< of this rank
  double settled_bytes_per_iteration = 0;  ///< sent per rank under the last plan, if the run re-plans
  /// Of this rank: device memory of its rows; host memory of offloaded rows on their way.
  int64_t row_bytes = 0, fetched_buffer_bytes = 0;
  int64_t planned_memory_bytes = 0, used_memory_bytes = 0;  ///< of device memory that was divided up before training
};

/// Collective: gathers the ledgers; rank 0 writes `path` (under another name, then renamed, so a summary is whole or
/// absent) and prints the closing table on standard output. Where nothing was left to train, a summary that is there
/// stays: it is of the run that trained.
void write_summary(Comm& comm, const RunResult& result, const std::string& path);

/// Largest resident memory of this process so far, in bytes.
int64_t peak_memory_bytes();

}  // namespace sparrow
