// Options, coupling rows and coefficients of a family.
#include "placement/solve/linear_form.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace sparrow::placement {
namespace {

constexpr int kFirstMemory = 1 << 20;  // numbers of memory rows; those of time rows lie below

}  // namespace

double price_of(const std::vector<double>& per_feature, const double* features) {
  double sum = 0;
  for (size_t i = 0; i < per_feature.size(); ++i) sum += per_feature[i] * features[i];
  return sum;
}

LinearForm::LinearForm(const CostModel& model, const SolveOptions& settings, const FamilyLimits& limits,
                       const std::vector<std::vector<double>>& extra_bytes)
    : model_(model), limits_(limits), options_(family_options(model, settings, limits)) {
  if (options_.empty()) return;
  find_switches();
  make_rows(extra_bytes);
  make_variants();
}

/// A switch is on when some option of the family, or the dense parameters, move what it stands for. The sets of
/// switches that a placement may leave off are families of their own.
void LinearForm::find_switches() {
  std::vector<double> moved = model_.base();
  const bool bags = limits_.any(Pooling::along) || limits_.any(Pooling::always) || limits_.any(Pooling::either);
  const bool all_bags = !limits_.any(Pooling::never) && !limits_.any(Pooling::either);
  for (const Option& option : options_)
    for (Transport transport : {limits_.transport, Transport::pooled}) {
      const bool pooled = transport == Transport::pooled;
      if (!allowed(option, pooled) || (pooled ? !bags : all_bags && option.level < model_.tree().depth())) continue;
      for (const Coefficient& c : coefficients(model_, option, transport, model_.shape(0)))
        if (c.value > 0 && model_.occurs(c.feature)) moved[c.quantity] += c.value;
    }
  for (const auto& quantities : model_.time().switch_quantities)
    switch_on_.push_back(std::any_of(quantities.begin(), quantities.end(), [&](int q) { return moved[q] > 0; }));
}

void LinearForm::add_time_row(const TimeRow& row, int step, int number) {
  CouplingRow result{number, row.resource, row.kind, row.terms, row.constant, 0, step};
  for (const auto& [index, seconds] : row.switch_seconds)
    if (switch_on_[index]) result.constant += seconds;
  for (const auto& [quantity, per_unit] : row.terms) result.constant += per_unit * model_.base()[quantity];
  rows_.push_back(std::move(result));
}

void LinearForm::add_memory_row(Site site, double extra_bytes) {
  const bool used = std::any_of(options_.begin(), options_.end(), [&](const Option& o) {
    return std::find(o.sites.begin(), o.sites.end(), site) != o.sites.end();
  });
  if (!used) return;
  const int quantity = model_.quantities().memory(site);
  const double capacity = std::max(model_.capacity(site) - extra_bytes, 1e-3);
  rows_.push_back(
      {kFirstMemory + quantity, model_.tree().site_name(site), "memory", {{quantity, 1.0}}, 0, capacity, -1});
}

void LinearForm::make_rows(const std::vector<std::vector<double>>& extra_bytes) {
  const TimeModel& time = model_.time();
  const bool overlapped = parts() > 0;
  std::vector<int> step_of(time.steps.size(), -1);
  int number = 0;
  for (const TimeRow& row : time.rows) {
    ++number;
    const Chain chain = time.steps[row.step].chain;
    if ((chain == Chain::sequential) == overlapped || chain == Chain::dense)
      continue;  // the dense chain is a shared row
    int& step = step_of[row.step];
    if (step < 0) {
      step = static_cast<int>(part_of_.size());
      part_of_.push_back(chain == Chain::sequential ? -1 : chain == Chain::beside ? 0 : 1);
    }
    add_time_row(row, step, number);
  }
  fixed_seconds_ = overlapped ? 0 : time.compute_seconds;
  for (const SharedRow& shared : time.shared) {
    ++number;
    if (overlapped) add_time_row(shared.row, part_tau(static_cast<int>(shared.window)), number);
  }
  for (int d = 0; d < model_.tree().size(); ++d)
    for (size_t s = 0; s < model_.tree().domain(d).stores.size(); ++s)
      add_memory_row({d, static_cast<int>(s)}, extra_bytes[d][s]);
}

