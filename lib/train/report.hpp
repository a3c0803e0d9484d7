// What a run tells: a progress bar or plain lines while it trains, metrics.jsonl, and at the end summary.json and a
// short table.
#pragma once

#include <array>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/timer.hpp"
#include "comm/comm.hpp"
#include "exchange/migration.hpp"
#include "train/evaluation.hpp"
#include "train/ledger.hpp"
#include "train/prediction.hpp"

namespace sparrow {

/// Progress on the terminal of rank 0: a bar that redraws itself where standard error is a terminal, log lines at each
/// record otherwise.
class Progress {
 public:
  explicit Progress(int64_t total_samples);
  ~Progress();
  void show(int64_t samples, double loss, double samples_per_second, bool record);
  void clear();  ///< before other output

 private:
  int64_t total_;
  bool terminal_;
  bool drawn_ = false;
  Timer since_drawn_;
};

/// Records of metrics.jsonl, one JSON object per line, flushed line by line. Rank 0 only.
class MetricsFile {
 public:
  /// append: a resumed run adds to what is there. Throws Error if the file cannot be written.
  MetricsFile(const std::string& path, bool append);
  void step(int64_t step, int64_t samples, double loss, double seconds, double learning_rate_factor);
  void evaluation(int64_t step, int64_t samples, const Metrics& metrics, double seconds);
  void record(const std::string& json) { write(json); }  ///< one JSON object with at least step and samples

 private:
  void write(const std::string& line);
  std::string path_;
  std::ofstream file_;
};

/// Facts of a finished run, the same on all ranks but for the ledger.
struct RunResult {
  std::string backend;
  std::string output_dir;
  int ranks = 1;
  int64_t samples = 0;
  int64_t steps = 0;
  double seconds = 0;     ///< of training steps, without start-up and evaluation
  double train_loss = 0;  ///< mean over the last report interval
  std::optional<Metrics> eval;
  int64_t skipped_lines = 0;
  bool overlapped = false;
  Ledger ledger;                           ///< of this rank
  Prediction predicted;                    ///< rank 0's; of the last plan, if the run has changed plans
  std::vector<std::string> replannings;    ///< rank 0's: the records of metrics.jsonl
  MigrationTotals migrated;                ///< of this rank
  double settled_bytes_per_iteration = 0;  ///< sent per rank under the last plan, if the run re-plans
  /// Of this rank: device memory of its rows; host memory of fetched rows on their way.
  int64_t row_bytes = 0, fetched_buffer_bytes = 0;
  int64_t planned_memory_bytes = 0, used_memory_bytes = 0;  ///< of device memory that was divided up before training
};

/// Collective: gathers the ledgers; rank 0 writes `path` (under another name, then renamed, so a summary is whole or
/// absent) and prints the closing table on standard output.
void write_summary(Comm& comm, const RunResult& result, const std::string& path);

/// Largest resident memory of this process so far, in bytes.
int64_t peak_memory_bytes();

}  // namespace sparrow
