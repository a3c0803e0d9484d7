// Memory that the ranks of a node share.
#pragma once

#include <cstddef>
#include <memory>

#include "comm/comm.hpp"

namespace sparrow {

struct NodeMemory {
  std::shared_ptr<std::byte> data;
  bool leader = true;  ///< the one rank of those that share it that writes
};

/// Collective over `comm`: zeros of this many bytes, one block for all ranks with the same node. Where ranks of a node
/// cannot open the memory of another one (containers of their own), all ranks get memory of their own, and lead
/// themselves. Throws Error, on all ranks alike, where there is not enough.
NodeMemory node_memory(Comm& comm, int node, size_t bytes);

}  // namespace sparrow
