// Re-planning: counts go on while a run trains, and every placement.replan_every samples the ranks ask whether another
// plan would win back the cost of moving to it.
//
//   gain = (T of the current plan - T of the best plan) * (iterations until the next question, or the end, less half of
//          those during which rows move)
//   cost = time of moving: bytes over every port of the topology at its rate, packing, and two exchanges' latency per
//          move
//
// both T with the counts of now, by the cost model that made the plan. The plan changes if gain > cost and T falls by
// more than kLeastGain, below which differences are the noise of counting. Rank 0 decides for all.
//
// Where ranks see different data, counts are added up by access group, one group after the other: rank 0 then has one
// counter for each (33 MB for 26 large tables). The groups are those found when the run began.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "access/access_counter.hpp"
#include "access/access_profile.hpp"
#include "config/options.hpp"
#include "planning/plan_run.hpp"

namespace sparrow {

constexpr double kLeastGain = 0.01;
constexpr double kMoveShare = 0.25;  ///< of a step's exchanged bytes: what moves between two steps

/// One question and its answer. Rank 0's; others know `changes`, the plan and copies_per_move.
struct Replanning {
  bool changes = false;
  std::string why_not;  ///< if not
  std::optional<PlannedRun> next;
  int64_t copies_per_move = 1;
  // What was weighed. T in seconds per iteration, bytes sent per rank and iteration (mean):
  double seconds_now = 0, seconds_next = 0, bytes_now = 0, bytes_next = 0;
  double bytes_counted = 0;  ///< by the run, since it follows the plan
  int64_t iterations = 0;    ///< over which the gain counts
  int64_t moved_copies = 0, moved_bytes = 0;
  double gain_seconds = 0, cost_seconds = 0;
};

/// Time to send copies[source * ranks + destination] rows of `bytes` each, in `moves` parts.
double seconds_to_move(const SystemShape& shape, const std::vector<int64_t>& copies, double bytes, int64_t moves);

class Replanner {
 public:
  /// plan: the run's first one. Everything passed by reference must outlive it.
  Replanner(const RunOptions& options, const TrainingData& data, const Tables& tables, const SystemShape& system,
            placement::Plan plan);

  /// Counts the lookups of this rank's part of a batch.
  void count(const Batch& batch) { counter_.count(batch); }

  /// Collective. Asks, and makes the counts fade by half. iterations: until the next question or the end. If the plan
  /// is changed, set_plan is to be called.
  Replanning consider(Comm& comm, int64_t iterations);

  const placement::Plan& plan() const { return plan_; }
  void set_plan(placement::Plan plan) { plan_ = std::move(plan); }
  AccessCounter& counter() { return counter_; }
  const AccessCounter& counter() const { return counter_; }

 private:
  Replanning decide(std::span<const AccessCounter> all, int64_t iterations) const;
  std::vector<AccessCounter> merged_by_group(Comm& comm) const;
  std::optional<placement::Plan> best_plan(const placement::Workload& workload,
                                           const std::vector<AccessProfile>& profiles, std::string& why_not) const;

  const RunOptions& options_;
  const TableShapes& shapes_;
  const Tables& tables_;
  const SystemShape& system_;
  placement::Plan plan_;
  AccessCounter counter_;
  std::vector<std::vector<int64_t>> cuts_;  ///< by table: where the classes of the first count begin
  std::vector<int> group_of_rank_;
};

/// Collective: the sum of all ranks' counters, at rank 0 (elsewhere undefined), in ceil(log2 ranks) rounds in which
/// half of those left send theirs: no rank ever has more than two. counts: false where a rank has none to add.
AccessCounter merged_counter(Comm& comm, const AccessCounter& own, bool counts = true);

/// For the log, and the same as a record of metrics.jsonl and summary.json.
std::string describe(const Replanning& answer);
std::string to_json(const Replanning& answer, int64_t step, int64_t samples);

}  // namespace sparrow
