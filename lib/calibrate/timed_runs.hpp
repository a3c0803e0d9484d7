// Times of what all ranks do at once, as in training.
#pragma once

#include <algorithm>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

#include "base/timer.hpp"
#include "comm/collectives.hpp"

namespace sparrow {

/// The slowest rank's seconds. Collective.
inline double slowest(Comm& comm, double seconds) {
  const std::vector<double> all = all_gather(comm, seconds);
  return *std::max_element(all.begin(), all.end());
}

/// Collective. Seconds of each of some actions, when all ranks do them in turn, at once, and again and again, as in
/// training: where ranks share processors, memory, links or disks, each has its part of them, and every action finds
/// the caches as the others left them. Of several rounds the median. All actions together take what the slowest rank
/// takes; which of them then takes how much of it is the mean over ranks, because where ranks share a processor it is
/// chance whose turn ends in which action. fixed_repeats: of a round; 0: as many as take a while.
inline std::vector<double> steady_seconds(Comm& comm, std::span<const std::function<void()>> actions,
                                          int fixed_repeats = 0) {
  constexpr double kRound = 0.1;  // many turns of the system's scheduler, which are some milliseconds
  constexpr size_t kRounds = 3;
  const auto all = [&] {
    for (const auto& action : actions) action();
  };
  all();  // memory is touched, connections are made
  int repeats = fixed_repeats;
  if (repeats == 0) {
    const Timer once;
    all();
    repeats = static_cast<int>(std::clamp(kRound / slowest(comm, once.seconds()), 2.0, 10000.0));
  }
  std::vector<std::vector<double>> rounds(actions.size());  // seconds by action and round
  for (size_t round = 0; round < kRounds; ++round) {
    std::vector<double> seconds(actions.size(), 0);
    barrier(comm);
    for (int i = 0; i < repeats; ++i)
      for (size_t a = 0; a < actions.size(); ++a) {
        const Timer timer;
        actions[a]();
        seconds[a] += timer.seconds();
      }
    const double own = std::accumulate(seconds.begin(), seconds.end(), 0.0), mean = sum(comm, own) / comm.size();
    const double longer = mean > 0 ? slowest(comm, own) / mean : 1;
    for (size_t a = 0; a < actions.size(); ++a)
      rounds[a].push_back(longer * sum(comm, seconds[a]) / comm.size() / repeats);
  }
  std::vector<double> medians;
  for (auto& seconds : rounds) {
    std::nth_element(seconds.begin(), seconds.begin() + kRounds / 2, seconds.end());
    medians.push_back(seconds[kRounds / 2]);
  }
  return medians;
}

/// Of one action.
inline double steady_seconds(Comm& comm, const std::function<void()>& action, int fixed_repeats = 0) {
  return steady_seconds(comm, std::span(&action, 1), fixed_repeats)[0];
}

}  // namespace sparrow
