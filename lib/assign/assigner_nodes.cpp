#include "assign/assigner_nodes.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace sparrow {

AssignerNodes::AssignerNodes(const AssignerTree& tree) : tree_(tree) {
  SPARROW_CHECK(!tree.domain_of.empty() && tree.ranks() > 0);
  SPARROW_CHECK(std::ssize(tree.rings) >= tree.depth() - 1, "a tree of {} levels needs rings", tree.depth());
  for (int level = 0; level <= tree.depth(); ++level) {
    const std::vector<int>& of_rank = tree.domain_of[level];
    const int domains = *std::max_element(of_rank.begin(), of_rank.end()) + 1;
    Level& at = levels_.emplace_back(Level{level, {}, std::vector<std::vector<int>>(domains), {}, {}, {}, of_rank, {}});
    for (int d = 0; d < domains; ++d) at.domain.push_back(d);
    if (level == 0) continue;
    std::vector<char> seen(domains, 0);
    for (int rank = 0; rank < tree.ranks(); ++rank) {
      if (!seen[of_rank[rank]]) levels_[level - 1].children[levels_[level - 1].node_of[rank]].push_back(of_rank[rank]);
      seen[of_rank[rank]] = 1;
    }
  }
  SPARROW_CHECK(nodes(0) == 1 && nodes(depth()) == tree.ranks(), "the root is one domain, every rank its own");
  for (int level = 0; level < depth();) {
    const auto& nodes = levels_[level].children;
    const bool fits = std::all_of(nodes.begin(), nodes.end(), [](auto& list) { return list.size() <= kMostChildren; });
    if (fits)
      ++level;
    else
      group_children(level);
  }
  for (int level = 0; level <= depth(); ++level) link(level);
}

void AssignerNodes::link(int level) {
  Level& at = levels_[level];
  at.ranks.resize(at.children.size());
  for (int rank = 0; rank < tree_.ranks(); ++rank) at.ranks[at.node_of[rank]].push_back(rank);
  if (level == 0) return;
  Level& above = levels_[level - 1];
  at.parent.resize(at.children.size());
  at.number.resize(at.children.size());
  for (size_t node = 0; node < above.children.size(); ++node)
    for (size_t c = 0; c < above.children[node].size(); ++c) {
      at.parent[above.children[node][c]] = static_cast<int>(node);
      at.number[above.children[node][c]] = static_cast<int>(c);
    }
  for (int rank = 0; rank < tree_.ranks(); ++rank) above.child_of.push_back(at.number[at.node_of[rank]]);
}

/// A new level below this one: as few groups of children as can be.
void AssignerNodes::group_children(int level) {
  Level& at = levels_[level];
  Level groups{at.tree_level, {}, {}, {}, {}, {}, std::vector<int>(tree_.ranks(), 0), {}};
  std::vector<int> group_of_child(levels_[level + 1].children.size(), 0);
  for (size_t node = 0; node < at.children.size(); ++node) {
    std::vector<int>& children = at.children[node];
    const size_t groups_of_node = (children.size() + kMostChildren - 1) / kMostChildren;
    const size_t size = (children.size() + groups_of_node - 1) / groups_of_node;
    std::vector<int> own;
    for (size_t i = 0; i < children.size(); ++i) {
      if (i % size == 0) {
        own.push_back(static_cast<int>(groups.children.size()));
        groups.children.emplace_back();
        groups.domain.push_back(at.domain[node]);
      }
      groups.children.back().push_back(children[i]);
      group_of_child[children[i]] = own.back();
    }
    children = own;
  }
  for (int rank = 0; rank < tree_.ranks(); ++rank)
    groups.node_of[rank] = group_of_child[levels_[level + 1].node_of[rank]];
  levels_.insert(levels_.begin() + level + 1, std::move(groups));
}

}  // namespace sparrow
