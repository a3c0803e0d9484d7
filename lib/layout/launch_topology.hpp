// The topology of a run that has no topology file: its nodes and ranks as they were started, with rates measured or
// assumed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "placement/model/topology.hpp"

namespace sparrow {

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

}  // namespace sparrow
