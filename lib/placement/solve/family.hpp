// One family of placements, with what it pays for latency fixed: solved as a linear programme on groups of classes that
// are refined until the bound over all classes is tight, then rounded to whole rows.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "placement/cost/cost_model.hpp"
#include "placement/solve/pooled_pairs.hpp"
#include "placement/solve/solve.hpp"

namespace sparrow::placement {

/// How a table with bags travels. never, along: rows of a class may take any options, and pairs are linear in their
/// mass (along a tangent at FamilyLimits::pooled_mass: not below the truth, so a way to good placements and no bound).
/// always, either: whole placements of the table with their true pairs, mixed: a bound.
enum class Pooling : uint8_t { never, along, always, either };

struct FamilyLimits {
  Transport transport = Transport::staged;  ///< staged or direct: of tables that are not pooled
  int least_level = 0, most_level = 0;      ///< copy levels allowed
  /// Least copy levels of rows that travel not pooled and pooled, besides those that every rank has. Exchanges of
  /// either kind at stages above pay their latency.
  int plain_level = 0, pooled_level = 0;
  std::vector<Site> slow_sites;  ///< slower stores allowed; each pays its latency
  std::vector<Pooling> pooling;  ///< per table
  /// Of tables pooled `along`: the mass of each option at which its number of pairs is linearised.
  std::vector<std::vector<double>> pooled_mass;
  /// Of tables pooled `always`: the mass that options are held to.
  std::vector<std::map<int, MassInterval>> held_to;

  bool whole(int t) const {
    const Pooling of = pooling[t];
    return of == Pooling::always || of == Pooling::either;
  }
  bool any(Pooling what) const { return std::find(pooling.begin(), pooling.end(), what) != pooling.end(); }
};

/// A placement of a whole table, as one column of the programme.
struct TableColumn {
  struct OptionRows {  // the rows that take one option
    int option = 0;
    double mass = 0;               ///< of pooled ones
    double pairs = 0;              ///< of pooled ones, per sample
    std::vector<double> features;  ///< summed over the rows
  };
  bool pooled = false;  ///< what is not local
  std::vector<OptionRows> parts;
};

/// What the master programme does with a table that may be pooled: a mean of whole placements.
struct TableMix {
  double pooled_share = 0;           ///< weight of placements with pooling
  std::vector<double> mass;          ///< by option, mean over those
  std::vector<MassInterval> within;  ///< that it is held to
  double price = 0;                  ///< of the whole table, at the programme's prices
  std::vector<double> missing;  ///< by option: seconds that the pairs of the mean cost more than the mean of the pairs
};

/// Prices of rows of the time model and of stores, by their number: what one family's programme found bounds other
/// families too.
using PriceBook = std::map<int, double>;

struct FamilyPrice {
  std::string resource, kind;
  double seconds = 0;  ///< memory: per byte on every instance; else price * seconds spent
};

struct FamilyResult {
  bool solved = false;    ///< false: known prices, or those met on the way, show that nothing here beats the cutoff
  bool feasible = false;  ///< there is a placement
  double relaxed_seconds = 0;  ///< optimum of the linear programme (primal value)
  double bound = 0;            ///< certified: no placement of the family is faster; infinity when it has none
  Placement placement;         ///< whole rows; only of families without Pooling::always and either
  std::vector<std::vector<double>> pooled_mass;   ///< per table and option: mass placed with pooled transport
  std::vector<Pooling> pooling;                   ///< per table: of the limits, less what leads beyond the cutoff
  double work = 0;                                ///< operations that its programmes took
  std::vector<TableMix> mixes;                    ///< per table, of those always or either pooled
  std::vector<std::vector<TableColumn>> columns;  ///< per table: whole placements that are worth trying again
  std::vector<FamilyPrice> prices;
  PriceBook book;
  std::vector<double>
      quantity_price;  ///< seconds per unit of each quantity; an option's cost for a row is its coefficients at these
};

/// extra_bytes: taken from each site's capacity, by domain and store, to leave room for rounding. columns: whole
/// placements of tables to begin with.
FamilyResult solve_family(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits,
                          const std::vector<std::vector<double>>& extra_bytes, const std::vector<PriceBook>& known,
                          double cutoff, const std::vector<std::vector<TableColumn>>& columns = {});

/// The options of a family, in order of (level, sites, reduction).
std::vector<Option> family_options(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits);

}  // namespace sparrow::placement
