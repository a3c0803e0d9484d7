#include "run/run_setup.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "placement/cost/cost_model.hpp"
#include "run/run_system.hpp"
#include "train/memory_plan.hpp"

namespace sparrow {

int64_t samples_to_train(const RunOptions& options, const TrainingData& data) {
  const int64_t per_pass = data.train_range.size(), batch = options.train.global_batch;
  if (options.train.samples == 0) return per_pass * options.train.epochs;
  const int64_t whole = options.train.samples / per_pass * per_pass;
  return whole + std::min(per_pass, (options.train.samples - whole + batch - 1) / batch * batch);
}

LoaderOptions loader_options(const RunParts& run, const SystemShape& system, int64_t epoch) {
  LoaderOptions options;
  options.shapes = run.data.shapes;
  options.global_batch = run.options.train.global_batch;
  options.rank = run.context.comm.rank();
  options.ranks = run.context.comm.size();
  options.shares = batch_shares(run.options, system);
  options.shuffle_window = run.options.data.shuffle_window;
  options.split_data = run.options.data.split == "ranks";
  options.seed = run.options.train.seed;
  options.epoch = epoch;
  return options;
}

LoaderOptions evaluation_options(const RunParts& run, const SystemShape& system) {
  LoaderOptions options = loader_options(run, system, 0);
  options.shuffle_window = 0;
  options.split_data = false;
  return options;
}

TrainerOptions trainer_options(const RunParts& run, const SystemShape& system) {
  const RunOptions& of_run = run.options;
  const TableShapes& shapes = run.data.shapes;
  const int rank = run.context.comm.rank(), ranks = run.context.comm.size();
  TrainerOptions options;
  options.model = ModelShape(of_run.model, shapes.dense_features, shapes.tables());
  options.optimizer = of_run.optimizer;
  options.precision = of_run.system.precision;
  options.wire = of_run.system.wire;
  options.seed = of_run.train.seed;
  options.offloaded.folder = offload_folder(of_run);
  options.overlapped = of_run.system.overlapped;
  const std::vector<double> shares = batch_shares(of_run, system);
  for (int r = 0; r < ranks; ++r)  // a short batch may round the other way, hence one more
    options.limits.samples.push_back(part_of_batch(of_run.train.global_batch, r, ranks, shares).size() + 1);
  for (int t = 0; t < shapes.tables(); ++t) options.limits.lookups.push_back(shapes.bag_size(t));
  options.limits.with_offsets = !shapes.bag_sizes.empty();
  if (of_run.placement.replan_every > 0) {
    options.room = room_for_rows(system, make_workload({of_run, shapes, run.data.counts}), rank);
    const std::vector<int64_t>& samples = options.limits.samples;
    options.most_moved = std::max<int64_t>(  // a batch's worth at a time
        ranks, *std::max_element(samples.begin(), samples.end()) * shapes.lookups_per_sample());
  }
  return options;
}

namespace {

PlacedRun placed(const RunParts& run, const SystemShape& system, PlannedRun planned) {
  const TrainerOptions options = trainer_options(run, system);
  Directory directory(run.tables, system.hierarchy, planned.copies, run.context.comm.rank(), options.room);
  MemoryPlan memory = plan_memory(run.context.backend, directory, options);
  return {std::move(planned), std::move(directory), std::move(memory)};
}

/// Plans if device memory is divided up before training: says what the parts need where planning finds no plan.
PlannedRun plan_or_explain(const RunParts& run, const RunOptions& options, const SystemShape& system,
                           const MemoryLack& lack) {
  Comm& comm = run.context.comm;
  try {
    return plan_run(comm, system, {options, run.data.shapes, run.data.counts});
  } catch (const Error& error) {
    if (lack.bytes > 0) fail("{}\n{}", error.what(), lack.why);
    PlannedRun held;
    held.copies = CopyPlan::uniform(run.tables, system.hierarchy, 0);
    const MemoryPlan memory = placed(run, system, std::move(held)).memory;
    fail("{}\nif every row were held by one rank, rank {} would need\n{}", error.what(), comm.rank(),
         describe(memory.needs, memory.budget));
  }
}

/// Leaves rows `room` bytes at most on every rank.
void bound_rows(SystemShape& system, const placement::Workload& workload, int64_t room) {
  const placement::CostModel model(system.topology, workload);
  const std::set<int> types(system.rank_type.begin(), system.rank_type.end());
  for (const int type : types) {
    int64_t& capacity = system.topology.domains[type].stores.at(0).capacity_bytes;
    capacity = std::min(capacity, room + static_cast<int64_t>(model.reserved({type, 0})));
  }
}

}  // namespace

PlacedRun plan_within_memory(const RunParts& run, const RunOptions& options, SystemShape& system) {
  constexpr int kAttempts = 10;
  Comm& comm = run.context.comm;
  if (run.context.backend.device_is_host())
    return placed(run, system, plan_run(comm, system, {options, run.data.shapes, run.data.counts}));
  MemoryLack lack;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    PlacedRun place = placed(run, system, plan_or_explain(run, options, system, lack));
    const MemoryByPart& needs = place.memory.needs;
    lack = lack_of_memory(comm, needs, place.memory.budget);
    if (lack.bytes == 0) {
      run.context.backend.restart_most_memory();  // what is used from here on is what was planned
      return place;
    }
    const std::vector<int64_t> rows = all_gather(comm, needs.of(MemoryPart::rows) + needs.of(MemoryPart::row_state));
    const int64_t room = *std::max_element(rows.begin(), rows.end()) - lack.bytes;
    if (room < 0) break;
    bound_rows(system, make_workload({options, run.data.shapes, run.data.counts}), room);
  }
  fail("{}", lack.why);
}

}  // namespace sparrow
