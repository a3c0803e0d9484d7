// From the solution of a family's programme to whole rows, and to what is reported of it.
#include <algorithm>
#include <cmath>

#include "placement/family_program.hpp"

namespace sparrow::placement {

/// Whole rows of one group: the options whose price rises least with use take the hottest rows.
void FamilyProgram::place_group(const Group& g, const double* x, const std::vector<std::vector<double>>& prices,
                                TablePlacement& placed) const {
  const auto& rows = model_.table(g.table).access.rows;
  std::vector<std::pair<double, size_t>> taken;  // (rise of the price from the coldest to the hottest class, index)
  for (size_t i = 0; i < g.variants.size(); ++i)
    if (x[i] > 0)
      taken.emplace_back(price_of(prices[g.variants[i]], model_.features_of(g.table, g.first)) -
                             price_of(prices[g.variants[i]], model_.features_of(g.table, g.last - 1)),
                         i);
  std::sort(taken.begin(), taken.end());
  double total = 0;
  for (size_t c = g.first; c < g.last; ++c) total += static_cast<double>(rows[c]);
  double share = 0, given = 0;
  size_t c = g.first;
  double left = static_cast<double>(rows[c]);
  for (size_t i = 0; i < taken.size(); ++i) {
    share += x[taken[i].second];
    double want = (i + 1 == taken.size() ? total : std::min(total, std::round(share * total))) - given;
    given += std::max(0.0, want);
    while (want > 0) {
      const double some = std::min(want, left);
      const int option = form_.variants(g.table)[g.variants[taken[i].second]].option;
      if (some > 0) placed.shares.push_back({static_cast<int32_t>(c), option, some});
      want -= some;
      left -= some;
      if (left <= 0 && c + 1 < g.last) left = static_cast<double>(rows[++c]);
    }
  }
}

Placement FamilyProgram::round(const Prices& price, const std::vector<double>& x) const {
  Placement placement;
  placement.options = form_.options();
  placement.tables.resize(static_cast<size_t>(model_.tables()));
  size_t column = 0;
  int table = -1;
  std::vector<std::vector<double>> prices;
  for (const Group& g : groups_) {
    if (g.table != table) prices = form_.variant_prices(table = g.table, price);
    TablePlacement& placed = placement.tables[static_cast<size_t>(g.table)];
    const bool pooled = form_.limits().pooling[static_cast<size_t>(g.table)] == Pooling::always;
    placed.transport = pooled ? Transport::pooled : form_.limits().transport;
    place_group(g, x.data() + column, prices, placed);
    column += g.variants.size();
  }
  return placement;
}

void FamilyProgram::report(const Prices& price, const std::vector<double>& x, FamilyResult& result) const {
  result.pooled_mass.assign(static_cast<size_t>(model_.tables()), std::vector<double>(form_.options().size(), 0));
  size_t j = 0;
  for (const Group& g : groups_)
    for (size_t v : g.variants) {
      const Variant& variant = form_.variants(g.table)[v];
      const double share = x[j++];
      if (share == 0 || !variant.pooled) continue;
      double mass = 0;
      for (size_t c = g.first; c < g.last; ++c)
        for (const auto& p : model_.table(g.table).access.p)
          mass += static_cast<double>(model_.table(g.table).access.rows[c]) * p[c] / model_.features().groups;
      result.pooled_mass[static_cast<size_t>(g.table)][static_cast<size_t>(variant.option)] += share * mass;
    }
  for (int t = 0; t < model_.tables(); ++t) {
    const bool either = form_.limits().pooling[static_cast<size_t>(t)] == Pooling::either;
    result.pooled_mass_then.emplace_back();
    if (either)
      result.pooling_costs.push_back(form_.least_price(t, true, price, &result.pooled_mass_then.back()) -
                                     form_.least_price(t, false, price));
    else
      result.pooling_costs.push_back(0);
  }

  const std::vector<double> load = loads(x);
  std::map<std::pair<std::string, std::string>, double> by_resource;
  result.quantity_price.assign(static_cast<size_t>(model_.quantities().size()), 0);
  for (size_t k = 0; k < form_.rows().size(); ++k) {
    const CouplingRow& row = form_.rows()[k];
    if (price[k] > 0) result.book[row.number] = price[k];
    double spent = load[k];
    for (const auto& [quantity, per_unit] : row.terms) {
      result.quantity_price[static_cast<size_t>(quantity)] += price[k] * per_unit;
      spent += per_unit * model_.base()[static_cast<size_t>(quantity)];
    }
    by_resource[{row.resource, row.kind}] += row.is_time() ? price[k] * spent : price[k];
  }
  for (int part = 0; part < form_.parts(); ++part)
    result.book[number_of_part(part)] = price[form_.rows().size() + static_cast<size_t>(part)];
  for (const auto& [name, seconds] : by_resource)
    if (seconds > 0) result.prices.push_back({name.first, name.second, seconds});
}

}  // namespace sparrow::placement
