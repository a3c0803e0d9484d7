// Whole runs on ranks that are threads, and what they leave in their folder.
#pragma once

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "run/training_run.hpp"
#include "test/data/support.hpp"
#include "test/support/thread_comm.hpp"

namespace sparrow::test {

/// Trains as the options say. Returns the result of rank 0; gives up after two minutes.
inline RunResult run_on_ranks(const RunOptions& options, int ranks) {
  RunResult result;
  run_ranks(
      ranks,
      [&](Comm& comm) {
        const auto backend = make_host_backend(1);
        RunResult mine = run_training(options, RankContext::on_host(*backend, comm), {0, comm.rank(), comm.size()});
        if (comm.rank() == 0) result = mine;
      },
      120);
  return result;
}

inline nlohmann::json summary_of(const RunOptions& options) {
  return nlohmann::json::parse(read_file(options.output.dir + "/summary.json"));
}

/// The losses that a run wrote, in their order.
inline std::vector<double> losses_of(const RunOptions& options) {
  std::vector<double> losses;
  std::istringstream text(read_file(options.output.dir + "/metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    const nlohmann::json record = nlohmann::json::parse(line);
    if (record.contains("loss")) losses.push_back(record["loss"]);
  }
  return losses;
}

}  // namespace sparrow::test
