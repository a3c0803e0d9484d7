// Which sets of stages and stores may pay latency.
#include <algorithm>
#include <map>

#include "placement/solve/search.hpp"

namespace sparrow::placement {
namespace {

bool has_latency(const CostModel& model) {
  for (const TimeRow& row : model.time().rows)
    if (!row.switch_seconds.empty()) return true;
  return false;
}

/// Whether every domain of the level could hold one copy of so many bytes.
bool level_fits(const CostModel& model, double needed, int level, const std::vector<Site>& slow) {
  const Tree& tree = model.tree();
  for (int d : tree.at_level(level)) {
    double capacity = 0;
    for (Site site : tree.sites_in(d))
      if (tree.is_device(site) || std::find(slow.begin(), slow.end(), site) != slow.end())
        capacity += std::max(0.0, model.capacity(site)) * static_cast<double>(tree.instances_in(site.domain, d));
    if (capacity < needed) return false;
  }
  return true;
}

std::vector<Site> slow_sites(const Tree& tree) {
  std::vector<Site> result;
  for (int d = 0; d < tree.size(); ++d)
    for (int s = 0; s < static_cast<int>(tree.domain(d).stores.size()); ++s)
      if (!tree.is_device({d, s})) result.push_back({d, s});
  return result;
}

/// Subsets of the slower stores: those without latency always, the others by name (host memory, disk), each name in or
/// out.
std::vector<std::vector<Site>> store_subsets(const Tree& tree) {
  std::vector<Site> always;
  std::map<std::string, std::vector<Site>> by_name;
  for (Site site : slow_sites(tree)) {
    if (tree.store(site).latency_s > 0)
      by_name[tree.store(site).name].push_back(site);
    else
      always.push_back(site);
  }
  std::vector<std::vector<Site>> subsets = {always};  // the largest ends up last
  for (const auto& [name, sites] : by_name) {
    const size_t n = subsets.size();
    for (size_t i = 0; i < n; ++i) {
      subsets.push_back(subsets[i]);
      subsets.back().insert(subsets.back().end(), sites.begin(), sites.end());
    }
  }
  std::reverse(subsets.begin(), subsets.end());
  return subsets;
}

class FamilyList {
 public:
  FamilyList(const CostModel& model, const SolveOptions& options)
      : model_(model), options_(options), latency_(has_latency(model)) {
    const auto tables = static_cast<size_t>(model.tables());
    base_.pooling.assign(tables, Pooling::never);
    base_.pooled_mass.resize(tables);
    base_.held_to.resize(tables);
    for (int t = 0; t < model.tables(); ++t) {
      const Table& table = model.table(t);
      const double bytes =
          static_cast<double>(table.access.total_rows()) * static_cast<double>(table.row_bytes + table.state_bytes);
      all_bytes_ += bytes;
      if (table.lookups <= 1) plain_bytes_ += bytes;
    }
  }
  std::vector<FamilyLimits> list();

 private:
  void add(int plain_level, int pooled_level, bool pooled);
  void add_levels();
  void add_pooled_levels();

  const CostModel& model_;
  const SolveOptions& options_;
  const bool latency_;
  double all_bytes_ = 0, plain_bytes_ = 0;  // of all rows, of those of tables without bags
  FamilyLimits base_;
  std::vector<FamilyLimits> list_;
};

/// One family for each set of copy levels whose reductions pay latency. Sequential, rows are reduced together with the
/// dense parameters, which pay it anyway.
void FamilyList::add(int plain_level, int pooled_level, bool pooled) {
  const int depth = model_.tree().depth(), least = pooled ? std::min(plain_level, pooled_level) : plain_level;
  if (!level_fits(model_, all_bytes_, least, base_.slow_sites)) return;
  if (pooled && !level_fits(model_, plain_bytes_, plain_level, base_.slow_sites)) return;
  const bool free = !latency_ || (model_.workload().dense_bytes > 0 && !model_.workload().overlapped);
  for (int most = free ? depth : least; most <= depth; ++most) {
    FamilyLimits limits = base_;
    limits.least_level = least;
    limits.most_level = most;
    limits.plain_level = plain_level;
    limits.pooled_level = pooled_level;
    for (int t = 0; t < model_.tables() && pooled; ++t)
      if (model_.table(t).lookups > 1) limits.pooling[t] = Pooling::either;
    list_.push_back(std::move(limits));
  }
}

void FamilyList::add_levels() {
  const int depth = model_.tree().depth();
  for (int level = 0; level <= (latency_ ? depth : 0); ++level) add(level, depth, false);
}

/// Direct exchanges and those of pooled bags share their latencies; staged ones have their own.
void FamilyList::add_pooled_levels() {
  const int most = latency_ ? model_.tree().depth() : 0;
  for (int pooled = 0; pooled <= std::max(0, most - 1); ++pooled) {
    if (base_.transport == Transport::direct)
      add(pooled, pooled, true);
    else
      for (int plain = 0; plain <= most; ++plain) add(plain, pooled, true);
  }
}

std::vector<FamilyLimits> FamilyList::list() {
  const Tree& tree = model_.tree();
  std::vector<Transport> transports;
  if (options_.combine) transports.push_back(Transport::staged);
  // With one stage, staged and direct are the same.
  if (!options_.combine || (options_.direct && tree.depth() > 1)) transports.push_back(Transport::direct);
  const auto stores = latency_ ? store_subsets(tree) : std::vector<std::vector<Site>>{slow_sites(tree)};
  for (bool pooled : {false, true}) {
    if (pooled && (!options_.pooling || plain_bytes_ == all_bytes_)) continue;
    for (Transport transport : transports)
      for (const auto& slow : stores) {
        base_.transport = transport;
        base_.slow_sites = slow;
        pooled ? add_pooled_levels() : add_levels();
      }
  }
  return std::move(list_);
}

}  // namespace

std::vector<FamilyLimits> families(const CostModel& model, const SolveOptions& options) {
  return FamilyList(model, options).list();
}

}  // namespace sparrow::placement
