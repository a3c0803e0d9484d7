// Whether another plan would win back the cost of moving to it.
//
//   gain = (T of the current plan - T of the best plan) * (iterations until the next question, or the end, less half of
//          those during which rows move)
//   cost = time of moving: bytes over every port of the topology at its rate, packing, and two exchanges' latency per
//          move
//
// both T with the counts of now, by the cost model that made the plan. The plan changes if gain > cost and T falls by
// more than kLeastGain, below which differences are the sampling error of the counts. How samples are assigned, and who
// holds rows, stays as the run began.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "access/access_profile.hpp"
#include "layout/tables.hpp"
#include "planning/plan_run.hpp"

namespace sparrow {

constexpr double kLeastGain = 0.01;
constexpr double kMoveShare = 0.25;  ///< of a step's exchanged bytes: what moves between two steps

/// One question and its answer. Rank 0's; others know `changes`, the plan and copies_per_move.
struct Replan {
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

/// What it is asked about: a run, its plan, and how often rows are looked up now, by table.
struct ReplanProblem {
  const RunOptions& options;
  const TableShapes& shapes;
  const Tables& tables;
  const SystemShape& system;
  const placement::Plan& plan;
  std::vector<AccessProfile> profiles;
  placement::Locality locality = {};  ///< known of assigned samples, as when the run was planned
};

/// iterations: until the next question or the end.
Replan decide(const ReplanProblem& problem, int64_t iterations);

/// For the log, and the same as a record of metrics.jsonl and summary.json.
std::string describe(const Replan& replan);
std::string to_json(const Replan& replan, int64_t step, int64_t samples);

}  // namespace sparrow
