// Wall-clock time. The only clock in the project; lib/placement must not use it.
#pragma once

#include <chrono>

namespace sparrow {

/// Seconds since it was made or last restarted.
class Timer {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  void restart() { start_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace sparrow
