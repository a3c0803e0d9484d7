// The cost of a placement, and the floor below which no scheme of its kind goes.
#include "placement/cost/cost.hpp"

#include <cmath>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"

namespace sparrow::placement {
namespace {

/// Mass of the rows with one copy, mean over the access groups.
double single_mass(const CostModel& model, const Placement& placement, int t) {
  double mass = 0;
  for (const Share& share : placement.tables[t].shares)
    for (int g = 0; g < model.features().groups && placement.options[share.option].level == 0; ++g)
      mass += share.rows * model.features_of(t, share.cls)[model.features().p(g)] / model.features().groups;
  return mass;
}

/// Adds the shares of one table to the quantities.
void add_table(const CostModel& model, const Placement& placement, int t, std::vector<double>& quantities) {
  const TablePlacement& table = placement.tables[t];
  const auto f = static_cast<size_t>(model.features().size());
  std::vector<double> sums(placement.options.size() * f, 0);  // features summed over the rows of each option
  for (const Share& share : table.shares) {
    SPARROW_CHECK(share.option >= 0 && share.option < static_cast<int>(placement.options.size()), "option {}",
                  share.option);
    const double* features = model.features_of(t, share.cls);
    double* sum = sums.data() + static_cast<size_t>(share.option) * f;
    for (size_t i = 0; i < f; ++i) sum[i] += share.rows * features[i];
  }
  for (size_t o = 0; o < placement.options.size(); ++o) {
    const double* sum = sums.data() + o * f;
    if (sum[Features::one()] == 0) continue;
    const Option& option = placement.options[o];
    double factor = 1;
    double mass = 0;  // with several access groups, of the mean rank
    for (int g = 0; g < model.features().groups; ++g) mass += sum[model.features().p(g)] / model.features().groups;
    if (table.transport == Transport::pooled && mass > 0)
      factor = pooled_pairs(std::min(mass, 1.0), pooled_holders(model.tree(), option), model.table(t).lookups) / mass;
    if (table.transport == Transport::partial_sums && option.level == 0) factor = 1 / single_mass(model, placement, t);
    for (const Coefficient& c : coefficients(model, option, table.transport, model.shape(t), factor))
      quantities[c.quantity] += c.value * sum[c.feature];
  }
}

}  // namespace

const char* transport_name(Transport transport) {
  constexpr const char* kNames[kTransports] = {"staged", "direct", "pooled", "partial_sums"};
  return kNames[static_cast<size_t>(transport)];
}

Cost evaluate(const CostModel& model, const Placement& placement) {
  SPARROW_CHECK(static_cast<int>(placement.tables.size()) == model.tables(), "{} tables placed of {}",
                placement.tables.size(), model.tables());
  std::vector<double> quantities = model.base();
  for (int t = 0; t < model.tables(); ++t) add_table(model, placement, t, quantities);
  return cost_of(model, quantities);
}

double floor_bytes(const CostModel& model) {
  const Tree& tree = model.tree();
  double total = 0;
  for (int t = 0; t < model.tables(); ++t) {
    const Table& table = model.table(t);
    for (size_t c = 0; c < table.access.classes(); ++c) {
      const double* features = model.features_of(t, c);
      const double u = features[Features::v(0)];
      if (u <= 0) continue;
      double asked = 0, log_none_twice = 0;
      for (int r : tree.at_level(tree.depth())) {
        const double q = features[Features::v(r)], instances = static_cast<double>(tree.instances(r));
        asked += instances * q;
        if (q > 0) log_none_twice += instances * std::log1p(-q * q);
      }
      const double moved = 2 * asked - u + std::expm1(log_none_twice) / u;
      total += static_cast<double>(table.access.rows[c]) * static_cast<double>(table.wire_bytes) * std::max(0.0, moved);
    }
  }
  return total;
}

}  // namespace sparrow::placement
