#include "planning/prediction.hpp"

namespace sparrow {

Prediction predict(const Decision& decision, const SystemShape& system) {
  const placement::Cost& cost = decision.cost;
  Prediction predicted{cost, decision.bound(), decision.gap(), decision.floor_bytes, {}, 0, 0};
  predicted.level_bytes.resize(system.hierarchy.depth());
  for (size_t stage = 0; stage < cost.sent_by_stage.size(); ++stage) {
    const auto level = static_cast<size_t>(system.hierarchy_level[stage]);
    if (level < predicted.level_bytes.size()) predicted.level_bytes[level] += cost.sent_by_stage[stage].total();
  }
  const placement::Tree tree(system.topology);
  for (const placement::StoreCost& store : cost.stores) {
    const double per_rank = static_cast<double>(tree.instances(store.site.domain)) / system.hierarchy.ranks();
    predicted.store_read_bytes += per_rank * store.read_bytes;
    predicted.store_written_bytes += per_rank * store.written_bytes;
  }
  return predicted;
}

}  // namespace sparrow
