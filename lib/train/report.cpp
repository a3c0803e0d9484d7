#include "train/report.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/version.hpp"
#include "comm/collectives.hpp"

namespace sparrow {

using nlohmann::json;

Progress::Progress(int64_t total_samples) : total_(total_samples), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  clear();
}

void Progress::clear() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

void Progress::show(int64_t samples, double loss, double samples_per_second, bool record) {
  constexpr double kRedrawSeconds = 0.2;
  const double share = total_ > 0 ? static_cast<double>(samples) / static_cast<double>(total_) : 0;
  const double left = samples_per_second > 0 ? static_cast<double>(total_ - samples) / samples_per_second : 0;
  if (!terminal_) {
    if (record)
      spdlog::info("{:3.0f} %  {} samples  loss {:.5f}  {:.0f} samples/s  {:.0f} s left", 100 * share, samples, loss,
                   samples_per_second, left);
    return;
  }
  if (drawn_ && since_drawn_.seconds() < kRedrawSeconds) return;
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(share * kWidth);
  fmt::print(stderr, "\r[{:=<{}}{: <{}}] {:3.0f} %  loss {:.5f}  {:.0f} samples/s  {:.0f} s left \033[K", "", filled,
             "", kWidth - filled, 100 * share, loss, samples_per_second, left);
  std::fflush(stderr);
  drawn_ = true;
  since_drawn_.restart();
}

MetricsFile::MetricsFile(const std::string& path, bool append)
    : path_(path), file_(path, append ? std::ios::app : std::ios::trunc) {
  if (!file_) fail_errno(path);
}

void MetricsFile::write(const std::string& line) {
  file_ << line << '\n' << std::flush;
  if (!file_) fail_errno(path_);
}

void MetricsFile::step(int64_t step, int64_t samples, double loss, double seconds, double learning_rate_factor) {
  write(json{
      {"step", step}, {"samples", samples}, {"loss", loss}, {"seconds", seconds}, {"lr_factor", learning_rate_factor}}
            .dump());
}

void MetricsFile::evaluation(int64_t step, int64_t samples, const Metrics& metrics, double seconds) {
  write(json{{"step", step},
             {"samples", samples},
             {"seconds", seconds},
             {"eval",
              {{"auc", metrics.auc},
               {"logloss", metrics.logloss},
               {"accuracy", metrics.accuracy},
               {"samples", metrics.samples}}}}
            .dump());
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

namespace {

/// Sent bytes per iteration by phase, of the mean rank and of the busiest.
json bytes_per_iteration(Comm& comm, const Ledger& ledger, double iterations) {
  json mean, max;
  const auto add = [&](const char* name, int64_t bytes) {
    const OverRanks value = over_ranks(comm, static_cast<double>(bytes) / iterations);
    mean[name] = value.mean;
    max[name] = value.max;
  };
  int64_t total = 0;
  for (int p = 0; p < kPhases; ++p) {
    if (static_cast<Phase>(p) == Phase::control) continue;
    const int64_t bytes = ledger.traffic.sent_bytes[static_cast<size_t>(p)];
    add(phase_name(static_cast<Phase>(p)), bytes);
    total += bytes;
  }
  add("total", total);
  mean["max"] = max;
  return mean;
}

/// The same keys as what was counted, so that the two stand side by side.
json predicted(const Prediction& of) {
  json bytes, max;
  double total = 0, max_total = 0;
  for (size_t p = 0; p < kPhases; ++p) {
    if (static_cast<Phase>(p) == Phase::control) continue;
    const char* name = phase_name(static_cast<Phase>(p));
    bytes[name] = of.mean_bytes[p];
    max[name] = of.max_bytes[p];
    total += of.mean_bytes[p];
    max_total += of.max_bytes[p];
  }
  bytes["total"] = total;
  max["total"] = max_total;
  bytes["max"] = max;
  json seconds = json::object();  // an object also when nothing is predicted
  for (const auto& [phase, value] : of.seconds_by_phase) seconds[phase] = value;
  return {{"bytes_per_iteration", bytes},
          {"bytes_by_level", of.level_bytes},
          {"store_bytes_per_iteration", {{"read", of.store_read_bytes}, {"written", of.store_written_bytes}}},
          {"distinct_rows_per_iteration", of.distinct_rows_per_iteration},
          {"seconds_per_iteration", of.seconds_per_iteration},
          {"sequential_seconds", of.sequential_seconds},
          {"overlapped_seconds", of.overlapped_seconds},
          {"critical_path_seconds", of.critical_path_seconds},
          {"seconds_by_phase", seconds},
          {"bound", of.bound},
          {"gap", of.gap},
          {"floor_bytes", of.floor_bytes}};
}

void write_whole(const std::string& path, const std::string& text) {
  const std::string unfinished = path + ".unfinished";
  {
    std::ofstream file(unfinished, std::ios::trunc);
    file << text << std::flush;
    if (!file) fail_errno(unfinished);
  }
  std::filesystem::rename(unfinished, path);
}

std::string human_bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB"};
  int unit = 0;
  for (; bytes >= 1000 && unit < 3; ++unit) bytes /= 1000;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 2, units[unit]);
}

