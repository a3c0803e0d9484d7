#include "placement/solve/table_column.hpp"

#include <algorithm>

namespace sparrow::placement {

std::vector<TableColumn> pure_columns(const LinearForm& form, int t) {
  const CostModel& model = form.model();
  const auto f = static_cast<size_t>(model.features().size());
  std::vector<double> sums(f, 0);
  const auto& rows = model.table(t).access.rows;
  for (size_t c = 0; c < rows.size(); ++c)
    for (size_t i = 0; i < f; ++i) sums[i] += static_cast<double>(rows[c]) * model.features_of(t, c)[i];
  std::vector<TableColumn> result;
  const bool always = form.limits().pooling[t] == Pooling::always;
  for (const Variant& variant : form.variants(t)) {
    const double mass = variant.pooled ? table_mass(model, t) : 0;
    result.push_back({variant.pooled || always, {{variant.option, mass, 0, sums}}});
    charge_pairs(form, t, result.back());
  }
  return result;
}

void charge_pairs(const LinearForm& form, int t, TableColumn& column) {
  if (!column.pooled) return;
  const CostModel& model = form.model();
  const auto f = static_cast<size_t>(model.features().size());
  for (const auto& [option, within] : form.limits().held_to[t])
    if (std::none_of(column.parts.begin(), column.parts.end(), [&](const auto& p) { return p.option == option; }))
      column.parts.push_back({option, 0, 0, std::vector<double>(f, 0.0)});
  for (TableColumn::OptionRows& part : column.parts) {
    const Option& option = form.options()[part.option];
    if (option.level == model.tree().depth()) continue;
    part.pairs = pair_curve(model, t, option).at_or_beyond(part.mass, form.interval(t, part.option));
  }
}

double load_of(const LinearForm& form, int t, const TableColumn& column, size_t k) {
  double load = 0;
  const size_t f = form.features();
  const Features& number = form.model().features();
  for (const TableColumn::OptionRows& part : column.parts) {
    const Variant& variant = form.variant_of(t, part.option, column.pooled);
    const double* row = variant.matrix->data() + k * f;
    for (size_t i = 0; i < f; ++i) load += row[i] * part.features[i];
    if (!variant.pooled || part.pairs == 0) continue;
    const double* per_pair = variant.per_pair->data() + k * f;
    if (number.groups == 1) {
      load += part.pairs * per_pair[number.p(0)];
    } else if (part.mass > 0) {
      for (int g = 0; g < number.groups; ++g)
        load += part.pairs / part.mass * per_pair[number.p(g)] * part.features[number.p(g)];
    }
  }
  return load;
}

double price_of(const LinearForm& form, int t, const TableColumn& column, const Prices& price) {
  double sum = 0;
  for (size_t k = 0; k < form.rows().size(); ++k)
    if (price[k] > 0) sum += price[k] * load_of(form, t, column, k);
  return sum;
}

}  // namespace sparrow::placement
