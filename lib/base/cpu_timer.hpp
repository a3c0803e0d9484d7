// Processor time of the calling thread: what work costs, whatever else the machine does meanwhile. For rates; not for
// what a step or a run takes (timer.hpp).
#pragma once

#include <ctime>

namespace sparrow {

/// Processor seconds that this thread used since it was made.
class CpuTimer {
 public:
  double seconds() const { return now() - start_; }

 private:
  static double now() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  double start_ = now();
};

}  // namespace sparrow