/// Sent bytes per iteration of the mean rank, by stage of the hierarchy, from the root down.
json bytes_by_stage(Comm& comm, const Ledger& ledger, double iterations) {
  json stages = json::array();
  for (const Traffic& traffic : ledger.stages) {
    json stage;
    double total = 0, messages = 0;
    for (size_t p = 0; p < kPhases; ++p) {
      if (static_cast<Phase>(p) == Phase::control) continue;
      const double bytes = over_ranks(comm, static_cast<double>(traffic.sent_bytes[p]) / iterations).mean;
      stage[phase_name(static_cast<Phase>(p))] = bytes;
      total += bytes;
      messages += over_ranks(comm, static_cast<double>(traffic.sent_messages[p]) / iterations).mean;
    }
    stage["total"] = total;
    stage["messages"] = messages;
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
json pipeline(Comm& comm, const RunResult& result, double iterations) {
  const Ledger& ledger = result.ledger;
  json of{{"overlapped", result.overlapped}};
  double busy = 0;
  for (const Lane lane : {Lane::compute, Lane::exchange}) {
    json parts;
    for (int part = 0; part < kParts; ++part) {
      const double seconds =
          over_ranks(comm, ledger.seconds[static_cast<size_t>(lane)][static_cast<size_t>(part)] / iterations).mean;
      parts[part_name(static_cast<Part>(part))] = seconds;
      if (lane == Lane::exchange && static_cast<Part>(part) != Part::waiting) busy += seconds;
    }
    of[lane_name(lane)] = parts;
  }
  const double to_gradients = over_ranks(comm, ledger.path.to_gradients / iterations).mean;
  const double ahead = over_ranks(comm, ledger.path.ahead / iterations).mean;
  const double urgent = over_ranks(comm, ledger.path.urgent / iterations).mean;
  const double dense = over_ranks(comm, ledger.path.dense / iterations).mean;
  of["dirty_rows_per_iteration"] = over_ranks(comm, static_cast<double>(ledger.dirty_rows) / iterations).mean;
  of["to_gradients_seconds"] = to_gradients;
  of["dense_seconds"] = dense;
  of["ahead_seconds"] = ahead;
  of["urgent_seconds"] = urgent;
  of["critical_path_seconds"] = to_gradients + std::max(urgent, dense);
  // Of the exchange, what the compute lane did not wait for.
  of["hidden_seconds"] = result.overlapped ? std::max(0.0, busy - of["compute"]["waiting"].get<double>()) : 0.0;
  return of;
}

double number(const json& value) {
  return value.is_number() ? value.get<double>() : NAN;
}

/// What was predicted beside what was counted and measured.
void print_ledger(const json& summary) {
  const json& predicted = summary["predicted"];
  fmt::print("\n  {:<28}{:>14}{:>14}\n", "per iteration and rank", "predicted", "counted");
  const auto row = [](const std::string& name, const std::string& expected, const std::string& counted) {
    fmt::print("  {:<28}{:>14}{:>14}\n", name, expected, counted);
  };
  for (const char* phase : {"ids", "rows", "gradients", "allreduce", "total"})
    row(fmt::format("{} sent", phase), human_bytes(number(predicted["bytes_per_iteration"][phase])),
        human_bytes(number(summary["bytes_per_iteration"][phase])));
  row("distinct rows", fmt::format("{:.0f}", number(predicted["distinct_rows_per_iteration"])),
      fmt::format("{:.0f}", number(summary["distinct_rows_per_iteration"])));
  for (const char* moved : {"read", "written"})
    if (number(summary["store_bytes_per_iteration"][moved]) > 0)
      row(fmt::format("slower store, {}", moved), human_bytes(number(predicted["store_bytes_per_iteration"][moved])),
          human_bytes(number(summary["store_bytes_per_iteration"][moved])));
  for (const char* part : {"ids", "store", "rows", "compute", "gradients", "allreduce", "update"})
    row(fmt::format("{}, ms", part),
        fmt::format("{:.3f}", 1e3 * number(predicted["seconds_by_phase"].value(part, json(0.0)))),
        fmt::format("{:.3f}", 1e3 * number(summary["seconds_by_phase"][part])));
  const json& lanes = summary["pipeline"];
  if (lanes["overlapped"].get<bool>()) {
    row("critical path, ms", fmt::format("{:.3f}", 1e3 * number(predicted["critical_path_seconds"])),
        fmt::format("{:.3f}", 1e3 * number(lanes["critical_path_seconds"])));
    row("hidden of exchange, ms", "", fmt::format("{:.3f}", 1e3 * number(lanes["hidden_seconds"])));
  }
  row("iteration, ms", fmt::format("{:.3f}", 1e3 * number(predicted["seconds_per_iteration"])),
      fmt::format("{:.3f}", 1e3 * number(summary["seconds_per_iteration"])));
}

/// Says where prediction and count are further apart than the theory's own error, and what usually is the reason.
void warn_of_deviations(const json& summary) {
  constexpr double kBytesTolerance = 0.05, kSecondsTolerance = 0.15;
  const double bytes = number(summary["bytes_per_iteration"]["total"]);
  const double expected_bytes = number(summary["predicted"]["bytes_per_iteration"]["total"]);
  if (expected_bytes > 0 && std::abs(bytes / expected_bytes - 1) > kBytesTolerance)
    spdlog::warn(
        "bytes per iteration are {:+.1f} % off the prediction: the data drifted from what was counted, or the counted "
        "sample was small "
        "(data.count_samples, data.counts)",
        100 * (bytes / expected_bytes - 1));
  const double seconds = number(summary["seconds_per_iteration"]);
  const double expected_seconds = number(summary["predicted"]["seconds_per_iteration"]);
  if (expected_seconds > 0 && std::abs(seconds / expected_seconds - 1) > kSecondsTolerance)
    spdlog::warn(
        "an iteration takes {:+.0f} % against the predicted time: other work on the machine while it was calibrated or "
        "trained, or rates of "
        "a topology file that are not this machine's (sparrow calibrate)",
        100 * (seconds / expected_seconds - 1));
}

void print_table(const json& summary, const std::string& output_dir) {
  const auto row = [](const std::string& name, const std::string& value) { fmt::print("  {:<28}{}\n", name, value); };
  fmt::print("\n");
  if (summary.contains("eval")) {
    row("AUC (held out)", fmt::format("{:.4f}", number(summary["eval"]["auc"])));
    row("log loss (held out)", fmt::format("{:.4f}", number(summary["eval"]["logloss"])));
  }
  row("training loss", fmt::format("{:.4f}", number(summary["train_loss"])));
  row("samples", fmt::format("{}", summary["samples"].get<int64_t>()));
  row("samples/s", fmt::format("{:.0f}", number(summary["samples_per_second"])));
  row("bytes sent per iteration",
      fmt::format("{} per rank (mean of {} ranks)", human_bytes(number(summary["bytes_per_iteration"]["total"])),
                  summary["ranks"].get<int>()));
  row("distinct rows per iteration",
      fmt::format("{:.0f} per rank, of {:.0f} lookups", number(summary["distinct_rows_per_iteration"]),
                  number(summary["lookups_per_iteration"])));
  if (summary["steps"].get<int64_t>() > 0) print_ledger(summary);
  fmt::print("\n");
  row("results", output_dir);
  std::fflush(stdout);
}

}  // namespace

void write_summary(Comm& comm, const RunResult& result, const std::string& path) {
  const Ledger& ledger = result.ledger;
  const auto iterations = static_cast<double>(std::max<int64_t>(1, ledger.iterations));
  json summary{{"version", kVersion},
               {"backend", result.backend},
               {"ranks", result.ranks},
               {"samples", result.samples},
               {"steps", result.steps},
               {"seconds", result.seconds},
               {"samples_per_second", result.seconds > 0 ? static_cast<double>(result.samples) / result.seconds : 0.0},
               {"train_loss", result.train_loss},
               {"skipped_lines", result.skipped_lines}};
  if (result.eval) {
    summary["eval"] = {{"auc", result.eval->auc},
                       {"logloss", result.eval->logloss},
                       {"accuracy", result.eval->accuracy},
                       {"samples", result.eval->samples}};
  }
  summary["bytes_per_iteration"] = bytes_per_iteration(comm, ledger, iterations);
  summary["bytes_by_stage"] = bytes_by_stage(comm, ledger, iterations);
  const auto store_bytes = [&](int64_t bytes) {
    return over_ranks(comm, static_cast<double>(bytes) / iterations).mean;
  };
  summary["store_bytes_per_iteration"] = {{"read", store_bytes(ledger.store_read_bytes)},
                                          {"written", store_bytes(ledger.store_written_bytes)}};
  summary["row_memory_bytes"] = over_ranks(comm, static_cast<double>(result.row_bytes)).max;
  const double planned = over_ranks(comm, static_cast<double>(result.planned_memory_bytes)).max;
  const double used = over_ranks(comm, static_cast<double>(result.used_memory_bytes)).max;
  if (planned > 0) summary["device_memory_bytes"] = {{"planned", planned}, {"used", used}};
  summary["fetched_buffer_bytes"] = over_ranks(comm, static_cast<double>(result.fetched_buffer_bytes)).max;
  summary["distinct_rows_per_iteration"] =
      over_ranks(comm, static_cast<double>(ledger.distinct_rows) / iterations).mean;
  summary["lookups_per_iteration"] = over_ranks(comm, static_cast<double>(ledger.lookups) / iterations).mean;
  summary["seconds_per_iteration"] = result.seconds / iterations;
  for (int part = 0; part < kParts; ++part)
    summary["seconds_by_phase"][part_name(static_cast<Part>(part))] =
        over_ranks(comm, ledger.seconds_of(static_cast<Part>(part)) / iterations).mean;
  summary["pipeline"] = pipeline(comm, result, iterations);
  summary["predicted"] = predicted(result.predicted);
  const json replanning = replanning_summary(comm, result);
  if (!replanning.is_null()) summary["replanning"] = replanning;
  const OverRanks memory = over_ranks(comm, static_cast<double>(peak_memory_bytes()));
  summary["peak_memory_bytes"] = memory.max;
  if (comm.rank() == 0) {
    write_whole(path, summary.dump(2) + "\n");
    print_table(summary, result.output_dir);
    // Where plans have changed, no prediction is of the whole run.
    if (ledger.iterations > 0 && result.migrated.positions == 0) warn_of_deviations(summary);
  }
  barrier(comm);
}

}  // namespace sparrow
