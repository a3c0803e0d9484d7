// The linear programme of one family of placements: which options, which stages pay their latency. Built from the
// coefficients of the cost model, solved on groups of classes, refined until its bound over all classes is tight, then
// rounded to whole rows.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "placement/interior_point.hpp"
#include "placement/model.hpp"
#include "placement/solve.hpp"

namespace sparrow::placement {

/// What a table with bags may do.
enum class Pooling : uint8_t { never, always, either };

struct FamilyLimits {
  Transport transport = Transport::staged;  ///< staged or direct
  int least_level = 0,
      most_level = 0;            ///< copy levels allowed; exchanges of stages above least_level pay their latency
  std::vector<Site> slow_sites;  ///< slower stores allowed; each pays its latency
  bool free_latency = false;     ///< nothing pays: a relaxation
  std::vector<Pooling> pooling;  ///< per table
  std::vector<double>
      pooled_mass;  ///< per table: mass at which the pairs of pooled vectors are linearised (1: a lower bound)
};

/// Prices of rows of the time model and of stores, by their number: what one family's programme found bounds other
/// families too.
using PriceBook = std::map<int, double>;

struct FamilyPrice {
  std::string resource, kind;
  double seconds = 0;  ///< memory: per byte on every instance; else price * seconds spent
};

struct FamilyResult {
  bool feasible = false;
  double relaxed_seconds = 0;       ///< optimum of the linear programme (primal value)
  double bound = 0;                 ///< certified: no placement of the family is faster
  Placement placement;              ///< whole rows
  std::vector<double> pooled_mass;  ///< per table: probability mass placed with pooled transport
  std::vector<double> other_mass;   ///< per table: mass that travels otherwise (not local)
  std::vector<FamilyPrice> prices;
  PriceBook book;
  /// prices of one unit of each quantity: the price of an option for a row is coefficients . features, weighted with
  /// these
  std::vector<double> quantity_price;
};

/// extra_bytes: taken from each site's capacity, by domain and store, to leave room for rounding. When the prices of a family solved before
/// already show that nothing here is faster than `cutoff`, the programme is not solved: feasible = false, and bound says so.
FamilyResult solve_family(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits,
                          const std::vector<std::vector<double>>& extra_bytes, const std::vector<PriceBook>& known,
                          double cutoff);

/// The options of a family, in order of (level, sites, reduction).
std::vector<Option> family_options(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits);

}  // namespace sparrow::placement
