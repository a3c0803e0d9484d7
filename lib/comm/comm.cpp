#include "comm/comm.hpp"

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

}  // namespace sparrow
