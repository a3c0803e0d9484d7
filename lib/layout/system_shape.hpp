// The system a run is on: the topology that plans are made for, and which rank of the run is which leaf of its tree.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "layout/copy_plan.hpp"
#include "layout/hierarchy.hpp"
#include "layout/tables.hpp"
#include "placement/model/plan.hpp"
#include "placement/model/topology.hpp"

namespace sparrow {

struct SystemShape {
  placement::Topology topology;
  /// Levels of the topology at which every domain has a single child are one level here: nobody has anything to
  /// exchange there.
  Hierarchy hierarchy;
  std::vector<int> hierarchy_level;  ///< by level of the topology: the level of the hierarchy
  std::vector<int> rank_type;        ///< by rank of the run: its domain in the topology
  /// [type][instance]: ranks below each instance of a domain type, in tree order
  std::vector<std::vector<std::vector<int>>> instances;
};

/// Throws Error if `ranks` is not the number of the topology's.
SystemShape shape_of(const placement::Topology& topology, int ranks);

/// What one machine of a run can do, measured or assumed.
struct MachineRates {
  double network_bytes_per_s = 1e9, network_latency_s = 20e-6,
         network_overhead_s = 5e-6;                                              ///< of a node, each direction
  double rank_bytes_per_s = 4e9, rank_latency_s = 5e-6, rank_overhead_s = 1e-6;  ///< of a rank, within a node
  double flops_per_s = 5e10;
  double hash_ids_per_s = 5e7, gather_bytes_per_s = 4e9, pack_bytes_per_s = 4e9, update_bytes_per_s = 2e9;
  double list_ids_per_s = 2e7;
  int64_t memory_bytes = int64_t{4} << 30;       ///< of a rank, for rows
  std::optional<placement::Store> slower_store;  ///< of a rank, where rows may need one
};

/// The topology of the launch itself: node_of[rank] of every rank. Nodes of equal size are one domain type; one node:
/// no level of nodes.
placement::Topology launch_topology(const std::vector<int>& node_of, const MachineRates& rates);

/// A plan in terms of this run's ranks. A rank has one slower store: all of the topology's that it reads and writes,
/// its own and those of the domains above it, are one here.
CopyPlan copy_plan(const placement::Plan& plan, const SystemShape& shape);

}  // namespace sparrow
