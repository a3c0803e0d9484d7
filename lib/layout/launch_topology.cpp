#include "layout/launch_topology.hpp"

#include <algorithm>
#include <map>

#include "base/error.hpp"

namespace sparrow {

placement::Topology launch_topology(const std::vector<int>& node_of, const MachineRates& rates) {
  std::map<int, std::vector<int>> nodes;
  for (size_t rank = 0; rank < node_of.size(); ++rank) nodes[node_of[rank]].push_back(static_cast<int>(rank));
  std::map<size_t, std::vector<int>> by_size;  // node size -> ranks of such nodes, node by node
  std::map<size_t, int64_t> count;
  for (const auto& [node, ranks] : nodes) {
    by_size[ranks.size()].insert(by_size[ranks.size()].end(), ranks.begin(), ranks.end());
    ++count[ranks.size()];
  }

  placement::Topology topology;
  topology.name = "launch";
  placement::Domain root;
  root.name = "system";
  topology.domains.push_back(root);
  placement::Domain rank;
  rank.name = "rank";
  rank.stores.push_back({"memory", rates.memory_bytes, placement::kInfinity, 0, 1});
  if (rates.slower_store) rank.stores.push_back(*rates.slower_store);
  rank.ports.push_back(
      {"memory", rates.rank_bytes_per_s, rates.rank_bytes_per_s, rates.rank_latency_s, rates.rank_overhead_s});
  rank.flops_per_s = rates.flops_per_s;
  rank.work = {rates.hash_ids_per_s, rates.gather_bytes_per_s, rates.pack_bytes_per_s, rates.update_bytes_per_s,
               rates.list_ids_per_s};
  std::vector<int>& leaf_ranks = topology.rank_of_leaf;
  for (const auto& [size, ranks] : by_size) {
    int parent = 0;
    if (nodes.size() > 1) {
      placement::Domain node;
      node.name = by_size.size() == 1 ? "node" : fmt::format("node-of-{}", size);
      node.parent = 0;
      node.count = count[size];
      node.ports.push_back({"network", rates.network_bytes_per_s, rates.network_bytes_per_s, rates.network_latency_s,
                            rates.network_overhead_s});
      parent = static_cast<int>(topology.domains.size());
      topology.domains.push_back(node);
    }
    rank.parent = parent;
    rank.count = static_cast<int64_t>(size);
    rank.name = by_size.size() == 1 ? "rank" : fmt::format("rank-of-{}", size);
    topology.domains.push_back(rank);
    leaf_ranks.insert(leaf_ranks.end(), ranks.begin(), ranks.end());
  }
  if (std::is_sorted(leaf_ranks.begin(), leaf_ranks.end())) leaf_ranks.clear();
  return topology;
}

}  // namespace sparrow
