// Times of what all ranks do at once, as in training.
#pragma once

#include <algorithm>
#include <vector>

#include "base/timer.hpp"
#include "comm/collectives.hpp"

namespace sparrow {

/// The slowest rank's seconds. Collective.
inline double slowest(Comm& comm, double seconds) {
  const std::vector<double> all = all_gather(comm, seconds);
  return *std::max_element(all.begin(), all.end());
}

/// Collective. Seconds of `action` when all ranks do it at once and again and again, as in training: where ranks share
/// processors, memory, links or disks, each has its part of them. Of several rounds the median, of the ranks the
/// slowest. fixed_repeats: of a round; 0: as many as take a while.
template <class Action>
double sustained_seconds(Comm& comm, Action&& action, int fixed_repeats = 0) {
  constexpr double kRound = 0.03;  // many turns of the system's scheduler, which are some milliseconds
  constexpr int kRounds = 3;
  action();  // memory is touched, connections are made
  int repeats = fixed_repeats;
  if (repeats == 0) {
    const Timer once;
    action();
    repeats = static_cast<int>(std::clamp(kRound / slowest(comm, once.seconds()), 2.0, 10000.0));
  }
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    barrier(comm);
    const Timer timer;
    for (int i = 0; i < repeats; ++i) action();
    rounds.push_back(slowest(comm, timer.seconds()) / repeats);
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

}  // namespace sparrow
