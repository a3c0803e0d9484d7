// The output folder of a run: what an earlier run left there to continue from, and the decisions this one keeps there.
//
//   DIR/start/topology.yaml, plan.json   the system and the plan that the run began with
//   DIR/checkpoints/                     checkpoint.hpp
//   DIR/metrics.jsonl, summary.json      metrics_file.hpp, run_summary.hpp
//
// A continued run keeps the rates and the plan it began with, so that its bits do not depend on a noisy clock; unless
// the number of ranks has changed.
#pragma once

#include <string>

#include "comm/comm.hpp"
#include "config/options.hpp"
#include "placement/model/plan.hpp"
#include "placement/model/topology.hpp"

namespace sparrow {

class RunFolder {
 public:
  /// Collective. Makes the folder, emptied of an earlier run unless this one continues it. Both arguments must outlive
  /// it.
  RunFolder(Comm& comm, const RunOptions& options);

  /// The checkpoint that the run continues from; empty: it begins.
  const std::string& checkpoint() const { return checkpoint_; }
  bool continues() const { return !checkpoint_.empty(); }
  std::string start() const { return path("start"); }
  std::string metrics() const { return path("metrics.jsonl"); }
  std::string summary() const { return path("summary.json"); }
  std::string trace() const { return path("trace.json"); }

  /// The options of the run, with the topology and the plan that a continued run began with.
  RunOptions with_saved_decisions() const;
  /// What the checkpoint says of re-planning, if the run re-plans and continues from one with as many ranks: its
  /// folder, or "".
  std::string saved_replanning() const;
  /// Rank 0.
  void save_decisions(const placement::Plan& plan, const placement::Topology& topology) const;
  /// Drops records of metrics.jsonl beyond the checkpoint that the run continues from. Rank 0.
  void cut_metrics(int64_t samples) const;
  /// Of the run that is continued: it ended with fewer samples. Rank 0.
  void remove_summary() const;

 private:
  std::string path(const char* name) const { return options_.output.dir + "/" + name; }
  bool began_with_as_many_ranks() const;

  const RunOptions& options_;
  int ranks_;
  std::string checkpoint_;
};

}  // namespace sparrow
