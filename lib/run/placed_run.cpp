#include "run/placed_run.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "data/parts.hpp"
#include "placement/cost/cost_model.hpp"
#include "run/node_memory.hpp"
#include "run/run_system.hpp"
#include "train/row_reader.hpp"

namespace sparrow {

namespace {

/// How many rows the memories of a rank of the run can hold beside its buffers, at most all. Nothing for the slower
/// store where the topology has none.
SlotRoom room_for_rows(const SystemShape& shape, const placement::Workload& workload, int rank) {
  const placement::CostModel model(shape.topology, workload);
  const placement::Table& table = workload.tables.at(0);
  int64_t rows = 0;
  for (const placement::Table& of : workload.tables) rows += of.access.total_rows();
  const auto fit = [&](double bytes) {
    const double rows_of = std::max(0.0, bytes / static_cast<double>(table.row_bytes + table.state_bytes));
    return rows_of < static_cast<double>(rows) ? static_cast<int64_t>(rows_of) : rows;
  };
  const int type = shape.rank_type[rank];
  SlotRoom room{fit(model.capacity({type, 0})), 0};
  const placement::Tree& tree = model.tree();
  for (int level = 0; level <= tree.depth(); ++level) {  // slower stores, shared by the ranks below them
    const int domain = tree.ancestor(type, level);
    const auto& stores = tree.domain(domain).stores;
    for (size_t s = tree.is_rank(domain) ? 1 : 0; s < stores.size(); ++s)
      room.offloaded = std::max(room.offloaded, fit(static_cast<double>(stores[s].capacity_bytes) /
                                                    static_cast<double>(tree.ranks_in(domain))));
  }
  return room;
}

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
  int node;
  const PlanningProblem& problem;
  const Tables& tables;
  SystemShape& system;
  std::optional<NodeMemory> map_memory = {};

  PlannedRun plan() const { return plan_run(context.comm, system, problem); }

  /// Whether rows are mapped by this plan, or may be by one that follows it (which assigns samples as this one does).
  bool may_be_mapped(const placement::Plan& plan) const {
    const PlacementOptions& options = problem.options.placement;
    const bool later =
        options.replan_every > 0 && (options.holders == HolderChoice::first_use ||
                                     (options.holders == HolderChoice::automatic && plan.assignment.local));
    return later || std::any_of(plan.tables.begin(), plan.tables.end(),
                                [](const placement::TablePlan& table) { return table.holders.first_use; });
  }

  /// Collective.
  std::unique_ptr<HolderMap> make_map(const PlannedRun& planned) {
    constexpr int64_t kMostAhead = 32;  // batches that are settled before the one that is trained
    if (!may_be_mapped(planned.plan)) return nullptr;
    Comm& comm = context.comm;
    if (!map_memory) map_memory = node_memory(comm, node, HolderMap::bytes(tables.total_rows(), comm.size()));
    // What other rows leave of the rank's memory:
    const int64_t arithmetic =
        Directory(tables, system.hierarchy, planned.resolved, comm.rank()).held().device -
        mapped_rows_by_arithmetic(planned.resolved, comm.size())[static_cast<size_t>(comm.rank())];
    const int64_t all = room_for_rows(system, make_workload(problem), comm.rank()).device;
    const std::vector<int64_t> limit = all_gather(comm, std::max<int64_t>(0, all - arithmetic));
    const int64_t delay = problem.options.placement.replan_every > 0 ? comm.size() : planned.plan.assignment.delay;
    return std::make_unique<HolderMap>(map_memory->data, tables.total_rows(),
                                       room_of_mapped_rows(planned.resolved, limit), map_memory->leader,
                                       delay + kMostAhead);
  }

  /// Collective.
  PlacedRun placed(PlannedRun planned) {
    std::unique_ptr<HolderMap> map = make_map(planned);
    return placed(std::move(planned), std::move(map));
  }

  PlacedRun placed(PlannedRun planned, std::unique_ptr<HolderMap> map) const {
    TrainerOptions options = trainer_options(context.comm, problem, system);
    const int rank = context.comm.rank(), ranks = context.comm.size();
    Mapping mapping;
    if (map)
      mapping = {map.get(), map->room()[static_cast<size_t>(rank)],
                 std::min(tables.total_rows(),
                          std::max(bound_lookups(options.limits), RowReader::most_guests(tables, ranks)))};
    Directory directory(tables, system.hierarchy, planned.resolved, rank, options.room, mapping);
    MemoryPlan memory = plan_memory(context.backend, directory, options);
    return {std::move(planned), std::move(options), std::move(map), std::move(directory), std::move(memory)};
  }

  /// Says what the parts of memory need where planning finds no plan.
  PlannedRun plan_or_explain(const MemoryLack& lack) const {
    try {
      return plan();
    } catch (const Error& error) {
      if (lack.bytes > 0) fail("{}\n{}", error.what(), lack.why);
      PlannedRun held;
      held.resolved = ResolvedPlan::uniform(tables, system.hierarchy, 0);
      const MemoryPlan memory = placed(std::move(held), nullptr).memory;
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

PlacedRun plan_within_memory(const RankContext& context, int node, const PlanningProblem& problem, const Tables& tables,
                             SystemShape& system) {
  constexpr int kAttempts = 10, kAssigned = 2;
  PlanningProblem asked = problem;
  const SystemShape found = system;
  Placing placing{context, node, asked, tables, system};
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
    PlacementOptions& options = asked.options.placement;
    if (options.assignment == AssignmentChoice::automatic && run.planned.plan.in_turn() && attempt + 1 == kAssigned) {
      // Slots for rows that may come to any rank take memory that contiguous parts do not.
      options.assignment = AssignmentChoice::contiguous;
      if (options.holders == HolderChoice::automatic) options.holders = HolderChoice::arithmetic;
      system = found;
      lack = {};
      continue;
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
