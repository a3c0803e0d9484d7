// Measures the slower store of the ranks with the very code that keeps rows there.
#pragma once

#include <string>

#include "exchange/rank_context.hpp"
#include "placement/model/topology.hpp"

namespace sparrow {

struct StoreCalibrationOptions {
  std::string folder;    ///< for the file, where device memory is the host's
  int64_t capacity = 0;  ///< bytes of one rank; 0: what is free, shared by the ranks of the node
  int local_ranks = 1;   ///< of this rank's node
  int64_t dim = 64, state_dim = 1;
  int64_t batch_rows = 4096;  ///< rows of a batch that are fetched, about
};

/// Collective. Reads and writes random rows in batches on all ranks at once, in a file of up to 256 MB, or in pinned
/// memory. Every rank returns the same: the slowest one's rate and the least capacity. Takes about a second. Throws
/// Error when the store cannot be made.
placement::Store calibrate_store(const RankContext& context, const StoreCalibrationOptions& options);

}  // namespace sparrow
