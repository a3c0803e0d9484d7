#include "train/ledger.hpp"

#include <algorithm>
#include <numeric>

#include "comm/collectives.hpp"

namespace sparrow {

const char* part_name(Part part) {
  constexpr const char* kNames[kParts] = {"data", "ids", "rows", "compute", "gradients", "allreduce", "update"};
  return kNames[static_cast<size_t>(part)];
}

OverRanks over_ranks(Comm& comm, double value) {
  const std::vector<double> values = all_gather(comm, value);
  return {std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()),
          *std::max_element(values.begin(), values.end())};
}

}  // namespace sparrow
