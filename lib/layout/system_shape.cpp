#include "layout/system_shape.hpp"

#include <numeric>

#include "base/error.hpp"

namespace sparrow {

namespace {

/// Walks the tree, numbering the domains of every level in tree order.
struct Walk {
  const placement::Tree& tree;
  const std::vector<int>& leaf_ranks;
  SystemShape& shape;
  std::vector<std::vector<int>> domain_of;  ///< [level][rank]
  std::vector<int> next;                    ///< number, by level
  int leaf = 0;

  /// The ranks below the next domain of a type.
  std::vector<int> visit(int type) {
    const int level = tree.level(type), number = next[level]++;
    std::vector<int> below;
    if (tree.is_rank(type)) {
      below.push_back(leaf_ranks[leaf++]);
      shape.rank_type[below[0]] = type;
    }
    for (const int child : tree.children(type))
      for (int64_t i = 0; i < tree.domain(child).count; ++i) {
        const std::vector<int> ranks = visit(child);
        below.insert(below.end(), ranks.begin(), ranks.end());
      }
    for (const int rank : below) domain_of[level][rank] = number;
    shape.instances[type].push_back(below);
    return below;
  }
};

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
  SystemShape shape{topology, Hierarchy::flat(1), {}, std::vector<int>(ranks), {}};
  shape.instances.resize(tree.size());
  const size_t levels = static_cast<size_t>(tree.depth()) + 1;
  Walk walk{tree, leaf_ranks, shape, {levels, std::vector<int>(ranks)}, std::vector<int>(levels)};
  walk.visit(0);
  std::vector<std::vector<int>> domain_of;
  for (std::vector<int>& level : walk.domain_of) {
    if (domain_of.empty() || level != domain_of.back()) domain_of.push_back(std::move(level));
    shape.hierarchy_level.push_back(static_cast<int>(domain_of.size()) - 1);
  }
  std::vector<char> proxies;  // ranks that keep rows for themselves only are no proxies of others
  for (const int type : shape.rank_type)
    proxies.push_back(tree.domain(type).holds && tree.domain(type).proxy_weight != 0);
  shape.hierarchy = Hierarchy(std::move(domain_of), proxies);
  return shape;
}

}  // namespace sparrow
