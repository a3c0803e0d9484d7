#include "base/phase.hpp"

namespace sparrow {

const char* phase_name(Phase phase) {
  constexpr const char* kNames[kPhases] = {"data",    "ids",       "store",  "rows",    "compute", "gradients",
                                           "samples", "allreduce", "update", "waiting", "control"};
  return kNames[static_cast<int>(phase)];
}

}  // namespace sparrow
