#include "run/run_system.hpp"

#include <algorithm>
#include <numeric>

#include "access/training_data.hpp"
#include "base/error.hpp"
#include "calibrate/calibration.hpp"
#include "calibrate/store_calibration.hpp"
#include "comm/collectives.hpp"
#include "config/topology_file.hpp"
#include "planning/rank_types.hpp"

namespace sparrow {

namespace {

/// Whether a plan could put rows into slower stores: tables that fit into half of all memory stay there.
bool uses_slower_store(const RunOptions& options, int ranks, int64_t memory_bytes) {
  if (options.placement.strategy == placement::Strategy::fetched || !options.placement.plan.empty()) return true;
  const std::vector<int64_t> rows = table_shapes(options.data).rows;
  const int64_t dim = options.model.embedding_dim;
  const int64_t row_bytes = 4 * (dim + state_dim(options.optimizer.sparse.kind, dim));
  const double bytes =
      static_cast<double>(std::accumulate(rows.begin(), rows.end(), int64_t{0})) * static_cast<double>(row_bytes);
  return bytes > 0.5 * static_cast<double>(memory_bytes) * ranks;
}

StoreCalibrationOptions store_options(const RunOptions& options, int local_ranks, int64_t local_batch, int tables) {
  StoreCalibrationOptions store;
  store.folder = offload_folder(options);
  store.capacity = options.system.host_memory / local_ranks;
  store.local_ranks = local_ranks;
  store.dim = options.model.embedding_dim;
  store.state_dim = state_dim(options.optimizer.sparse.kind, store.dim);
  store.batch_rows = local_batch * tables / 8;
  return store;
}

placement::Topology launch_with_rates(const RankContext& context, int node, const RunOptions& options, bool complete) {
  Comm& comm = context.comm;
  std::vector<int> node_of;
  for (const int64_t other : all_gather(comm, int64_t{node})) node_of.push_back(static_cast<int>(other));
  CalibrationOptions calibration;
  const TableShapes shapes = table_shapes(options.data);
  calibration.model = ModelShape(options.model, shapes.dense_features, shapes.tables());
  calibration.precision = options.system.precision;
  calibration.wire = options.system.wire;
  calibration.local_batch = std::max<int64_t>(1, options.train.global_batch / comm.size());
  calibration.optimizer = options.optimizer;
  MachineRates rates = calibrate(context, node_of, calibration);
  const int64_t memory = options.system.device_memory > 0 ? options.system.device_memory : rates.memory_bytes;
  if (complete || uses_slower_store(options, comm.size(), memory)) {
    const auto local = static_cast<int>(std::count(node_of.begin(), node_of.end(), node));
    rates.slower_store =
        calibrate_store(context, store_options(options, local, calibration.local_batch, shapes.tables()));
  }
  return launch_topology(node_of, rates);
}

}  // namespace

std::string offload_folder(const RunOptions& options) {
  return options.system.scratch.empty() ? options.output.dir : options.system.scratch;
}

SystemShape find_system(const RankContext& context, int node, const RunOptions& options, bool complete) {
  Comm& comm = context.comm;
  const SystemShape shape =
      shape_of(options.system.topology == "auto" ? launch_with_rates(context, node, options, complete)
                                                 : load_topology(options.system.topology),
               comm.size());
  std::vector<RankType> types = rank_types(shape);
  const std::vector<double>& shares = options.train.batch_shares.given;
  if (!shares.empty()) {
    if (static_cast<int>(shares.size()) != comm.size())
      fail("train.batch_shares has {} numbers, this run {} ranks", shares.size(), comm.size());
    for (size_t rank = 0; rank < types.size(); ++rank) types[rank].batch_weight = shares[rank];
  } else if (options.train.batch_shares == BatchShares::equal) {
    for (RankType& type : types) type.batch_weight = 1;
  }
  placement::Topology topology = with_rank_types(shape, types);
  const placement::Tree tree(topology);
  for (const int type : tree.at_level(tree.depth()))
    if (options.system.device_memory > 0)
      topology.domains[type].stores.at(0).capacity_bytes = options.system.device_memory;
  // Rates were measured on all ranks; that all plan with the same numbers must not depend on it.
  const std::string text = broadcast_string(comm, write_topology(topology), 0);
  return shape_of(parse_topology(text, "topology of this run"), comm.size());
}

std::vector<double> batch_shares(const RunOptions& options, const SystemShape& shape) {
  if (options.train.batch_shares == BatchShares::given) return options.train.batch_shares.given;
  std::vector<double> shares;
  for (const int type : shape.rank_type) shares.push_back(shape.topology.domains[type].batch_weight);
  const bool equal = std::all_of(shares.begin(), shares.end(), [&](double s) { return s == shares[0]; });
  return equal ? std::vector<double>{} : shares;
}

RankParts data_parts(const RunOptions& options, const SystemShape& shape, SampleRange range) {
  RankParts parts;
  if (options.data.split != DataSplit::ranks) return parts;
  const auto ranks = static_cast<int>(shape.rank_type.size());
  const std::vector<double> shares = batch_shares(options, shape);
  for (int rank = 0; rank < ranks; ++rank) {
    const SampleRange part = part_of_data(range.size(), options.train.global_batch, rank, ranks, shares);
    parts.of_rank.push_back({range.first + part.first, range.first + part.last});
  }
  for (const RankType& type : rank_types(shape)) parts.groups.push_back(type.access_group);
  const auto same = [&](int group) { return group == parts.groups[0]; };
  if (std::all_of(parts.groups.begin(), parts.groups.end(), same)) parts.groups.clear();
  return parts;
}

SystemShape with_access_groups(const SystemShape& shape, const std::vector<int>& group_of_rank) {
  std::vector<RankType> types = rank_types(shape);
  for (size_t rank = 0; rank < types.size(); ++rank)
    types[rank].access_group = group_of_rank.empty() ? 0 : group_of_rank.at(rank);
  return shape_of(with_rank_types(shape, types), static_cast<int>(types.size()));
}

}  // namespace sparrow
