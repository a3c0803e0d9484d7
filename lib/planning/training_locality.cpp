#include "planning/training_locality.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/timer.hpp"
#include "comm/collectives.hpp"
#include "config/locality_file.hpp"
#include "data/loader.hpp"
#include "planning/plan_run.hpp"

namespace sparrow {

using placement::LocalityMeasurement;

namespace {

std::vector<int64_t> domains_of(const Hierarchy& hierarchy) {
  std::vector<int64_t> domains;
  for (int level = 1; level <= hierarchy.depth(); ++level) domains.push_back(hierarchy.domains(level));
  return domains;
}

LocalityEffort effort_of(const RunOptions& options, const TrainingData& data, const AssignedSystem& system,
                         int64_t most_lookups) {
  return locality_effort(options.train.global_batch, system.hierarchy.ranks(), data.shapes.lookups_per_sample(),
                         data.train_range.size(), system.run_batches, most_lookups);
}

}  // namespace

MeasuredLocality measure_locality(const RunOptions& options, const TrainingData& data, const AssignedSystem& system,
                                  int64_t most_lookups) {
  const LocalityEffort effort = effort_of(options, data, system, most_lookups);
  RunOptions simulated = options;
  simulated.train.global_batch = effort.batch;
  const placement::Workload workload = make_workload(simulated, data.shapes, data.counts.tables);
  LocalityMeter meter({.workload = workload,
                       .hierarchy = system.hierarchy,
                       .shares = system.shares,
                       .assignment = system.assignment,
                       .first_use = system.first_use},
                      effort.first_counted);
  LoaderOptions loader;
  loader.shapes = data.shapes;
  loader.global_batch = effort.batch;
  loader.shuffle_window = options.data.shuffle_window;
  loader.seed = options.train.seed;
  Loader batches(data.train, data.train_range, data.positions, loader);
  for (int64_t k = 0; k < effort.batches; ++k) {
    const Batch* batch = batches.next();
    if (batch == nullptr || batch->samples < effort.batch) break;
    meter.add(*batch);
  }
  MeasuredLocality found{meter.measurement(), meter.moves(), meter.by_chance(), meter.counted() * effort.batch};
  found.measurement.generated = options.data.generate.has_value();
  return found;
}

bool wants_locality(const RunOptions& options, int ranks) {
  const PlacementOptions& placement = options.placement;
  return ranks > 1 && options.data.split == DataSplit::batches &&
         (placement.assignment == AssignmentChoice::local || placement.holders.word == HolderChoice::first_use ||
          (placement.assignment == AssignmentChoice::automatic && !placement.strategy));
}

namespace {

/// What an earlier start of the run measured, if it was the same.
std::optional<LocalityMeasurement> kept(const std::string& path, const AssignedSystem& system, int64_t batch,
                                        int tables) {
  if (!std::filesystem::exists(path)) return {};
  placement::LocalityProfile profile = load_locality(path);
  LocalityMeasurement& found = profile.measurements.front();
  const bool same = found.domains == domains_of(system.hierarchy) && profile.tables() == tables &&
                    found.global_batch == batch && found.delay == system.assignment.delay &&
                    found.passes == system.assignment.passes && found.first_use == system.first_use;
  if (!same) return {};
  return std::move(found);
}

AssignedSystem system_of(const RunOptions& options, const SystemShape& shape, const std::vector<double>& shares,
                         int64_t run_batches) {
  const PlacementOptions& placement = options.placement;
  AssignedSystem system{.hierarchy = shape.hierarchy, .shares = shares, .run_batches = run_batches};
  system.assignment.delay = std::clamp(placement.assignment_delay, 1, shape.hierarchy.ranks());
  if (placement.assignment_passes >= 0) system.assignment.passes = placement.assignment_passes;
  system.first_use = placement.holders.word != HolderChoice::arithmetic;
  return system;
}

}  // namespace

placement::Locality locality_of_run(Comm& comm, const RunOptions& options, const TrainingData& data,
                                    const SystemShape& shape, const std::vector<double>& shares, int64_t run_batches,
                                    const std::string& folder) {
  if (!wants_locality(options, comm.size()) || shape.hierarchy.depth() == 0 || data.train_range.size() < comm.size())
    return {};
  placement::Locality locality;
  if (comm.rank() == 0) {
    const AssignedSystem system = system_of(options, shape, shares, run_batches);
    const std::string path = folder + "/locality.json";
    placement::LocalityProfile profile{"training data of the run", {}};
    const int64_t batch = effort_of(options, data, system, kMostLookups).batch;
    if (auto found = kept(path, system, batch, data.shapes.tables())) {
      profile.measurements.push_back(std::move(*found));
    } else {
      const Timer timer;
      profile.measurements.push_back(measure_locality(options, data, system).measurement);
      const LocalityMeasurement& m = profile.measurements.front();
      spdlog::info("measured how samples go to their rows on {} batches of {} in {:.1f} s", m.batches, m.global_batch,
                   timer.seconds());
      std::filesystem::create_directories(folder);
      save_locality(path, profile);
      profile = load_locality(path);  // rounded as those that continue read it
    }
    placement::LocalityQuestion question;
    question.batches = static_cast<double>(run_batches);
    question.counted = options.data.counts.empty() && options.data.count_samples >= data.train_range.size() &&
                       run_batches * options.train.global_batch >= data.train_range.size();
    question.dense_features = static_cast<double>(data.shapes.dense_features);
    locality = placement::locality_for(profile, shape.topology, make_workload(options, data.shapes, data.counts.tables),
                                       question)
                   .locality;
  }
  barrier(comm);
  return locality;
}

}  // namespace sparrow
