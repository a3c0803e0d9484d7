#include "run/closing_table.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/human.hpp"

namespace sparrow {

using nlohmann::json;

namespace {

double number(const json& value) {
  return value.is_number() ? value.get<double>() : NAN;
}

/// What was predicted beside what was counted and measured.
void print_ledger(const json& summary) {
  const json& predicted = summary["predicted"];
  const auto print = [](const std::string& name, const std::string& expected, const std::string& counted) {
    fmt::print("  {:<28}{:>14}{:>14}\n", name, expected, counted);
  };
  const auto row = [&](const std::string& name, const json& expected, const json& counted, const auto& text) {
    print(name, text(number(expected)), text(number(counted)));
  };
  const auto whole = [](double value) { return fmt::format("{:.0f}", value); };
  const auto ms = [](double seconds) { return fmt::format("{:.3f}", 1e3 * seconds); };
  fmt::print("\n");
  print("per iteration and rank", "predicted", "counted");
  for (const char* phase : {"ids", "rows", "gradients", "allreduce", "total"})
    row(fmt::format("{} sent", phase), predicted["bytes_per_iteration"][phase], summary["bytes_per_iteration"][phase],
        human_bytes);
  row("distinct rows", predicted["distinct_rows_per_iteration"], summary["distinct_rows_per_iteration"], whole);
  for (const char* moved : {"read", "written"})
    if (const json& counted = summary["store_bytes_per_iteration"][moved]; number(counted) > 0)
      row(fmt::format("slower store, {}", moved), predicted["store_bytes_per_iteration"][moved], counted, human_bytes);
  for (const char* part : {"ids", "store", "rows", "compute", "gradients", "allreduce", "update"})
    row(fmt::format("{}, ms", part), predicted["seconds_by_phase"].value(part, json(0.0)),
        summary["seconds_by_phase"][part], ms);
  const json& lanes = summary["pipeline"];
  if (lanes["overlapped"].get<bool>()) {
    row("critical path, ms", predicted["critical_path_seconds"], lanes["critical_path_seconds"], ms);
    print("hidden of exchange, ms", "", ms(number(lanes["hidden_seconds"])));
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
        "bytes per iteration are {:+.1f} % off the prediction: the data drifted from what was counted, or the counted "
        "sample was small (data.count_samples, data.counts)",
        100 * bytes);
  const double seconds = deviation(summary["seconds_per_iteration"], predicted["seconds_per_iteration"]);
  if (std::abs(seconds) > kSecondsTolerance)
    spdlog::warn(
        "an iteration takes {:+.0f} % against the predicted time: other work on the machine while it was calibrated or "
        "trained, or rates of a topology file that are not this machine's (sparrow calibrate)",
        100 * seconds);
}

void print_table(const json& summary, const std::string& output_dir) {
  fmt::print("\n");
  if (summary.contains("eval")) {
    print_row("AUC (held out)", fmt::format("{:.4f}", number(summary["eval"]["auc"])));
    print_row("log loss (held out)", fmt::format("{:.4f}", number(summary["eval"]["logloss"])));
  }
  if (summary["train_loss"].is_null())
    print_row("training", "nothing was left to train");
  else
    print_training(summary);
  fmt::print("\n");
  print_row("results", output_dir);
  std::fflush(stdout);
}

}  // namespace sparrow
