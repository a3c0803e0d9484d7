#include "placement/solve/table_pricing.hpp"

#include <algorithm>

namespace sparrow::placement {

TableChoice cheapest_plain(const LinearForm& form, int t, const Prices& price) {
  const CostModel& model = form.model();
  const auto& rows = model.table(t).access.rows;
  const auto f = static_cast<size_t>(model.features().size());
  const std::vector<std::vector<double>> prices = form.variant_prices(t, price);
  std::vector<TableColumn::OptionRows> by_option(form.options().size());
  TableChoice result;
  double sum = 0;
  for (size_t c = 0; c < rows.size(); ++c) {
    const double* features = model.features_of(t, c);
    double cheapest = kInfinity;
    int option = -1;
    for (size_t v = 0; v < prices.size(); ++v) {
      if (form.variants(t)[v].pooled) continue;
      const double cost = price_of(prices[v], features);
      if (cost < cheapest) cheapest = cost, option = form.variants(t)[v].option;
    }
    if (option < 0) return result;
    const double n = static_cast<double>(rows[c]);
    sum += n * cheapest;
    std::vector<double>& sums = by_option[option].features;
    if (sums.empty()) sums.assign(f, 0);
    for (size_t i = 0; i < f; ++i) sums[i] += n * features[i];
  }
  result.least = sum;
  for (size_t o = 0; o < by_option.size(); ++o) {
    if (by_option[o].features.empty()) continue;
    by_option[o].option = static_cast<int>(o);
    result.column.parts.push_back(std::move(by_option[o]));
  }
  return result;
}

namespace {

/// Whether table t has the same rows, shape and limits as the table before it, and so the same prices. Hundreds of
/// tables are often copies of one.
bool as_before(const LinearForm& form, int t) {
  if (t == 0) return false;
  const CostModel& model = form.model();
  const FamilyLimits& limits = form.limits();
  const auto same = [t](const auto& of_tables) { return of_tables[t] == of_tables[t - 1]; };
  return model.shape(t) == model.shape(t - 1) && model.table(t).access.rows == model.table(t - 1).access.rows &&
         model.table(t).access.p == model.table(t - 1).access.p && same(limits.pooling) && same(limits.held_to) &&
         same(limits.pooled_mass);
}

}  // namespace

double lagrangian(const LinearForm& form, const Prices& price, double tolerance, std::vector<TableChoices>* choices) {
  double bound = form.constant_price(price), least = 0;
  TableChoices choice;
  for (int t = 0; t < form.model().tables(); ++t) {
    const bool whole = form.limits().whole(t);
    if (!as_before(form, t)) {
      choice = {};
      if (whole) choice.pooled = cheapest_pooled(form, t, price, tolerance);
      if (form.limits().pooling[t] == Pooling::either) choice.plain = cheapest_plain(form, t, price);
      least = whole ? std::min(choice.plain.least, choice.pooled.least) : form.least_price(t, price);
    }
    bound += least;
    if (whole && choices != nullptr) (*choices)[t] = choice;
  }
  return bound;
}

}  // namespace sparrow::placement
