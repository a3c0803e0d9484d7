// One family of placements, with what it pays for latency fixed: solved as a linear programme on groups of classes that
// are refined until the bound over all classes is tight, then rounded to whole rows.
#pragma once

#include <map>
#include <string>
#include <vector>

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
  std::vector<Pooling> pooling;  ///< per table
  bool pay_staged = true, pay_direct = true;  ///< whether exchanges of either kind pay latency, where options use them
  bool others_local = false;                  ///< tables that are not pooled have every row on every rank
  /// Per table: the mass of each option at which its number of pooled pairs is linearised from above; empty: from
  /// below, by a chord.
  std::vector<std::vector<double>> pooled_mass;
};

/// Prices of rows of the time model and of stores, by their number: what one family's programme found bounds other
/// families too.
using PriceBook = std::map<int, double>;

struct FamilyPrice {
  std::string resource, kind;
  double seconds = 0;  ///< memory: per byte on every instance; else price * seconds spent
};

struct FamilyResult {
  bool solved = false;         ///< false: `known` prices already show that nothing here beats the cutoff
  bool feasible = false;       ///< there is a placement
  double relaxed_seconds = 0;  ///< optimum of the linear programme (primal value)
  double bound = 0;            ///< certified: no placement of the family is faster; infinity when it has none
  Placement placement;         ///< whole rows; only of families without Pooling::either
  /// Per table that may be either: price of the cheapest placement pooled, less that of the cheapest not pooled.
  std::vector<double> pooling_costs;
  std::vector<std::vector<double>>
      pooled_mass_then;  ///< per table and option: what the cheapest placement pooled puts there
  std::vector<std::vector<double>>
      pooled_mass;  ///< per table and option: probability mass placed with pooled transport
  std::vector<FamilyPrice> prices;
  PriceBook book;
  std::vector<double>
      quantity_price;  ///< seconds per unit of each quantity; an option's cost for a row is its coefficients at these
};

/// extra_bytes: taken from each site's capacity, by domain and store, to leave room for rounding.
FamilyResult solve_family(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits,
                          const std::vector<std::vector<double>>& extra_bytes, const std::vector<PriceBook>& known,
                          double cutoff);

/// The options of a family, in order of (level, sites, reduction).
std::vector<Option> family_options(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits);

}  // namespace sparrow::placement
