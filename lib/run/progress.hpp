// How far a run is, for the person who watches it.
#pragma once

#include <cstdint>

#include "base/timer.hpp"

namespace sparrow {

/// Progress on the terminal of rank 0: a bar that redraws itself where standard error is a terminal, log lines at each
/// record otherwise.
class Progress {
 public:
  explicit Progress(int64_t total_samples);
  ~Progress();
  void show(int64_t samples, double loss, double samples_per_second, bool record);
  void clear();  ///< before other output

 private:
  int64_t total_;
  bool terminal_;
  bool drawn_ = false;
  Timer since_drawn_;
};

}  // namespace sparrow
