// What it costs that whole tables cannot be dealt evenly.
#include <algorithm>
#include <numeric>

#include "placement/baselines/spreading.hpp"
#include "placement/baselines/strategies.hpp"
#include "placement/model/plan.hpp"

namespace sparrow::placement {
namespace {

/// What a rank is sent of a table in an iteration, in rows: those of its distinct rows that are held, or a pooled
/// vector for every sample that looks some of them up.
double sent_to_a_rank(const CostModel& model, int t, const TablePlan& plan, const Placement& placement, int rank) {
  double mass = 0, distinct = 0;
  for (const Share& share : placement.tables[t].shares) {
    if (placement.options[share.option].level != 0) continue;
    const double* features = model.features_of(t, share.cls);
    mass += share.rows * features[model.features().p(model.tree().domain(rank).access_group)];
    distinct += share.rows * features[Features::v(rank)];
  }
  if (plan.transport == Transport::staged || plan.transport == Transport::direct) return distinct;
  return model.batch_of(rank) * touched(std::min(1.0, mass), model.table(t).lookups);
}

/// What each slot of a site sends.
std::vector<double> sent_by_slot(const CostModel& model, const Plan& plan, Site site) {
  std::vector<double> result(model.tree().instances(site.domain), 0);
  const Placement placement = to_placement(plan, model.workload());
  for (int t = 0; t < model.tables(); ++t) {
    const TablePlan& table = plan.tables[t];
    const double sent = sent_to_a_rank(model, t, table, placement, site.domain);
    if (table.holders.fixed >= 0)
      result.at(table.holders.fixed) += sent;
    else  // dealt row by row
      for (double& of : result) of += sent / static_cast<double>(result.size());
  }
  return result;
}

/// The most that the ranks of one domain of a level send, over the mean of such domains.
double most_over_mean(const Tree& tree, const std::vector<double>& by_slot, int domain) {
  const auto ranks = static_cast<size_t>(tree.ranks_in(domain));
  double most = 0;
  for (size_t first = 0; first < by_slot.size(); first += ranks) {
    const auto begin = by_slot.begin() + static_cast<std::ptrdiff_t>(first);
    most = std::max(most, std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(ranks), 0.0));
  }
  const double sum = std::accumulate(by_slot.begin(), by_slot.end(), 0.0);
  return sum > 0 ? most / sum * static_cast<double>(by_slot.size() / ranks) : 1;
}

}  // namespace

Cost cost_as_dealt(const CostModel& model, const Plan& plan, Cost fair) {
  const bool whole = std::any_of(plan.tables.begin(), plan.tables.end(),
                                 [](const TablePlan& table) { return table.holders.fixed >= 0; });
  const std::vector<Site> sites = device_sites(model);
  if (!whole || sites.size() != 1) return fair;
  const Tree& tree = model.tree();
  const std::vector<double> sent = sent_by_slot(model, plan, sites[0]);
  double more = 0;
  for (StageCost& stage : fair.stages) {
    if (stage.phase != Phase::forward && stage.phase != Phase::backward) continue;
    const double uneven = most_over_mean(tree, sent, tree.ancestor(sites[0].domain, stage.level));
    const double added = (uneven - 1) * (stage.seconds - stage.latency_seconds);
    stage.seconds += added;
    fair.seconds_by_phase[static_cast<int>(stage.phase)] += added;
    more += added;
  }
  fair.seconds += more;
  fair.sequential_seconds += more;
  fair.overlapped_seconds += more;
  fair.samples_per_second = static_cast<double>(model.workload().global_batch) / fair.seconds;
  return fair;
}

}  // namespace sparrow::placement
