// The batch as a variable: the global batch of least time per sample, and its split over unequal ranks.
#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"
#include "placement/solve/solve.hpp"

namespace sparrow::placement {
namespace {

bool try_batch(const Topology& topology, const Workload& workload, const SolveOptions& options, int64_t batch,
               BatchChoice& best) {
  Workload changed = workload;
  changed.global_batch = batch;
  std::optional<Solution> solution;
  try {
    solution = solve(topology, changed, options);
  } catch (const Error&) {
    return false;  // does not fit: buffers grow with the batch
  }
  const double per_sample = solution->cost.seconds / static_cast<double>(batch);
  if (best.global_batch == 0 || per_sample < best.seconds_per_sample) best = {batch, std::move(*solution), per_sample};
  return true;
}

}  // namespace

BatchChoice optimize_batch(const Topology& topology, const Workload& workload, int64_t least, int64_t most,
                           const SolveOptions& options) {
  if (least < 1 || most < least) fail("placement: batches from {} to {}", least, most);
  BatchChoice best;
  for (int64_t batch = least; batch <= most; batch *= 2) {
    if (!try_batch(topology, workload, options, batch, best)) break;  // larger ones need more still
    if (batch > most / 2) break;
  }
  if (best.global_batch == 0) {
    Workload smallest = workload;
    smallest.global_batch = least;
    solve(topology, smallest, options);  // throws the reason
    fail("placement: no batch from {} to {} fits", least, most);
  }
  int64_t low = std::max(least, best.global_batch / 2), high = std::min(most, best.global_batch * 2);
  for (int round = 0; round < 3; ++round) {
    const int64_t middle = best.global_batch;
    const int64_t below = low + (middle - low) / 2, above = middle + (high - middle) / 2;
    if (below > low) try_batch(topology, workload, options, below, best);
    if (above > middle && above < high) try_batch(topology, workload, options, above, best);
    if (best.global_batch == middle) {
      low = below;
      high = above;
    } else {
      (best.global_batch < middle ? high : low) = middle;
    }
  }
  return best;
}

std::vector<double> plan_batch_weights(const Topology& topology, const Workload& workload,
                                       const SolveOptions& options) {
  const Tree tree(topology);
  const auto ranks = tree.at_level(tree.depth());
  std::vector<double> start, best;
  for (int r : ranks) start.push_back(tree.domain(r).batch_weight);
  best = start;
  if (std::count_if(start.begin(), start.end(), [](double w) { return w > 0; }) < 2) return best;
  const auto seconds_with = [&](const std::vector<double>& weights) {
    Topology changed = topology;
    for (size_t i = 0; i < ranks.size(); ++i) changed.domains[ranks[i]].batch_weight = weights[i];
    SolveOptions quick = options;
    quick.compare_strategies = false;
    quick.max_classes = std::min(options.max_classes, 600);
    try {
      return solve(changed, workload, quick).cost.seconds;
    } catch (const Error&) {
      return kInfinity;
    }
  };
  double best_seconds = seconds_with(start);
  // Weights by speed first; then a pattern search: one rank type up or down by a factor that shrinks when nothing
  // helps.
  std::vector<double> by_speed = start;
  for (size_t i = 0; i < ranks.size(); ++i)
    if (start[i] > 0 && !std::isinf(tree.domain(ranks[i]).flops_per_s)) by_speed[i] = tree.domain(ranks[i]).flops_per_s;
  if (const double seconds = seconds_with(by_speed); seconds < best_seconds) best_seconds = seconds, best = by_speed;
  for (double factor = 2; factor > 1.02; factor = std::sqrt(factor)) {
    for (size_t i = 0; i < ranks.size(); ++i) {
      if (start[i] <= 0) continue;
      for (double change : {factor, 1 / factor}) {
        std::vector<double> trial = best;
        trial[i] *= change;
        const double seconds = seconds_with(trial);
        if (seconds < best_seconds * (1 - 1e-6)) best_seconds = seconds, best = trial;
      }
    }
  }
  return best;
}

}  // namespace sparrow::placement
