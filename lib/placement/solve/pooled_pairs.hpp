// How many vectors a pooled table sends: pairs of a sample and a holder with anything to send for it. Their number is
// concave in the probability mass that an option holds, so a chord bounds it from below within its interval, and a
// tangent from above everywhere.
#pragma once

#include "placement/cost/cost_model.hpp"

namespace sparrow::placement {

/// The mass of a table's lookups that an option with pooled transport may hold.
struct MassInterval {
  double low = 0, high = 1;
  bool contains(double mass) const { return mass >= low && mass <= high; }
  bool operator==(const MassInterval&) const = default;
};

/// intercept + slope * mass.
struct PairLine {
  double slope = 0, intercept = 0;
  double at(double mass) const { return intercept + slope * mass; }
};

/// Pairs per sample as a function of mass, for one table and option.
struct PairCurve {
  double holders = 1, lookups = 1;
  /// Ranks that draw from different distributions share an option's pairs by their part of its mass. That is no longer
  /// a function of the mass alone, and lines through zero are what stays below it.
  bool through_zero = false;

  double at(double mass) const { return pooled_pairs(mass, holders, lookups); }
  PairLine tangent(double mass) const;
  /// Not above the curve within the interval.
  PairLine below(MassInterval within) const;
  /// The curve within the interval, and a line that is not below the curve outside it: what a programme may charge that
  /// keeps to the interval. Its minimum is a bound for placements within the interval.
  double at_or_beyond(double mass, MassInterval within) const;
};

/// Lookups that find a row of table t at all, mean over access groups: at most 1.
double table_mass(const CostModel& model, int t);

/// For table t and an option.
PairCurve pair_curve(const CostModel& model, int t, const Option& option);

}  // namespace sparrow::placement
