#include "run/run.hpp"

#include <algorithm>

#include "assign/assigned_batches.hpp"
#include "base/error.hpp"
#include "exchange/stage_comms.hpp"
#include "planning/training_locality.hpp"
#include "run/placed_run.hpp"
#include "run/run_system.hpp"

namespace sparrow {

Run::Run(const RunOptions& run_options, const RankContext& rank_context, const NodePlace& place,
         const std::string& counts_folder)
    : options(run_options),
      context(rank_context),
      data(open_training_data(
          context.comm, place, options.data,
          options.system.scratch.empty() ? options.output.dir + "/scratch" : options.system.scratch)),
      tables(data.shapes.rows, options.model.embedding_dim),
      system(find_system(context, place.node, options)),
      id_of([this](int table, int64_t position) { return data.ids.position(table, position); }),
      position_of([this](int table, int64_t id) { return data.positions.position(table, id); }) {
  count_accesses(context.comm, options.data, data_parts(options, system, data.train_range), counts_folder, data);
  system = with_access_groups(system, data.counts.group_of_rank);  // where ranks look up different rows
  const int64_t batches = (total_samples() + options.train.global_batch - 1) / options.train.global_batch;
  placement::Locality locality =
      locality_of_run(context.comm, options, data, system, batch_shares(options, system), batches, counts_folder);
  locality.on_own_cores = !context.backend.device_is_host();
  PlacedRun placed =
      plan_within_memory(context, place.node, {options, data.shapes, data.counts, locality}, tables, system);
  planned = std::move(placed.planned);
  holder_map = std::move(placed.holder_map);
  trainer =
      std::make_unique<Trainer>(context, std::move(placed.directory), std::move(placed.memory), placed.trainer, id_of);
}

int64_t Run::total_samples() const {
  const int64_t per_pass = data.train_range.size(), batch = options.train.global_batch;
  if (options.train.samples == 0) return per_pass * options.train.epochs;
  const int64_t whole = options.train.samples / per_pass * per_pass;
  return whole + std::min(per_pass, (options.train.samples - whole + batch - 1) / batch * batch);
}

LoaderOptions Run::loader_options() const {
  LoaderOptions loader;
  loader.shapes = data.shapes;
  loader.global_batch = options.train.global_batch;
  loader.rank = context.comm.rank();
  loader.ranks = context.comm.size();
  loader.shares = batch_shares(options, system);
  return loader;
}

std::unique_ptr<BatchSource> Run::training_batches(int64_t pass, int64_t first_batch) const {
  LoaderOptions loader = loader_options();
  loader.first_batch = first_batch;
  loader.split_data = options.data.split == DataSplit::ranks;
  loader.shuffle_window = options.data.shuffle_window;
  loader.seed = options.train.seed;
  loader.epoch = pass;
  if (planned.plan.in_turn()) return assigned_batches(pass, std::move(loader));
  return std::make_unique<Loader>(data.train, data.train_range, data.positions, std::move(loader));
}

std::unique_ptr<BatchSource> Run::assigned_batches(int64_t pass, LoaderOptions loader) const {
  if (loader.split_data)
    fail("data.split: ranks keeps samples where they are, but by the plan whole batches are read in turn");
  const Hierarchy& hierarchy = system.hierarchy;
  std::unique_ptr<Comm> comm = context.comm.split(0, context.comm.rank());
  comm->set_levels(parting_levels(hierarchy, comm->rank(), hierarchy.members(0, 0)));
  AssignedBatchesOptions assigned;
  assigned.assignment = planned.plan.assignment;
  assigned.tree = assigner_tree(hierarchy);
  assigned.first_step = trainer->steps();
  const int64_t left = total_samples() - pass * data.train_range.size();
  assigned.batches = (left + loader.global_batch - 1) / loader.global_batch;
  assigned.loader = std::move(loader);
  assigned.book = [&ledger = trainer->ledger()](const Traffic& sent) { ledger.add(sent); };
  return std::make_unique<AssignedBatches>(std::move(comm), data.train, data.train_range, data.positions, tables,
                                           RowPlaces(planned.resolved, tables, holder_map != nullptr), holder_map.get(),
                                           std::move(assigned));
}

std::unique_ptr<BatchSource> Run::held_out_batches() const {
  return std::make_unique<Loader>(data.eval_data(), data.eval_range, data.positions, loader_options());
}

}  // namespace sparrow
