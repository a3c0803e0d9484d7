// How the named strategies spread rows over ranks: as equally as memory allows, whole rows, with room on every slot.
#pragma once

#include <string>
#include <vector>

#include "placement/baselines/strategies.hpp"
#include "placement/cost/cost_model.hpp"

namespace sparrow::placement {

/// Bytes of one copy of every row.
double stored_bytes(const CostModel& model);

/// Device memories of the ranks that hold rows for others.
std::vector<Site> device_sites(const CostModel& model);

/// The share of the rows on one instance of each site: equal, but no more than fits beside `margin` bytes; empty when
/// all together are too small.
std::vector<double> water_fill(const CostModel& model, const std::vector<Site>& sites, double bytes, double margin = 0);

/// Why `water_fill` gave nothing.
std::string too_small(const CostModel& model, const std::vector<Site>& sites, double bytes);

/// Margins to try in turn, each leaving more room for whole rows on every slot.
constexpr int kMargins = 6;
double margin_of(const CostModel& model, int attempt);

/// Gives rows of a class to sites in turn, so that every site gets its share of hot and cold rows; what rounding leaves
/// is owed to the next class. Site i is option i.
class Dealer {
 public:
  Dealer(const CostModel& model, const std::vector<Site>& sites, const std::vector<double>& share_of_instance);
  void deal(size_t cls, double rows, TablePlacement& placed);

 private:
  std::vector<double> share_, owed_;
};

/// A result that says why the strategy cannot be used.
StrategyResult infeasible(std::string why);

/// The cost of a strategy's plan; why there is none, if so.
StrategyResult with_plan(const CostModel& model, std::optional<Plan> plan);

// whole_tables.cpp
StrategyResult table_wise(const CostModel& model, Transport transport);
StrategyResult hot_cold(const CostModel& model, Transport transport);

}  // namespace sparrow::placement