std::vector<int> LinearForm::taus_of(const CouplingRow& row) const {
  if (row.step < taus()) return {row.step};
  return {part_tau(0), part_tau(1)};
}

Matrix& LinearForm::new_matrix(int option, Transport transport, const TableShape& shape, double factor, bool& made) {
  const auto [at, inserted] = matrices_.try_emplace({option, transport, shape, factor});
  made = inserted;
  return at->second;
}

const Matrix& LinearForm::matrix(int option, Transport transport, const TableShape& shape, double factor) {
  bool made = false;
  Matrix& m = new_matrix(option, transport, shape, factor, made);
  if (!made) return m;
  const size_t f = features();
  m.assign(rows_.size() * f, 0);
  std::vector<std::vector<double>> by_quantity(model_.quantities().size());
  for (const Coefficient& c : coefficients(model_, options_[option], transport, shape, factor)) {
    auto& by_feature = by_quantity[c.quantity];
    if (by_feature.empty()) by_feature.assign(f, 0);
    by_feature[c.feature] += c.value;
  }
  for (size_t k = 0; k < rows_.size(); ++k)
    for (const auto& [quantity, per_unit] : rows_[k].terms) {
      const auto& by_feature = by_quantity[quantity];
      for (size_t i = 0; i < by_feature.size(); ++i) m[k * f + i] += per_unit * by_feature[i];
    }
  return m;
}

/// The exchanges that an option needs belong to the family.
bool LinearForm::allowed(const Option& option, bool pooled) const {
  const int depth = model_.tree().depth();
  return pooled ? option.level >= limits_.pooled_level && option.level < depth
                : option.level >= limits_.plain_level || option.level == depth;
}

/// What one pair more per unit of mass adds: the difference of the coefficients with one and none.
const Matrix& LinearForm::per_pair(int t, int option) {
  const TableShape shape = model_.shape(t);
  const Matrix &no_pair = matrix(option, Transport::pooled, shape, 0),
               &one_pair = matrix(option, Transport::pooled, shape, 1);
  constexpr double kDifference = -1;  // in place of a factor
  bool made = false;
  Matrix& result = new_matrix(option, Transport::pooled, shape, kDifference, made);
  if (made)
    for (size_t i = 0; i < one_pair.size(); ++i) result.push_back(one_pair[i] - no_pair[i]);
  return result;
}

/// A pooled variant along the tangent at the mass that the limits name; its intercept becomes a constant of the rows.
Variant LinearForm::along(int t, int option) {
  const double mass = limits_.pooled_mass[t][option];
  const PairLine line = pair_curve(model_, t, options_[option]).tangent(mass);
  const Matrix& of_pair = per_pair(t, option);
  for (size_t k = 0; k < rows_.size() && line.intercept > 0; ++k)
    for (int g = 0; g < model_.features().groups; ++g)
      pooled_constants_[k] += line.intercept * of_pair[k * features() + static_cast<size_t>(model_.features().p(g))];
  return {option, true, &matrix(option, Transport::pooled, model_.shape(t), line.slope), &of_pair};
}

/// Mass of the hottest rows of table t that the option's sites have room for, were they for this table alone.
double LinearForm::mass_that_fits(int t, const Option& option) const {
  double room = kInfinity;
  const auto& types = model_.tree().at_level(option.level);
  for (size_t i = 0; i < types.size(); ++i) {
    const Site site = option.sites[i];
    const double slots = static_cast<double>(model_.tree().instances_in(site.domain, types[i]));
    room = std::min(room, slots * std::max(0.0, model_.capacity(site)) / model_.shape(t).stored_bytes);
  }
  const auto& access = model_.table(t).access;
  double mass = 0;
  for (size_t c = 0; c < access.classes() && room > 0; ++c) {
    const double rows = std::min(room, static_cast<double>(access.rows[c]));
    room -= rows;
    for (const auto& p : access.p) mass += rows * p[c] / static_cast<double>(access.p.size());
  }
  return std::min(mass, table_mass(model_, t));
}

