#include "comm/comm.hpp"

#include <functional>

#include "base/error.hpp"

namespace sparrow {

const char* phase_name(Phase phase) {
  switch (phase) {
    case Phase::ids:
      return "ids";
    case Phase::rows:
      return "rows";
    case Phase::gradients:
      return "gradients";
    case Phase::samples:
      return "samples";
    case Phase::allreduce:
      return "allreduce";
    case Phase::control:
      return "control";
  }
  fail("phase {} does not exist", static_cast<int>(phase));
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

int64_t sent_by_iterations(const Traffic& traffic) {
  int64_t bytes = 0;
  for (size_t p = 0; p < kPhases; ++p)
    if (static_cast<Phase>(p) != Phase::control) bytes += traffic.sent_bytes[p];
  return bytes;
}

}  // namespace sparrow
