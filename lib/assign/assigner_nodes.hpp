// The tree as samples are divided: level by level among at most 64 children, so that the children of a node fit into
// one word. A domain with more of them gets levels in between that exist here alone (flat, 256 ranks: 4 groups of 64):
// nobody asks there on behalf of a group.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "assign/assigner.hpp"

namespace sparrow {

class AssignerNodes {
 public:
  static constexpr int kMostChildren = 64;

  /// Throws Error if the tree is none. Keeps a reference to it.
  explicit AssignerNodes(const AssignerTree& tree);

  int depth() const { return static_cast<int>(levels_.size()) - 1; }
  int nodes(int level) const { return static_cast<int>(levels_[level].children.size()); }
  int children(int level, int node) const { return static_cast<int>(levels_[level].children[node].size()); }
  /// A child's number among the nodes of the next level.
  int child_node(int level, int node, int child) const { return levels_[level].children[node][child]; }
  int parent(int level, int node) const { return levels_[level].parent[node]; }
  int number_in_parent(int level, int node) const { return levels_[level].number[node]; }
  int rank_of_leaf(int node) const { return levels_.back().ranks[node].front(); }
  /// Ascending.
  const std::vector<int>& ranks(int level, int node) const { return levels_[level].ranks[node]; }
  int node_of(int level, int rank) const { return levels_[level].node_of[rank]; }
  /// Which of the children of its node at `level` a rank is in.
  int child_of(int level, int rank) const { return levels_[level].child_of[rank]; }

  /// Which child of a node has the row for the ranks below it: the one with the holder, or else with the proxy of its
  /// domain; -1: it comes to each child from elsewhere.
  int home(int level, int node, int holder, int64_t turn) const {
    const Level& at = levels_[level];
    const std::vector<int>& domain = tree_.domain_of[at.tree_level];
    if (domain[holder] != at.domain[node]) holder = proxy(level, node, turn);
    return at.node_of[holder] == node ? at.child_of[holder] : -1;
  }

 private:
  struct Level {
    int tree_level;                          ///< whose domains these nodes are, or are parts of
    std::vector<int> domain;                 ///< [node]
    std::vector<std::vector<int>> children;  ///< [node]: nodes of the next level
    std::vector<int> parent, number;         ///< [node]: of the level above, and which of its children
    std::vector<std::vector<int>> ranks;     ///< [node]
    std::vector<int> node_of, child_of;      ///< [rank]
  };
  int proxy(int level, int node, int64_t turn) const {
    const Level& at = levels_[level];
    const std::vector<int>& ring = tree_.rings[at.tree_level - 1][at.domain[node]];
    return ring[static_cast<size_t>(turn) % ring.size()];
  }
  void group_children(int level);
  void link(int level);

  const AssignerTree& tree_;
  std::vector<Level> levels_;
};

}  // namespace sparrow
