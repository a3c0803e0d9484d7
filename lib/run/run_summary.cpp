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

/// The phases that iterations send in.
template <class Action>
void for_each_phase(Action&& action) {
  for (size_t p = 0; p < kPhases; ++p)
    if (const auto phase = static_cast<Phase>(p); phase != Phase::control) action(p, phase_name(phase));
}

/// Sent bytes by phase, of the mean rank and of the busiest.
json sent_bytes(const PerIteration& per_iteration, const Traffic& traffic) {
  json mean, max;
  const auto add = [&](const char* name, int64_t bytes) {
    const OverRanks value = per_iteration.over(static_cast<double>(bytes));
    mean[name] = value.mean;
    max[name] = value.max;
  };
  for_each_phase([&](size_t p, const char* name) { add(name, traffic.sent_bytes[p]); });
  add("total", sent_by_iterations(traffic));
  mean["max"] = max;
  return mean;
}

json sent_bytes(const placement::SentBytes& sent) {
  return {{"ids", sent.ids}, {"rows", sent.rows},           {"gradients", sent.gradients},
          {"samples", 0.0},  {"allreduce", sent.allreduce}, {"total", sent.total()}};
}

/// The same keys as what was counted, so that the two stand side by side.
json predicted(const Prediction& of) {
  json bytes = sent_bytes(of.cost.sent_mean);
  bytes["max"] = sent_bytes(of.cost.sent_max);
  json seconds = json::object();  // an object also when nothing is predicted
  for (const auto& [phase, value] : of.seconds_by_phase) seconds[phase] = value;
  return {{"bytes_per_iteration", bytes},
          {"bytes_by_level", of.level_bytes},
          {"store_bytes_per_iteration", {{"read", of.store_read_bytes}, {"written", of.store_written_bytes}}},
          {"distinct_rows_per_iteration", of.cost.distinct_rows_mean},
          {"seconds_per_iteration", of.cost.seconds},
          {"sequential_seconds", of.cost.sequential_seconds},
          {"overlapped_seconds", of.cost.overlapped_seconds},
          {"critical_path_seconds", of.cost.critical_path_seconds},
          {"seconds_by_phase", seconds},
          {"bound", of.bound},
          {"gap", of.gap},
          {"floor_bytes", of.floor_bytes}};
}

/// value(phase number) of every phase, and their sum.
template <class Value>
json with_total(Value&& value) {
  json phases;
  double total = 0;
  for_each_phase([&](size_t p, const char* name) {
    const double of_phase = value(p);
    phases[name] = of_phase;
    total += of_phase;
  });
  phases["total"] = total;
  return phases;
}

/// Sent bytes of the mean rank, by stage of the hierarchy, from the root down.
json sent_by_stage(const PerIteration& per_iteration, const std::vector<Traffic>& traffic) {
  json stages = json::array();
  for (const Traffic& of : traffic) {
    json stage = with_total([&](size_t p) { return per_iteration.mean(of.sent_bytes[p]); });
    stage["messages"] = with_total([&](size_t p) { return per_iteration.mean(of.sent_messages[p]); })["total"];
    stages.push_back(stage);
  }
  return stages;
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
  json of{{"overlapped", result.overlapped}};
  double busy = 0;
  for (const Lane lane : {Lane::compute, Lane::exchange}) {
    json parts;
    for (int part = 0; part < kParts; ++part) {
      const double seconds = per_iteration.mean(ledger.seconds[static_cast<size_t>(lane)][static_cast<size_t>(part)]);
      parts[part_name(static_cast<Part>(part))] = seconds;
      if (lane == Lane::exchange && static_cast<Part>(part) != Part::waiting) busy += seconds;
    }
    of[lane_name(lane)] = parts;
  }
  const double to_gradients = per_iteration.mean(ledger.path.to_gradients);
  const double ahead = per_iteration.mean(ledger.path.ahead);
  const double dirty = per_iteration.mean(ledger.path.dirty);
  const double dense = per_iteration.mean(ledger.path.dense);
  of["dirty_rows_per_iteration"] = per_iteration.mean(ledger.dirty_rows);
  of["to_gradients_seconds"] = to_gradients;
  of["dense_seconds"] = dense;
  of["ahead_seconds"] = ahead;
  of["urgent_seconds"] = dirty;
  of["critical_path_seconds"] = to_gradients + std::max(dirty, dense);
  // Of the exchange, what the compute lane did not wait for.
  of["hidden_seconds"] = result.overlapped ? std::max(0.0, busy - of["compute"]["waiting"].get<double>()) : 0.0;
  return of;
}

/// What the ledgers have counted. Collective.
void add_counted(Comm& comm, const RunResult& result, json& summary) {
  const Ledger& ledger = result.ledger;
  const PerIteration per_iteration(comm, ledger.iterations);
  summary["bytes_per_iteration"] = sent_bytes(per_iteration, ledger.traffic);
  summary["bytes_by_stage"] = sent_by_stage(per_iteration, ledger.stages);
  summary["store_bytes_per_iteration"] = {{"read", per_iteration.mean(ledger.store_read_bytes)},
                                          {"written", per_iteration.mean(ledger.store_written_bytes)}};
  summary["distinct_rows_per_iteration"] = per_iteration.mean(ledger.distinct_rows);
  summary["lookups_per_iteration"] = per_iteration.mean(ledger.lookups);
  summary["seconds_per_iteration"] = result.seconds / static_cast<double>(std::max<int64_t>(1, ledger.iterations));
  for (int part = 0; part < kParts; ++part)
    summary["seconds_by_phase"][part_name(static_cast<Part>(part))] =
        per_iteration.mean(ledger.seconds_of(static_cast<Part>(part)));
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
  summary["predicted"] = predicted(result.predicted);
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
