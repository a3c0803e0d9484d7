#include "train/ledger.hpp"

#include <algorithm>
#include <numeric>

#include "comm/collectives.hpp"

namespace sparrow {

const char* part_name(Part part) {
  constexpr const char* kNames[kParts] = {"data", "ids", "rows", "compute", "gradients", "allreduce", "update"};
  return kNames[static_cast<size_t>(part)];
}

namespace {
template <class Operation>
Traffic combine(const Traffic& a, const Traffic& b, Operation operation) {
  Traffic result;
  for (size_t i = 0; i < kPhases; ++i) {
    result.sent_bytes[i] = operation(a.sent_bytes[i], b.sent_bytes[i]);
    result.received_bytes[i] = operation(a.received_bytes[i], b.received_bytes[i]);
    result.sent_messages[i] = operation(a.sent_messages[i], b.sent_messages[i]);
  }
  return result;
}
}  // namespace

Traffic operator+(const Traffic& a, const Traffic& b) {
  return combine(a, b, std::plus<int64_t>());
}
Traffic operator-(const Traffic& a, const Traffic& b) {
  return combine(a, b, std::minus<int64_t>());
}

OverRanks over_ranks(Comm& comm, double value) {
  const std::vector<double> values = all_gather(comm, value);
  return {std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()),
          *std::max_element(values.begin(), values.end())};
}

}  // namespace sparrow
