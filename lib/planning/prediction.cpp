#include "planning/prediction.hpp"

#include "placement/model/topology.hpp"

namespace sparrow {

Prediction predict(const PlannedRun& planned, const SystemShape& system) {
  const placement::Cost& cost = planned.predicted;
  Prediction predicted;
  predicted.seconds_per_iteration = cost.seconds;
  predicted.sequential_seconds = cost.sequential_seconds;
  predicted.overlapped_seconds = cost.overlapped_seconds;
  predicted.critical_path_seconds = cost.critical_path_seconds;
  predicted.bound = planned.bound;
  predicted.gap = planned.gap;
  predicted.floor_bytes = planned.floor_bytes;
  predicted.distinct_rows_per_iteration = cost.distinct_rows_mean;
  const auto put = [&](Phase phase, double mean, double max) {
    predicted.mean_bytes[static_cast<size_t>(phase)] = mean;
    predicted.max_bytes[static_cast<size_t>(phase)] = max;
  };
  predicted.level_bytes.resize(system.hierarchy.depth());
  for (size_t stage = 0; stage < cost.sent_by_stage.size(); ++stage) {
    const auto level = static_cast<size_t>(system.hierarchy_level[stage]);
    if (level < predicted.level_bytes.size()) predicted.level_bytes[level] += cost.sent_by_stage[stage].total();
  }
  put(Phase::ids, cost.sent_mean.ids, cost.sent_max.ids);
  put(Phase::rows, cost.sent_mean.rows, cost.sent_max.rows);
  put(Phase::gradients, cost.sent_mean.gradients, cost.sent_max.gradients);
  put(Phase::allreduce, cost.sent_mean.allreduce, cost.sent_max.allreduce);
  predicted.seconds_by_phase = cost.seconds_by_phase;
  const placement::Tree tree(system.topology);
  for (const placement::StoreCost& store : cost.stores) {
    const double per_rank = static_cast<double>(tree.instances(store.site.domain)) / system.hierarchy.ranks();
    predicted.store_read_bytes += per_rank * store.read_bytes;
    predicted.store_written_bytes += per_rank * store.written_bytes;
  }
  return predicted;
}

}  // namespace sparrow
