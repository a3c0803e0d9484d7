#include "run/closing_table.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace sparrow {

using nlohmann::json;

namespace {

std::string human_bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB"};
  int unit = 0;
  for (; bytes >= 1000 && unit < 3; ++unit) bytes /= 1000;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 2, units[unit]);
}

double number(const json& value) {
  return value.is_number() ? value.get<double>() : NAN;
}

/// Predicted beside measured.
void print_ledger(const json& summary) {
  const json& predicted = summary["predicted"];
  fmt::print("\n  {:<28}{:>14}{:>14}\n", "per iteration and rank", "predicted", "measured");
  const auto row = [](const std::string& name, const std::string& expected, const std::string& measured) {
    fmt::print("  {:<28}{:>14}{:>14}\n", name, expected, measured);
  };
  for (const char* phase : {"ids", "rows", "gradients", "allreduce", "total"})
    row(fmt::format("{} sent", phase), human_bytes(number(predicted["bytes_per_iteration"][phase])),
        human_bytes(number(summary["bytes_per_iteration"][phase])));
  row("distinct rows", fmt::format("{:.0f}", number(predicted["distinct_rows_per_iteration"])),
      fmt::format("{:.0f}", number(summary["distinct_rows_per_iteration"])));
  for (const char* moved : {"read", "written"})
    if (number(summary["store_bytes_per_iteration"][moved]) > 0)
      row(fmt::format("offloaded rows {}", moved), human_bytes(number(predicted["store_bytes_per_iteration"][moved])),
          human_bytes(number(summary["store_bytes_per_iteration"][moved])));
  for (const char* part : {"ids", "store", "rows", "compute", "gradients", "allreduce", "update"})
    row(fmt::format("{}, ms", part),
        fmt::format("{:.3f}", 1e3 * number(predicted["seconds_by_phase"].value(part, json(0.0)))),
        fmt::format("{:.3f}", 1e3 * number(summary["seconds_by_phase"][part])));
  const json& lanes = summary["pipeline"];
  if (lanes["overlapped"].get<bool>()) {
    row("critical path, ms", fmt::format("{:.3f}", 1e3 * number(predicted["critical_path_seconds"])),
        fmt::format("{:.3f}", 1e3 * number(lanes["critical_path_seconds"])));
    row("exchange hidden, ms", "", fmt::format("{:.3f}", 1e3 * number(lanes["hidden_seconds"])));
  }
  row("iteration, ms", fmt::format("{:.3f}", 1e3 * number(predicted["seconds_per_iteration"])),
      fmt::format("{:.3f}", 1e3 * number(summary["seconds_per_iteration"])));
}

template <class Row>
void print_training(const json& summary, const Row& row) {
  row("training loss", fmt::format("{:.4f}", number(summary["train_loss"])));
  row("samples", fmt::format("{}", summary["samples"].get<int64_t>()));
  row("samples/s", fmt::format("{:.0f}", number(summary["samples_per_second"])));
  row("bytes sent per iteration",
      fmt::format("{} per rank (mean of {} ranks)", human_bytes(number(summary["bytes_per_iteration"]["total"])),
                  summary["ranks"].get<int>()));
  row("distinct rows per iteration",
      fmt::format("{:.0f} per rank, of {:.0f} lookups", number(summary["distinct_rows_per_iteration"]),
                  number(summary["lookups_per_iteration"])));
  print_ledger(summary);
}

}  // namespace

void warn_of_deviations(const json& summary) {
  constexpr double kBytesTolerance = 0.05, kSecondsTolerance = 0.15;
  const double bytes = number(summary["bytes_per_iteration"]["total"]);
  const double expected_bytes = number(summary["predicted"]["bytes_per_iteration"]["total"]);
  if (expected_bytes > 0 && std::abs(bytes / expected_bytes - 1) > kBytesTolerance)
    spdlog::warn(
        "{:.1f} % {} bytes per iteration than predicted: the data have drifted since rows were counted, or too few "
        "samples were counted (data.count_samples, data.counts)",
        100 * std::abs(bytes / expected_bytes - 1), bytes > expected_bytes ? "more" : "fewer");
  const double seconds = number(summary["seconds_per_iteration"]);
  const double expected_seconds = number(summary["predicted"]["seconds_per_iteration"]);
  if (expected_seconds > 0 && std::abs(seconds / expected_seconds - 1) > kSecondsTolerance)
    spdlog::warn(
        "iterations took {:.0f} % {} time than predicted: other processes ran during calibration or training, or the "
        "rates of the topology file are not those of this machine (sparrow calibrate)",
        100 * std::abs(seconds / expected_seconds - 1), seconds > expected_seconds ? "more" : "less");
}

void print_table(const json& summary, const std::string& output_dir) {
  const auto row = [](const std::string& name, const std::string& value) { fmt::print("  {:<28}{}\n", name, value); };
  fmt::print("\n");
  if (summary.contains("eval")) {
    row("AUC (held out)", fmt::format("{:.4f}", number(summary["eval"]["auc"])));
    row("log loss (held out)", fmt::format("{:.4f}", number(summary["eval"]["logloss"])));
  }
  if (summary["train_loss"].is_null()) {
    row("training", "already complete");
  } else {
    print_training(summary, row);
  }
  fmt::print("\n");
  row("results", output_dir);
  std::fflush(stdout);
}

}  // namespace sparrow
