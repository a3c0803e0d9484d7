// Shares of rows per rank, and dealing whole rows by them.
#include "placement/baselines/spreading.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"

namespace sparrow::placement {

double stored_bytes(const CostModel& model) {
  double sum = 0;
  for (int t = 0; t < model.tables(); ++t)
    sum += static_cast<double>(model.table(t).access.total_rows()) * model.shape(t).stored_bytes;
  return sum;
}

std::vector<double> water_fill(const CostModel& model, const std::vector<Site>& sites, double bytes, double margin) {
  std::vector<size_t> by_capacity(sites.size());
  std::iota(by_capacity.begin(), by_capacity.end(), size_t{0});
  const auto capacity = [&](size_t i) { return std::max(0.0, model.capacity(sites[i]) - margin); };
  const auto instances = [&](size_t i) { return static_cast<double>(model.tree().instances(sites[i].domain)); };
  std::stable_sort(by_capacity.begin(), by_capacity.end(),
                   [&](size_t a, size_t b) { return capacity(a) < capacity(b); });
  double open = 0, left = bytes;
  for (size_t i = 0; i < sites.size(); ++i) open += instances(i);
  std::vector<double> share(sites.size(), 0);
  for (size_t i : by_capacity) {
    const double each = std::min(capacity(i), left / open);
    share[i] = bytes > 0 ? each / bytes : 1 / open;
    left -= each * instances(i);
    open -= instances(i);
  }
  if (left > bytes * 1e-12) share.clear();
  return share;
}

std::string too_small(const CostModel& model, const std::vector<Site>& sites, double bytes) {
  double capacity = 0;
  std::string names;
  for (Site site : sites) {
    capacity += std::max(0.0, model.capacity(site)) * static_cast<double>(model.tree().instances(site.domain));
    names += (names.empty() ? "" : ", ") + model.tree().site_name(site);
  }
  return fmt::format("the rows need {:.0f} bytes, {} together have {:.0f}", bytes, names.empty() ? "no store" : names,
                     capacity);
}

std::vector<Site> device_sites(const CostModel& model) {
  std::vector<Site> result;
  for (Site site : model.tree().sites_in(0))
    if (model.tree().is_device(site)) result.push_back(site);
  return result;
}

Dealer::Dealer(const CostModel& model, const std::vector<Site>& sites, const std::vector<double>& share_of_instance)
    : owed_(sites.size(), 0) {
  for (size_t i = 0; i < sites.size(); ++i)
    share_.push_back(share_of_instance[i] * static_cast<double>(model.tree().instances(sites[i].domain)));
}

void Dealer::deal(size_t cls, double rows, TablePlacement& placed) {
  double left = rows;
  for (size_t i = 0; i < share_.size(); ++i) {
    owed_[i] += rows * share_[i];
    const double take = i + 1 == share_.size() ? left : std::min(left, std::max(0.0, std::floor(owed_[i] + 0.5)));
    if (take > 0) placed.shares.push_back({static_cast<int32_t>(cls), static_cast<int32_t>(i), take});
    owed_[i] -= take;
    left -= take;
  }
}

double margin_of(const CostModel& model, int attempt) {
  double row = 0;
  for (int t = 0; t < model.tables(); ++t) row = std::max(row, model.shape(t).stored_bytes);
  return attempt == 0 ? 0 : row * std::pow(4.0, attempt - 1);
}

StrategyResult infeasible(std::string why) {
  StrategyResult result;
  result.cost.infeasible = std::move(why);
  result.cost.seconds = kInfinity;
  return result;
}

StrategyResult with_plan(const CostModel& model, std::optional<Plan> plan) {
  if (!plan) return infeasible(too_small(model, device_sites(model), stored_bytes(model)));
  StrategyResult result;
  result.cost = evaluate(model, *plan);
  if (result.cost.infeasible.empty() && !fits(model, *plan))
    result.cost.infeasible = "no room to round to whole rows on every slot: " +
                             too_small(model, model.tree().sites_in(0), stored_bytes(model));
  if (result.cost.infeasible.empty()) result.plan = std::move(plan);
  return result;
}

}  // namespace sparrow::placement
