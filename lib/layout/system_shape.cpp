#include "layout/system_shape.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.hpp"

namespace sparrow {

namespace {

/// Walks the tree, numbering instances level by level in tree order.
class Walk {
 public:
  Walk(const placement::Tree& tree, const std::vector<int>& leaf_ranks, SystemShape& shape)
      : tree_(tree), leaf_ranks_(leaf_ranks), shape_(shape), domain_of_(static_cast<size_t>(tree.depth()) + 1) {
    for (auto& level : domain_of_) level.resize(leaf_ranks.size());
    next_.assign(domain_of_.size(), 0);
    shape_.rank_type.resize(leaf_ranks.size());
    shape_.instances.resize(tree.size());
    visit(0);
  }
  std::vector<std::vector<int>> domain_of() && { return std::move(domain_of_); }

 private:
  std::vector<int> visit(int type) {
    const auto level = static_cast<size_t>(tree_.level(type));
    const int number = next_[level]++;
    std::vector<int> below;
    if (tree_.is_rank(type)) {
      const int rank = leaf_ranks_[leaf_++];
      shape_.rank_type[rank] = type;
      below.push_back(rank);
    }
    for (const int child : tree_.children(type))
      for (int64_t i = 0; i < tree_.domain(child).count; ++i) {
        const std::vector<int> ranks = visit(child);
        below.insert(below.end(), ranks.begin(), ranks.end());
      }
    for (const int rank : below) domain_of_[level][rank] = number;
    shape_.instances[type].push_back(below);
    return below;
  }

  const placement::Tree& tree_;
  const std::vector<int>& leaf_ranks_;
  SystemShape& shape_;
  std::vector<std::vector<int>> domain_of_;
  std::vector<int> next_;
  int leaf_ = 0;
};

/// Ranks that keep rows for themselves only are no proxies of others.
std::vector<int> proxy_weights(const placement::Tree& tree, const std::vector<int>& rank_type) {
  std::vector<int> weights;
  for (const int type : rank_type) {
    const placement::Domain& domain = tree.domain(type);
    const bool proxy = domain.holds && domain.proxy_weight != 0;
    weights.push_back(proxy ? 1 : 0);
  }
  return weights;
}

}  // namespace

SystemShape shape_of(const placement::Topology& topology, int ranks) {
  const placement::Tree tree(topology);
  if (tree.ranks() != ranks)
    fail("topology {} has {} ranks, this run {}: start it with mpirun -n {}", topology.name, tree.ranks(), ranks,
         tree.ranks());
  std::vector<int> leaf_ranks = topology.rank_of_leaf;
  if (leaf_ranks.empty()) {
    leaf_ranks.resize(ranks);
    std::iota(leaf_ranks.begin(), leaf_ranks.end(), 0);
  }
  SystemShape shape{topology, Hierarchy::flat(1), {}, {}, {}};
  std::vector<std::vector<int>> domain_of = Walk(tree, leaf_ranks, shape).domain_of();
  std::vector<std::vector<int>> levels;
  for (std::vector<int>& level : domain_of) {
    if (levels.empty() || level != levels.back()) levels.push_back(std::move(level));
    shape.hierarchy_level.push_back(static_cast<int>(levels.size()) - 1);
  }
  shape.hierarchy = Hierarchy(std::move(levels), proxy_weights(tree, shape.rank_type));
  return shape;
}

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

namespace {

/// The ranks that serve a site's slots inside one domain of a level, in the order of the holder rule: slot by slot, and
/// where several ranks share a slot (a store above them), each in its turn. `slots`: ranks below each slot.
std::vector<int> serving_ranks(const std::vector<std::vector<int>>& slots) {
  std::vector<int> ring;
  for (size_t turn = 0; !slots.empty() && turn < slots[0].size(); ++turn)
    for (const std::vector<int>& ranks : slots) ring.push_back(ranks[turn]);
  return ring;
}

/// For each domain of the option's level, the ranks that hold its rows, in slot order, and in which store.
CopyOption copy_option(const placement::Option& option, const placement::Tree& tree, const SystemShape& shape) {
  CopyOption result;
  result.level = shape.hierarchy_level[option.level];
  result.reduction = option.reduction == placement::Reduction::dense ? CopyReduction::dense : CopyReduction::sparse;
  const auto domains = static_cast<size_t>(shape.hierarchy.domains(result.level));
  result.rings.resize(domains);
  result.stores.assign(domains, CopyStore::device);
  const std::vector<int>& types = tree.at_level(option.level);
  for (size_t i = 0; i < types.size(); ++i) {
    const placement::Site site = option.sites[i];
    for (const std::vector<int>& of_type : shape.instances[types[i]]) {
      const auto domain = static_cast<size_t>(shape.hierarchy.domain(result.level, of_type[0]));
      std::vector<std::vector<int>> slots;
      for (const std::vector<int>& holders : shape.instances[site.domain])
        if (std::find(of_type.begin(), of_type.end(), holders[0]) != of_type.end()) slots.push_back(holders);
      result.rings[domain] = serving_ranks(slots);
      if (!tree.is_device(site)) result.stores[domain] = CopyStore::offloaded;
    }
  }
  return result;
}

CopyTransport copy_transport(placement::Transport transport) {
  switch (transport) {
    case placement::Transport::staged:
      return CopyTransport::staged;
    case placement::Transport::direct:
      return CopyTransport::direct;
    case placement::Transport::pooled:
      return CopyTransport::pooled;
    case placement::Transport::partial_sums:
      return CopyTransport::partial_sums;
  }
  fail("transport {} does not exist", static_cast<int>(transport));
}

}  // namespace

CopyPlan copy_plan(const placement::Plan& plan, const SystemShape& shape) {
  const placement::Tree tree(shape.topology);
  CopyPlan result;
  for (const placement::Option& option : plan.options) result.options.push_back(copy_option(option, tree, shape));
  for (const placement::TablePlan& table : plan.tables) {
    CopyTable copies{copy_transport(table.transport), table.offset, table.holder_slot, {}};
    for (const placement::Interval& interval : table.intervals)
      copies.intervals.push_back({interval.first, interval.option});
    result.tables.push_back(std::move(copies));
  }
  return result;
}

}  // namespace sparrow
