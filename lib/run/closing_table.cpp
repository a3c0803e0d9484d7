#include "run/closing_table.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/human.hpp"
#include "base/phase.hpp"

namespace sparrow {

using nlohmann::json;

namespace {

double number(const json& value) {
  return value.is_number() ? value.get<double>() : NAN;
}

/// Predicted beside measured.
void print_ledger(const json& summary) {
  const json& predicted = summary["predicted"];
  const auto print = [](const std::string& name, const std::string& expected, const std::string& measured) {
    fmt::print("  {:<28}{:>14}{:>14}\n", name, expected, measured);
  };
  const auto row = [&](const std::string& name, const json& expected, const json& counted, const auto& text) {
    print(name, text(number(expected)), text(number(counted)));
  };
  const auto whole = [](double value) { return fmt::format("{:.0f}", value); };
  const auto ms = [](double seconds) { return fmt::format("{:.3f}", 1e3 * seconds); };
  fmt::print("\n");
  print("per iteration and rank", "predicted", "measured");
  for (const char* phase : {"ids", "rows", "gradients", "samples", "allreduce", "total"})
    row(fmt::format("{} sent", phase), predicted["bytes_per_iteration"][phase], summary["bytes_per_iteration"][phase],
        human_bytes);
  row("distinct rows", predicted["distinct_rows_per_iteration"], summary["distinct_rows_per_iteration"], whole);
  for (const char* moved : {"read", "written"})
    if (const json& counted = summary["store_bytes_per_iteration"][moved]; number(counted) > 0)
      row(fmt::format("offloaded rows {}", moved), predicted["store_bytes_per_iteration"][moved], counted, human_bytes);
  const json& measured = summary["seconds_by_phase"];
  for (const Phase phase : kModelledPhases)
    if (const char* name = phase_name(phase); measured.contains(name))  // samples move beside the rest
      row(fmt::format("{}, ms", name), predicted["seconds_by_phase"][name], measured[name], ms);
  const json& lanes = summary["pipeline"];
  if (lanes["overlapped"].get<bool>()) {
    row("critical path, ms", predicted["critical_path_seconds"], lanes["critical_path_seconds"], ms);
    print("exchange hidden, ms", "", ms(number(lanes["hidden_seconds"])));
  }
  row("iteration, ms", predicted["seconds_per_iteration"], summary["seconds_per_iteration"], ms);
}

void print_row(const std::string& name, const std::string& value) {
  fmt::print("  {:<28}{}\n", name, value);
}

void print_training(const json& summary) {
  print_row("training loss", fmt::format("{:.4f}", number(summary["train_loss"])));
  print_row("samples", fmt::format("{}", summary["samples"].get<int64_t>()));
  print_row("samples/s", fmt::format("{:.0f}", number(summary["samples_per_second"])));
  print_row("bytes sent per iteration",
            fmt::format("{} per rank (mean of {} ranks)", human_bytes(number(summary["bytes_per_iteration"]["total"])),
                        summary["ranks"].get<int>()));
  print_row("distinct rows per iteration",
            fmt::format("{:.0f} per rank, of {:.0f} lookups", number(summary["distinct_rows_per_iteration"]),
                        number(summary["lookups_per_iteration"])));
  print_ledger(summary);
}

/// measured / expected - 1, where something is expected.
double deviation(const json& measured, const json& expected) {
  return number(expected) > 0 ? number(measured) / number(expected) - 1 : 0;
}

}  // namespace

void warn_of_deviations(const json& summary) {
  constexpr double kBytesTolerance = 0.05, kSecondsTolerance = 0.15;
  const json& predicted = summary["predicted"];
  const double bytes = deviation(summary["bytes_per_iteration"]["total"], predicted["bytes_per_iteration"]["total"]);
  if (std::abs(bytes) > kBytesTolerance)
    spdlog::warn(
        "{:.1f} % {} bytes per iteration than predicted: the data have drifted since rows were counted, or too few "
        "samples were counted (data.count_samples, data.counts)",
        100 * std::abs(bytes), bytes > 0 ? "more" : "fewer");
  const double seconds = deviation(summary["seconds_per_iteration"], predicted["seconds_per_iteration"]);
  if (std::abs(seconds) > kSecondsTolerance)
    spdlog::warn(
        "iterations took {:.0f} % {} time than predicted: other processes ran during calibration or training, or the "
        "rates of the topology file are not those of this machine (sparrow calibrate)",
        100 * std::abs(seconds), seconds > 0 ? "more" : "less");
}

void print_table(const json& summary, const std::string& output_dir) {
  fmt::print("\n");
  if (summary.contains("eval")) {
    print_row("AUC (held out)", fmt::format("{:.4f}", number(summary["eval"]["auc"])));
    print_row("log loss (held out)", fmt::format("{:.4f}", number(summary["eval"]["logloss"])));
  }
  if (summary["train_loss"].is_null())
    print_row("training", "already complete");
  else
    print_training(summary);
  fmt::print("\n");
  print_row("results", output_dir);
  std::fflush(stdout);
}

}  // namespace sparrow