MassInterval LinearForm::interval(int t, int option) const {
  const double most = most_mass_[t][option];
  const auto& held = limits_.held_to[t];
  const auto at = held.find(option);
  return at == held.end() ? MassInterval{0, most} : at->second;
}

void LinearForm::make_variants() {
  pooled_constants_.assign(rows_.size(), 0);
  most_mass_.resize(model_.tables());
  for (int t = 0; t < model_.tables(); ++t) {
    variants_.emplace_back();
    for (size_t o = 0; o < options_.size() && limits_.whole(t); ++o)
      most_mass_[t].push_back(mass_that_fits(t, options_[o]));
    const Pooling pooling = limits_.pooling[t];
    for (int o = 0; o < static_cast<int>(options_.size()); ++o) {
      const Option& option = options_[o];
      const bool plain =
          pooling == Pooling::never || pooling == Pooling::either || option.level == model_.tree().depth();
      if (plain && allowed(option, false))
        variants_.back().push_back({o, false, &matrix(o, limits_.transport, model_.shape(t), 1), nullptr});
      if (pooling == Pooling::never || !allowed(option, true)) continue;
      if (pooling == Pooling::along)
        variants_.back().push_back(along(t, o));
      else
        variants_.back().push_back({o, true, &matrix(o, Transport::pooled, model_.shape(t), 0), &per_pair(t, o)});
    }
  }
}

const Variant& LinearForm::variant_of(int t, int option, bool pooled) const {
  const bool local = options_[option].level == model_.tree().depth();
  for (const Variant& variant : variants(t))
    if (variant.option == option && variant.pooled == (pooled && !local)) return variant;
  fail("placement: table {} has no option {}", t, option);
}

/// Coefficient by coefficient: features are never negative.
bool LinearForm::dominated(size_t row, size_t by) const {
  if (rows_[row].step != rows_[by].step) return false;
  const double mine = rows_[row].constant + pooled_constants_[row], other = rows_[by].constant + pooled_constants_[by];
  if (mine > other) return false;
  bool equal = mine == other;
  for (const auto& [key, m] : matrices_)
    for (size_t i = 0; i < features(); ++i) {
      const double a = m[row * features() + i], b = m[by * features() + i];
      if (a > b * (1 + 1e-14)) return false;
      equal = equal && a == b;
    }
  return !equal || by < row;
}

void LinearForm::drop_dominated() {
  std::vector<bool> dropped(rows_.size(), false);
  for (size_t k = 0; k < rows_.size(); ++k)
    for (size_t by = 0; by < rows_.size() && rows_[k].is_time() && !dropped[k]; ++by)
      dropped[k] = by != k && !dropped[by] && dominated(k, by);
  std::vector<size_t> kept;
  for (size_t k = 0; k < rows_.size(); ++k)
    if (!dropped[k]) kept.push_back(k);
  const auto at = [&](Matrix& m, size_t k) { return m.begin() + static_cast<std::ptrdiff_t>(k * features()); };
  for (auto& [key, m] : matrices_) {
    Matrix smaller;
    for (size_t k : kept) smaller.insert(smaller.end(), at(m, k), at(m, k + 1));
    m = std::move(smaller);
  }
  std::vector<CouplingRow> rows;
  std::vector<double> constants;
  for (size_t k : kept) {
    rows.push_back(std::move(rows_[k]));
    constants.push_back(pooled_constants_[k]);
  }
  rows_ = std::move(rows);
  pooled_constants_ = std::move(constants);
}

