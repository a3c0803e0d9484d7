// The system a run is on: the topology that plans are made for, and which rank of the run is which leaf of its tree.
#pragma once

#include <vector>

#include "layout/hierarchy.hpp"
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

}  // namespace sparrow
