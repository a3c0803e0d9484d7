#include "placement/solve/pooled_pairs.hpp"

#include <algorithm>
#include <cmath>

namespace sparrow::placement {

PairLine PairCurve::tangent(double mass) const {
  if (through_zero && mass > 0) return {at(mass) / mass, 0};
  const double slope = lookups * std::exp((lookups - 1) * std::log1p(-std::min(1.0 - 1e-12, mass / holders)));
  return {slope, at(mass) - slope * mass};
}

PairLine PairCurve::below(MassInterval within) const {
  if (within.high <= 0) return {lookups, 0};
  if (through_zero || within.high <= within.low) return {at(within.high) / within.high, 0};
  const double slope = (at(within.high) - at(within.low)) / (within.high - within.low);
  return {slope, at(within.low) - slope * within.low};
}

double PairCurve::at_or_beyond(double mass, MassInterval within) const {
  return within.contains(mass) ? at(mass) : std::max(at(mass), below(within).at(mass));
}

double table_mass(const CostModel& model, int t) {
  double mass = 0;
  const auto& access = model.table(t).access;
  for (const auto& p : access.p)
    for (size_t c = 0; c < p.size(); ++c)
      mass += static_cast<double>(access.rows[c]) * p[c] / static_cast<double>(access.p.size());
  return std::min(mass, 1.0);
}

PairCurve pair_curve(const CostModel& model, int t, const Option& option) {
  return {pooled_holders(model.tree(), option), model.table(t).lookups, model.features().groups > 1};
}

}  // namespace sparrow::placement
