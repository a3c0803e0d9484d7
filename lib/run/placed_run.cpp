#include "run/placed_run.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "data/parts.hpp"
#include "placement/cost/cost_model.hpp"
#include "run/run_system.hpp"

namespace sparrow {

namespace {

TrainerOptions trainer_options(Comm& comm, const PlanningProblem& problem, const SystemShape& system) {
  const RunOptions& run = problem.options;
  const TableShapes& shapes = problem.shapes;
  TrainerOptions options;
  options.model = ModelShape(run.model, shapes.dense_features, shapes.tables());
  options.optimizer = run.optimizer;
  options.precision = run.system.precision;
  options.wire = run.system.wire;
  options.seed = run.train.seed;
  options.offloaded.folder = offload_folder(run);
  options.overlapped = run.system.overlapped;
  const std::vector<double> shares = batch_shares(run, system);
  std::vector<int64_t>& samples = options.limits.samples;
  for (int r = 0; r < comm.size(); ++r)  // a short batch may round the other way, hence one more
    samples.push_back(part_of_batch(run.train.global_batch, r, comm.size(), shares).size() + 1);
  for (int t = 0; t < shapes.tables(); ++t) options.limits.lookups.push_back(shapes.bag_size(t));
  options.limits.with_offsets = !shapes.bag_sizes.empty();
  if (run.placement.replan_every > 0) {
    options.room = room_for_rows(system, make_workload(problem), comm.rank());
    options.most_moved = std::max<int64_t>(  // a batch's worth at a time
        comm.size(), *std::max_element(samples.begin(), samples.end()) * shapes.lookups_per_sample());
  }
  return options;
}

/// Places the rows of one run by one plan or another.
struct Placing {
  const RankContext& context;
  const PlanningProblem& problem;
  const Tables& tables;
  SystemShape& system;

  PlannedRun plan() const { return plan_run(context.comm, system, problem); }

  PlacedRun placed(PlannedRun planned) const {
    TrainerOptions options = trainer_options(context.comm, problem, system);
    Directory directory(tables, system.hierarchy, planned.resolved, context.comm.rank(), options.room);
    MemoryPlan memory = plan_memory(context.backend, directory, options);
    return {std::move(planned), std::move(options), std::move(directory), std::move(memory)};
  }

  /// Says what the parts of memory need where planning finds no plan.
  PlannedRun plan_or_explain(const MemoryLack& lack) const {
    try {
      return plan();
    } catch (const Error& error) {
      if (lack.bytes > 0) fail("{}\n{}", error.what(), lack.why);
      PlannedRun held;
      held.resolved = ResolvedPlan::uniform(tables, system.hierarchy, 0);
      const MemoryPlan memory = placed(std::move(held)).memory;
      fail("{}\nif every row were held by one rank, rank {} would need\n{}", error.what(), context.comm.rank(),
           describe(memory.needs, memory.budget));
    }
  }

  /// Leaves rows `room` bytes at most on every rank.
  void bound_rows(int64_t room) const {
    const placement::CostModel model(system.topology, make_workload(problem));
    for (const int type : std::set<int>(system.rank_type.begin(), system.rank_type.end())) {
      int64_t& capacity = system.topology.domains[type].stores.at(0).capacity_bytes;
      capacity = std::min(capacity, room + static_cast<int64_t>(model.reserved({type, 0})));
    }
  }
};

}  // namespace

PlacedRun plan_within_memory(const RankContext& context, const PlanningProblem& problem, const Tables& tables,
                             SystemShape& system) {
  constexpr int kAttempts = 10;
  const Placing placing{context, problem, tables, system};
  if (context.backend.device_is_host()) return placing.placed(placing.plan());
  MemoryLack lack;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    PlacedRun run = placing.placed(placing.plan_or_explain(lack));
    const MemoryByPart& needs = run.memory.needs;
    lack = lack_of_memory(context.comm, needs, run.memory.budget);
    if (lack.bytes == 0) {
      context.backend.restart_most_memory();  // what is used from here on is what was planned
      return run;
    }
    const std::vector<int64_t> rows =
        all_gather(context.comm, needs.of(MemoryPart::rows) + needs.of(MemoryPart::row_state));
    const int64_t room = *std::max_element(rows.begin(), rows.end()) - lack.bytes;
    if (room < 0) break;
    placing.bound_rows(room);
  }
  fail("{}", lack.why);
}

}  // namespace sparrow
