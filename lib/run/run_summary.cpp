#include "run/run_summary.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/text_file.hpp"
#include "base/version.hpp"
#include "comm/collectives.hpp"
#include "run/closing_table.hpp"
#include "run/metrics_file.hpp"

namespace sparrow {

using nlohmann::json;

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

namespace {

/// Totals of every rank as numbers per iteration. All collective.
class PerIteration {
 public:
  PerIteration(Comm& comm, int64_t iterations)
      : comm_(comm), iterations_(static_cast<double>(std::max<int64_t>(1, iterations))) {}
  OverRanks over(double total) const { return over_ranks(comm_, total / iterations_); }
  double mean(double total) const { return over(total).mean; }
  double mean(int64_t total) const { return mean(static_cast<double>(total)); }

 private:
  Comm& comm_;
  double iterations_;
};

/// Sent bytes by phase, of the mean rank and of the busiest.
json sent_bytes(const PerIteration& per_iteration, const Traffic& traffic) {
  json mean, max;
  const auto add = [&](const char* name, int64_t bytes) {
    const OverRanks value = per_iteration.over(static_cast<double>(bytes));
    mean[name] = value.mean;
    max[name] = value.max;
  };
  for (const Phase phase : kSendingPhases) add(phase_name(phase), traffic.sent_bytes[static_cast<size_t>(phase)]);
  add("total", sent_by_iterations(traffic));
  mean["max"] = max;
  return mean;
}

json sent_bytes(const placement::SentBytes& sent) {
  return {{"ids", sent.ids},         {"rows", sent.rows},           {"gradients", sent.gradients},
          {"samples", sent.samples}, {"allreduce", sent.allreduce}, {"total", sent.total()}};
}

/// value(phase number) of every phase that sends, and their sum.
template <class Value>
json with_total(Value&& value) {
  json phases;
  double total = 0;
  for (const Phase phase : kSendingPhases) {
    const double of_phase = value(static_cast<size_t>(phase));
    phases[phase_name(phase)] = of_phase;
    total += of_phase;
  }
  phases["total"] = total;
  return phases;
}

/// The same keys as what was measured, so that the two stand side by side.
json to_json(const Prediction& prediction) {
  const placement::Cost& cost = prediction.cost;
  json bytes = sent_bytes(cost.sent_mean);
  bytes["max"] = sent_bytes(cost.sent_max);
  json seconds;
  for (const Phase phase : kModelledPhases)
    seconds[phase_name(phase)] = cost.seconds_by_phase[static_cast<size_t>(phase)];
  return {{"bytes_per_iteration", bytes},
          {"bytes_by_level", prediction.level_bytes},
          {"store_bytes_per_iteration",
           {{"read", prediction.store_read_bytes}, {"written", prediction.store_written_bytes}}},
          {"distinct_rows_per_iteration", cost.distinct_rows_mean},
          {"seconds_per_iteration", cost.seconds},
          {"sequential_seconds", cost.sequential_seconds},
          {"overlapped_seconds", cost.overlapped_seconds},
          {"critical_path_seconds", cost.critical_path_seconds},
          {"seconds_by_phase", seconds},
          {"bound", prediction.bound},
          {"gap", prediction.gap},
          {"floor_bytes", prediction.floor_bytes}};
}

/// Sent bytes of the mean rank, by stage of the hierarchy, from the root down.
json sent_by_stage(const PerIteration& per_iteration, const std::vector<Traffic>& traffic) {
  json stages = json::array();
  for (const Traffic& own : traffic) {
    json stage = with_total([&](size_t p) { return per_iteration.mean(own.sent_bytes[p]); });
    stage["messages"] = with_total([&](size_t p) { return per_iteration.mean(own.sent_messages[p]); })["total"];
    stages.push_back(stage);
  }
  return stages;
}

/// The same by the level of the tree at which ways part, as the prediction has it: 0 crosses the most.
json sent_by_level(const PerIteration& per_iteration, const Ledger& ledger) {
  json levels = json::array();
  for (size_t level = 0; level < std::min<size_t>(ledger.stages.size(), Traffic::kLevels); ++level)
    levels.push_back(per_iteration.mean(ledger.traffic.sent_by_level[level]));
  return levels;
}

/// What was asked and answered, and what moving cost; null if the run does not re-plan. Collective.
json replanning_summary(Comm& comm, const RunResult& result) {
  const OverRanks rows = over_ranks(comm, static_cast<double>(result.migrated.sent_rows));
  const OverRanks bytes = over_ranks(comm, static_cast<double>(result.migrated.sent_bytes));
  const OverRanks seconds = over_ranks(comm, result.migrated.seconds);
  if (result.replannings.empty()) return {};
  json questions = json::array();
  for (const std::string& record : result.replannings) questions.push_back(json::parse(record));
  return {{"questions", questions},
          {"sent_rows", rows.mean * static_cast<double>(result.ranks)},
          {"sent_bytes", bytes.mean * static_cast<double>(result.ranks)},
          {"seconds", seconds.max},
          {"last_bytes_per_iteration", result.settled_bytes_per_iteration}};
}

/// What each lane did, and how the lanes follow one another (pipeline.hpp). Mean over ranks.
json pipeline(const PerIteration& per_iteration, const RunResult& result) {
  const Ledger& ledger = result.ledger;
  json lanes{{"overlapped", result.overlapped}};
  double busy = 0;
  for (const Lane lane : {Lane::compute, Lane::exchange}) {
    json phases;
    for (const Phase phase : kTimedPhases) {
      const double seconds = per_iteration.mean(ledger.seconds[static_cast<size_t>(lane)][static_cast<size_t>(phase)]);
      phases[phase_name(phase)] = seconds;
      if (lane == Lane::exchange && phase != Phase::waiting) busy += seconds;
    }
    lanes[lane_name(lane)] = phases;
  }
  const double to_gradients = per_iteration.mean(ledger.path.to_gradients);
  const double ahead = per_iteration.mean(ledger.path.ahead);
  const double dirty = per_iteration.mean(ledger.path.dirty);
  const double dense = per_iteration.mean(ledger.path.dense);
  lanes["dirty_rows_per_iteration"] = per_iteration.mean(ledger.dirty_rows);
  lanes["to_gradients_seconds"] = to_gradients;
  lanes["dense_seconds"] = dense;
  lanes["ahead_seconds"] = ahead;
  lanes["urgent_seconds"] = dirty;
  lanes["critical_path_seconds"] = to_gradients + std::max(dirty, dense);
  // Of the exchange, what the compute lane did not wait for.
  lanes["hidden_seconds"] = result.overlapped ? std::max(0.0, busy - lanes["compute"]["waiting"].get<double>()) : 0.0;
  return lanes;
}

/// What the ledgers have counted. Collective.
void add_counted(Comm& comm, const RunResult& result, json& summary) {
  const Ledger& ledger = result.ledger;
  const PerIteration per_iteration(comm, ledger.iterations);
  summary["bytes_per_iteration"] = sent_bytes(per_iteration, ledger.traffic);
  summary["bytes_by_stage"] = sent_by_stage(per_iteration, ledger.stages);
  summary["bytes_by_level"] = sent_by_level(per_iteration, ledger);
  summary["store_bytes_per_iteration"] = {{"read", per_iteration.mean(ledger.store_read_bytes)},
                                          {"written", per_iteration.mean(ledger.store_written_bytes)}};
  summary["distinct_rows_per_iteration"] = per_iteration.mean(ledger.distinct_rows);
  summary["lookups_per_iteration"] = per_iteration.mean(ledger.lookups);
  summary["seconds_per_iteration"] = result.seconds / static_cast<double>(std::max<int64_t>(1, ledger.iterations));
  for (const Phase phase : kTimedPhases)
    summary["seconds_by_phase"][phase_name(phase)] = per_iteration.mean(ledger.seconds_of(phase));
  summary["pipeline"] = pipeline(per_iteration, result);
}

/// Of the rank that has most. Collective.
void add_memory(Comm& comm, const RunResult& result, json& summary) {
  const auto most = [&](int64_t bytes) { return over_ranks(comm, static_cast<double>(bytes)).max; };
  summary["row_memory_bytes"] = most(result.row_bytes);
  const double planned = most(result.planned_memory_bytes), used = most(result.used_memory_bytes);
  if (planned > 0) summary["device_memory_bytes"] = {{"planned", planned}, {"used", used}};
  summary["fetched_buffer_bytes"] = most(result.fetched_buffer_bytes);
  summary["peak_memory_bytes"] = most(peak_memory_bytes());
}

}  // namespace

void write_summary(Comm& comm, const RunResult& result, const std::string& path) {
  json summary{{"version", kVersion},
               {"backend", result.backend},
               {"ranks", result.ranks},
               {"samples", result.samples},
               {"steps", result.steps},
               {"seconds", result.seconds},
               {"samples_per_second", result.seconds > 0 ? static_cast<double>(result.samples) / result.seconds : 0.0},
               {"train_loss", result.train_loss ? json(*result.train_loss) : json()},
               {"skipped_lines", result.skipped_lines}};
  if (result.eval) summary["eval"] = to_json(*result.eval);
  add_counted(comm, result, summary);
  add_memory(comm, result, summary);
  summary["predicted"] = to_json(result.predicted);
  const json replanning = replanning_summary(comm, result);
  if (!replanning.is_null()) summary["replanning"] = replanning;
  if (comm.rank() == 0) {
    if (result.train_loss || !std::filesystem::exists(path)) write_text_file(path, summary.dump(2) + "\n");
    print_table(summary, result.output_dir);
    // Where plans have changed, no prediction is of the whole run.
    if (result.ledger.iterations > 0 && result.migrated.positions == 0) warn_of_deviations(summary);
  }
  barrier(comm);
}

}  // namespace sparrow
