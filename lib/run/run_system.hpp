// The system that a run is on, as it is measured and configured: its topology, each rank's part of the batch and of the
// data, and which ranks see the same.
#pragma once

#include <string>
#include <vector>

#include "access/access_counts.hpp"
#include "config/options.hpp"
#include "data/parts.hpp"
#include "exchange/rank_context.hpp"
#include "layout/system_shape.hpp"

namespace sparrow {

/// The topology of the run: that of the file named by system.topology, or the launch itself with measured rates, with
/// the memory budget and the batch shares of the configuration. Collective; every rank gets the same.
/// The slower store is measured only if rows may be put there (see uses_slower_store), or if `complete`.
SystemShape find_system(const RankContext& context, int node, const RunOptions& options, bool complete = false);

/// Where the file of offloaded rows goes.
std::string offload_folder(const RunOptions& options);

/// Each rank's share of the global batch, of the configuration or (planned) of the topology.
std::vector<double> batch_shares(const RunOptions& options, const SystemShape& shape);

/// The samples that each rank trains on, with the access groups that the topology gives (if it names more than one),
/// where data.split gives every rank its own part of `range`; else nothing.
RankParts data_parts(const RunOptions& options, const SystemShape& shape, SampleRange range);

/// The system with these access groups, one per rank; none: all draw alike.
SystemShape with_access_groups(const SystemShape& shape, const std::vector<int>& group_of_rank);

}  // namespace sparrow
