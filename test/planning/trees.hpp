// Small topologies for tests of locality.
#pragma once

#include <fmt/format.h>

#include <vector>

#include "placement/model/topology.hpp"

namespace sparrow::test {

/// A tree in which every domain of level i has children[i] of the next, with links of 1 GB/s and ample memory.
inline placement::Topology topology_of(const std::vector<int>& children) {
  placement::Topology topology{"tree", {placement::Domain{}}};
  topology.domains[0].name = "root";
  for (size_t i = 0; i < children.size(); ++i) {
    placement::Domain domain;
    domain.name = fmt::format("level{}", i + 1);
    domain.parent = static_cast<int>(i);
    domain.count = children[i];
    domain.ports = {{"link", 1e9, 1e9}};
    if (i + 1 == children.size()) domain.stores = {{"memory", int64_t{1} << 40}};
    topology.domains.push_back(domain);
  }
  return topology;
}

}  // namespace sparrow::test
