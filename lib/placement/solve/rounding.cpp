// From the solution of a family's programme to whole rows, and to what is reported of it.
#include <algorithm>
#include <cmath>

#include "placement/solve/family_program.hpp"

namespace sparrow::placement {

/// Whole rows of one group: the options whose price rises least with use take the hottest rows.
void FamilyProgram::place_group(const Group& g, const double* x, const std::vector<std::vector<double>>& prices,
                                TablePlacement& placed) const {
  const auto& rows = model_.table(g.table).access.rows;
  std::vector<std::pair<double, size_t>> taken;  // (rise of the price from the coldest to the hottest class, index)
  for (size_t i = 0; i < g.variants.size(); ++i)
    if (x[i] > 0)
      taken.emplace_back(placement::price_of(prices[g.variants[i]], model_.features_of(g.table, g.first)) -
                             placement::price_of(prices[g.variants[i]], model_.features_of(g.table, g.last - 1)),
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
  placement.tables.resize(model_.tables());
  size_t column = 0;
  int table = -1;
  std::vector<std::vector<double>> prices;
  for (const Group& g : groups_) {
    if (g.table != table) prices = form_.variant_prices(table = g.table, price);
    TablePlacement& placed = placement.tables[g.table];
    const bool pooled = form_.limits().pooling[g.table] == Pooling::along;
    placed.transport = pooled ? Transport::pooled : form_.limits().transport;
    place_group(g, x.data() + column, prices, placed);
    column += g.variants.size();
  }
  return placement;
}

/// The mass that every option holds of tables pooled along a tangent.
void FamilyProgram::report_masses(const std::vector<double>& x, FamilyResult& result) const {
  result.pooled_mass.assign(model_.tables(), std::vector<double>(form_.options().size(), 0));
  size_t j = 0;
  for (const Group& g : groups_) {
    if (g.whole()) {
      j += g.columns();
      continue;
    }
    for (size_t v : g.variants) {
      const Variant& variant = form_.variants(g.table)[v];
      const double share = x[j++];
      if (share == 0 || !variant.pooled) continue;
      double mass = 0;
      for (size_t c = g.first; c < g.last; ++c)
        for (const auto& p : model_.table(g.table).access.p)
          mass += static_cast<double>(model_.table(g.table).access.rows[c]) * p[c] / model_.features().groups;
      result.pooled_mass[g.table][variant.option] += share * mass;
    }
  }
}

/// A table whose every row every rank has belongs to the placements with pooling as well as to those without.
TableMix FamilyProgram::mix_of(const Group& g, const double* x, const Prices& price) const {
  TableMix mix;
  const size_t options = form_.options().size();
  mix.mass.assign(options, 0);
  mix.missing.assign(options, 0);
  for (size_t o = 0; o < options; ++o) mix.within.push_back(form_.interval(g.table, static_cast<int>(o)));
  double plain = 0, pooled = 0, local = 0;
  std::vector<double> pairs(options, 0);
  for (size_t i = 0; i < g.columns(); ++i) {
    if (x[i] <= 0) continue;
    mix.price += x[i] * placement::price_of(form_, g.table, g.placements[i], price);
    const auto& parts = g.placements[i].parts;
    const bool all_local = std::all_of(parts.begin(), parts.end(), [&](const TableColumn::OptionRows& part) {
      return form_.options()[part.option].level == model_.tree().depth();
    });
    (all_local ? local : g.placements[i].pooled ? pooled : plain) += x[i];
    for (const TableColumn::OptionRows& part : parts) {
      if (!g.placements[i].pooled) continue;
      mix.mass[part.option] += x[i] * part.mass;
      pairs[part.option] += x[i] * part.pairs;
    }
  }
  mix.pooled_share = pooled + plain > 0 ? pooled / (pooled + plain) : 0;
  if (pooled <= 0) return mix;
  const double whole = pooled + local;
  for (size_t o = 0; o < options; ++o) {
    if (mix.mass[o] <= 0) continue;
    mix.mass[o] = std::min(mix.mass[o] / whole, table_mass(model_, g.table));
    const Variant& variant = form_.variant_of(g.table, static_cast<int>(o), true);
    if (!variant.pooled) continue;
    double pair = 0;
    for (double one : form_.pair_prices(variant, price)) pair += one / model_.features().groups;
    const PairCurve curve = pair_curve(model_, g.table, form_.options()[o]);
    mix.missing[o] = whole * pair * std::max(0.0, curve.at(mix.mass[o]) - pairs[o] / whole);
  }
  return mix;
}

void FamilyProgram::report(const Prices& price, const std::vector<double>& x, FamilyResult& result) const {
  report_masses(x, result);
  result.mixes.resize(model_.tables());
  result.columns.resize(model_.tables());
  size_t j = 0;
  for (const Group& g : groups_) {
    if (g.whole()) {
      result.mixes[g.table] = mix_of(g, x.data() + j, price);
      result.columns[g.table] = g.placements;
    }
    j += g.columns();
  }

  const std::vector<double> load = loads(x);
  std::map<std::pair<std::string, std::string>, double> by_resource;
  result.quantity_price.assign(model_.quantities().size(), 0);
  for (size_t k = 0; k < form_.rows().size(); ++k) {
    const CouplingRow& row = form_.rows()[k];
    if (price[k] > 0) result.book[row.number] = price[k];
    double spent = load[k];
    for (const auto& [quantity, per_unit] : row.terms) {
      result.quantity_price[quantity] += price[k] * per_unit;
      spent += per_unit * model_.base()[quantity];
    }
    by_resource[{row.resource, row.kind}] += row.is_time() ? price[k] * spent : price[k];
  }
  for (int part = 0; part < form_.parts(); ++part)
    result.book[number_of_part(part)] = price[form_.rows().size() + static_cast<size_t>(part)];
  for (const auto& [name, seconds] : by_resource)
    if (seconds > 0) result.prices.push_back({name.first, name.second, seconds});
}

}  // namespace sparrow::placement
