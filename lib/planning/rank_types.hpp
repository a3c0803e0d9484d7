// Ranks that a topology takes for equal and that differ in what a run gives them: their part of the batch, or the data
// they see. They become domain types of their own, and so do the domains above them as far as they differ.
//
// Example: a star of a server and `client count: 3`, of whom ranks 1 and 3 see data of access group 0 and rank 2 of
// group 1, becomes server, client-1 (count 2: ranks 1 and 3), client-2 (rank 2), with rank_of_leaf 0 1 3 2. Where
// nothing differs the topology stays as it is.
#pragma once

#include <span>

#include "layout/system_shape.hpp"

namespace sparrow {

struct RankType {
  double batch_weight = 1;
  int access_group = 0;
  auto operator<=>(const RankType&) const = default;
};

/// What the topology says of each rank.
std::vector<RankType> rank_types(const SystemShape& shape);

/// The same system with these types of ranks, one per rank of the run.
placement::Topology with_rank_types(const SystemShape& shape, std::span<const RankType> types);

}  // namespace sparrow
