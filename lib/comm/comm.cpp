#include "comm/comm.hpp"

#include <functional>

namespace sparrow {

namespace {
template <class Operation>
Traffic combine(const Traffic& a, const Traffic& b, Operation operation) {
  Traffic result;
  for (size_t i = 0; i < kPhases; ++i) {
    result.sent_bytes[i] = operation(a.sent_bytes[i], b.sent_bytes[i]);
    result.received_bytes[i] = operation(a.received_bytes[i], b.received_bytes[i]);
    result.sent_messages[i] = operation(a.sent_messages[i], b.sent_messages[i]);
  }
  for (size_t level = 0; level < Traffic::kLevels; ++level)
    result.sent_by_level[level] = operation(a.sent_by_level[level], b.sent_by_level[level]);
  return result;
}
}  // namespace

Traffic operator+(const Traffic& a, const Traffic& b) {
  return combine(a, b, std::plus<int64_t>());
}
Traffic operator-(const Traffic& a, const Traffic& b) {
  return combine(a, b, std::minus<int64_t>());
}

int64_t sent_by_iterations(const Traffic& traffic) {
  int64_t bytes = 0;
  for (const Phase phase : kSendingPhases) bytes += traffic.sent_bytes[static_cast<size_t>(phase)];
  return bytes;
}

}  // namespace sparrow
