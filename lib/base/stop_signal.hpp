// SIGUSR1 asks a run to stop early, so that it can be continued: batch systems send it ahead of a job's time limit, and
// mpirun and srun pass it on to their ranks. The signal itself only leaves a mark.
#pragma once

#include <csignal>

namespace sparrow {

/// Catches SIGUSR1 while it lives; one at a time. Calls of the system go on after the signal.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// Whether it has come, since the object was made.
  bool asked() const noexcept;

 private:
  struct sigaction before_ {};
};

}  // namespace sparrow
