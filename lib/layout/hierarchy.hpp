// The ranks of this job as a tree of domains, and in which order the ranks of a domain hold its rows.
//
// Level 0 is the whole system, level depth() a rank by itself; the levels between are nodes, racks, ... One rank alone
// has depth 0. Example, 2 nodes of 2 ranks: depth 2; level 0: {0 1 2 3}; level 1: {0 1} {2 3}; level 2: {0} {1} {2}
// {3}.
//
// The **ring** of a domain lists the ranks that take turns there, as holders of its rows and as proxies that ask for
// others: a rank of it, or none (it only asks). Which rank has which row is the holder rule's (holders.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.hpp"

namespace sparrow {

class Hierarchy {
 public:
  /// domain_of[level][rank]: number of the rank's domain at that level; level 0 all equal, the last level all
  /// different, each level a refinement of the one before. proxies[rank]: whether it is in the rings above its own
  /// level (empty: all are).
  Hierarchy(std::vector<std::vector<int>> domain_of, const std::vector<char>& proxies = {});

  /// All ranks directly below the root.
  static Hierarchy flat(int ranks);

  int ranks() const { return static_cast<int>(domain_of_[0].size()); }
  int depth() const { return static_cast<int>(domain_of_.size()) - 1; }
  int domain(int level, int rank) const { return domain_of_[level][rank]; }
  /// Ranks of a domain, ascending.
  const std::vector<int>& members(int level, int domain) const { return members_[level][domain]; }
  const std::vector<int>& ring(int level, int domain) const { return rings_[level][domain]; }
  /// Domains of level + 1 inside a domain.
  const std::vector<int>& children(int level, int domain) const { return children_[level][domain]; }
  int domains(int level) const { return static_cast<int>(members_[level].size()); }

 private:
  std::vector<std::vector<int>> domain_of_;
  std::vector<std::vector<std::vector<int>>> members_, rings_, children_;
};

}  // namespace sparrow