/// The dual: prices of a part's rows, of the sum of its steps and of rows of the whole iteration sum to at most 1;
/// those of a step to at most the price of the sum it is in.
Prices LinearForm::feasible(Prices price) const {
  const auto groups = static_cast<size_t>(taus()) + 1;
  std::vector<double> sum(groups, 0), scale(groups, 1);
  for (size_t k = 0; k < rows_.size(); ++k)
    if (rows_[k].is_time()) sum[rows_[k].step] += price[k];
  const auto scaled = [](double total, double limit) { return total > limit ? limit / total : 1.0; };
  scale.back() = scaled(sum.back(), 1);
  const double left = 1 - std::min(1.0, sum.back());
  for (int part = 0; part < parts(); ++part) {
    double& of_steps = price[rows_.size() + static_cast<size_t>(part)];
    const auto tau = static_cast<size_t>(part_tau(part));
    scale[tau] = scaled(sum[tau] + of_steps, left);
    of_steps *= scale[tau];
  }
  for (size_t step = 0; step < part_of_.size(); ++step)
    scale[step] = scaled(sum[step], part_of_[step] < 0 ? 1 : price[rows_.size() + static_cast<size_t>(part_of_[step])]);
  for (size_t k = 0; k < rows_.size(); ++k)
    if (rows_[k].is_time()) price[k] *= scale[rows_[k].step];
  return price;
}

Prices LinearForm::from_book(const PriceBook& book) const {
  Prices price(rows_.size() + static_cast<size_t>(parts()), 0);
  const auto priced = [&](int number) {
    const auto at = book.find(number);
    return at == book.end() ? 0.0 : at->second;
  };
  for (size_t k = 0; k < rows_.size(); ++k) price[k] = priced(rows_[k].number);
  for (int part = 0; part < parts(); ++part)
    price[rows_.size() + static_cast<size_t>(part)] = priced(number_of_part(part));
  return feasible(price);
}

std::vector<std::vector<double>> LinearForm::variant_prices(int t, const Prices& price) const {
  std::vector<std::vector<double>> result;
  for (const Variant& variant : variants(t)) {
    std::vector<double> sums(features(), 0.0);
    for (size_t k = 0; k < rows_.size(); ++k)
      if (price[k] > 0)
        for (size_t i = 0; i < features(); ++i) sums[i] += price[k] * (*variant.matrix)[k * features() + i];
    result.push_back(std::move(sums));
  }
  return result;
}

std::vector<double> LinearForm::pair_prices(const Variant& variant, const Prices& price) const {
  std::vector<double> result(model_.features().groups, 0.0);
  for (size_t k = 0; k < rows_.size(); ++k)
    for (size_t g = 0; g < result.size() && price[k] > 0; ++g)
      result[g] += price[k] *
                   (*variant.per_pair)[k * features() + static_cast<size_t>(model_.features().p(static_cast<int>(g)))];
  return result;
}

double LinearForm::least_price(int t, const Prices& price) const {
  const std::vector<std::vector<double>> prices = variant_prices(t, price);
  if (prices.empty()) return kInfinity;
  double sum = 0;
  const auto& rows = model_.table(t).access.rows;
  for (size_t c = 0; c < rows.size(); ++c) {
    double cheapest = kInfinity;
    for (const auto& of_variant : prices) cheapest = std::min(cheapest, price_of(of_variant, model_.features_of(t, c)));
    sum += static_cast<double>(rows[c]) * cheapest;
  }
  return sum;
}

double LinearForm::constant_price(const Prices& price) const {
  double sum = fixed_seconds_;
  for (size_t k = 0; k < rows_.size(); ++k)
    sum += price[k] * (rows_[k].is_time() ? rows_[k].constant : -rows_[k].capacity);
  return sum;
}

}  // namespace sparrow::placement
