// Topologies as YAML files (configs/topologies/), read strictly and written back. What the numbers mean to the cost
// model is said in placement/model/topology.hpp; here is how they are written.
//
//   name: two-nodes                       # shown in reports
//   ranks: [0, 2, 1, 3]                   # which rank of a run each leaf of the tree is; default: in order
//   links:                                # kinds of links, named here and used by domains below
//     nic:    {bandwidth: 200Gbit/s, latency: 5us, overhead: 1us}     # the same in both directions
//     uplink: {in: 50Mbit/s, out: 10Mbit/s, latency: 20ms}            # or one for each; in = towards the ranks
//     nvlink: {bandwidth: 450GB/s, latency: 3us, stages: [2, 2]}      # carries only exchanges of these levels
//   stores:                               # kinds of memory
//     hbm:  {capacity: 64GiB}
//     host: {capacity: 1TiB, bandwidth: 100GB/s, latency: 10us, granule: 4KiB}
//   domains:                              # the tree: every domain but the root names its parent
//     - {name: cluster}
//     - {name: node, parent: cluster, count: 2, links: [nic], stores: [host]}      # count: in each parent
//     - name: gpu                         # a domain without children is a rank
//       parent: node
//       count: 8
//       links: [nvlink]
//       stores: [hbm]                     # its first store is its device memory
//       flops: 60Tflop/s                  # the rest is for ranks only, with these defaults: flops: unlimited
//       work: {hash: 2G/s, gather: 500GB/s, pack: 500GB/s, update: 300GB/s, lists: 600M/s}   # each unlimited
//       batch_weight: 1                   # its part of the global batch against other ranks; 0: a pure server
//       holds: true                       # false: keeps rows for itself only (a phone)
//       access_group: 0                   # which probabilities it draws from
//       proxy_weight: 1                   # also for inner domains; default: the number of ranks that hold
//
// `latency` counts once per exchange, `overhead` once per message. Units: config/quantity.hpp. Domains may come in any
// order; their names are unique.
#pragma once

#include <string>
#include <string_view>

#include "placement/model/topology.hpp"

namespace sparrow {

/// Reads and validates. Throws Error naming file, line and key: unknown keys, links, stores and parents, cycles,
/// negative or impossible numbers, wrong units, ranks at different depths or without memory or samples.
placement::Topology load_topology(const std::string& path);
placement::Topology parse_topology(std::string_view text, const std::string& name);

/// A file that reads back as the same topology (links, stores and domains of equal names but different contents get a
/// number behind their name). `comment` goes on top, one "# " before each of its lines.
std::string write_topology(const placement::Topology& topology, const std::string& comment = "");

}  // namespace sparrow
