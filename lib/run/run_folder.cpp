#include "run/run_folder.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/text_file.hpp"
#include "checkpoint/checkpoint.hpp"
#include "comm/collectives.hpp"
#include "config/plan_file.hpp"
#include "config/topology_file.hpp"
#include "planning/replanner.hpp"

namespace sparrow {

namespace fs = std::filesystem;

namespace {

/// Makes the output folder, emptied of an earlier run unless this one continues it. Returns the checkpoint to continue
/// from, or "".
std::string prepare_output(Comm& comm, const OutputOptions& output) {
  std::string checkpoint;
  if (comm.rank() == 0) {
    fs::create_directories(output.dir);
    checkpoint = output.resume.given;
    if (output.resume == Resume::automatic) checkpoint = newest_checkpoint(output.dir).value_or("");
    if (checkpoint.empty())
      for (const char* name : {"start", "checkpoints", "metrics.jsonl", "summary.json"})
        fs::remove_all(output.dir + "/" + name);
  }
  return broadcast_string(comm, checkpoint, 0);
}

}  // namespace

RunFolder::RunFolder(Comm& comm, const RunOptions& options)
    : options_(options), ranks_(comm.size()), checkpoint_(prepare_output(comm, options.output)) {}

bool RunFolder::began_with_as_many_ranks() const {
  const std::string topology = start() + "/topology.yaml";
  return fs::exists(topology) && placement::Tree(load_topology(topology)).ranks() == ranks_;
}

RunOptions RunFolder::with_saved_decisions() const {
  RunOptions options = options_;
  const std::string plan = start() + "/plan.json";
  if (!continues() || !fs::exists(plan) || !began_with_as_many_ranks()) return options;
  options.system.topology = start() + "/topology.yaml";
  const std::string replanned = saved_replanning();
  options.placement.plan = replanned.empty() ? plan : Replanner::saved_plan_path(replanned);
  return options;
}

std::string RunFolder::saved_replanning() const {
  const std::string folder = checkpoint_ + "/replanning";
  if (!continues() || options_.placement.replan_every == 0 || !fs::exists(folder)) return "";
  return began_with_as_many_ranks() ? folder : "";
}

void RunFolder::save_decisions(const placement::Plan& plan, const placement::Topology& topology) const {
  save_plan(start() + "/plan.json", plan, topology);
  write_text_file(start() + "/topology.yaml",
                  write_topology(topology, "The system of this run, as it was measured or given."));
}

void RunFolder::remove_summary() const {
  fs::remove(summary());
}

void RunFolder::cut_metrics(int64_t samples) const {
  if (!fs::exists(metrics())) return;
  std::istringstream text(read_text_file(metrics()));
  std::string kept;
  for (std::string line; std::getline(text, line);) {
    const nlohmann::json record = nlohmann::json::parse(line, nullptr, false);
    if (record.is_object() && record.value("samples", samples + 1) <= samples) kept += line + '\n';
  }
  write_text_file(metrics(), kept);
}

}  // namespace sparrow
