// What every implementation of Comm does to an operation in the same way: check it, count it, copy a rank's part to
// itself, and say who is missing. For those who implement Comm; users of a communicator need comm.hpp alone.
#pragma once

#include <span>
#include <string>

#include "comm/comm.hpp"

namespace sparrow {

/// Throws Error unless spans have `size` elements, no size or offset is negative, buffers with bytes are not null, and
/// the rank expects from itself what it sends to itself. Looks at every element: O(size).
void check_operation(const AllToAll& operation, int rank, int size);

/// Adds the non-empty parts for others: one message each, however an implementation cuts it.
void count_sent(Traffic& traffic, const AllToAll& operation, int rank, std::span<const int> levels);
void count_received(Traffic& traffic, const AllToAll& operation, int rank);

/// Copies part `rank` of send to part `rank` of recv; nothing to do when they are the same place.
void copy_own_part(const AllToAll& operation, int rank);

/// "rank 4", "ranks 1, 5 and 7", "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 120 more". Not empty.
std::string name_ranks(std::span<const int> ranks);

}  // namespace sparrow
