// The least price of a table whose bags are pooled at the holders. The number of (sample, holder) pairs is concave in
// the mass that is pooled, so it is bounded from below by chords.
#include <algorithm>
#include <cmath>
#include <set>

#include "placement/linear_form.hpp"

namespace sparrow::placement {
namespace {

/// Chords of the number of pairs between masses in geometric steps from 1 / 300 of all mass (and from zero to there):
/// their minimum lies below it everywhere.
std::vector<PairLine> chords(double mass, double holders, double lookups, int count) {
  std::vector<PairLine> lines;
  double low = 0, low_pairs = 0;
  const double step = std::pow(300.0, 1.0 / (count - 1));
  for (int i = count - 1; i >= 0; --i) {
    const double high = mass * std::pow(step, -i), high_pairs = pooled_pairs(high, holders, lookups);
    const double slope = (high_pairs - low_pairs) / (high - low);
    lines.push_back({slope, low_pairs - slope * low});
    low = high;
    low_pairs = high_pairs;
  }
  return lines;
}

}  // namespace

double table_mass(const CostModel& model, int t) {
  double mass = 0;
  const auto& access = model.table(t).access;
  for (const auto& p : access.p)
    for (size_t c = 0; c < p.size(); ++c)
      mass += static_cast<double>(access.rows[c]) * p[c] / static_cast<double>(access.p.size());
  return std::min(mass, 1.0);
}

/// The pooled options of one level at given prices, taken together: what the rows of a class cost at least without
/// their pairs, and what their pairs cost at least.
struct LinearForm::PooledLevel {
  std::vector<double> without, per_pair;
  std::vector<int> option;     // of the cheapest
  double pair = kInfinity;     // of one pair per sample
  double holders = kInfinity;  // the fewer, the fewer pairs
};

void LinearForm::add_to_level(int t, const Variant& variant, const Prices& price, PooledLevel& level) const {
  const Matrix& without = matrices_.at({variant.option, Transport::pooled, model_.shape(t), 0.0});
  std::vector<double> base(features(), 0), pair(features(), 0);
  for (size_t k = 0; k < rows_.size(); ++k)
    for (size_t i = 0; i < features() && price[k] > 0; ++i) {
      base[i] += price[k] * without[k * features() + i];
      pair[i] += price[k] * (*variant.per_pair)[k * features() + i];
    }
  const auto& rows = model_.table(t).access.rows;
  level.without.resize(rows.size(), kInfinity);
  level.per_pair.resize(rows.size(), kInfinity);
  level.option.resize(rows.size(), variant.option);
  for (size_t c = 0; c < rows.size(); ++c) {
    const double n = static_cast<double>(rows[c]);
    const double cost = n * price_of(base, model_.features_of(t, c)),
                 of_pairs = n * price_of(pair, model_.features_of(t, c));
    if (cost + of_pairs < level.without[c] + level.per_pair[c]) level.option[c] = variant.option;
    level.without[c] = std::min(level.without[c], cost);
    level.per_pair[c] = std::min(level.per_pair[c], of_pairs);
  }
  double one = 0;
  for (int g = 0; g < model_.features().groups; ++g) one += pair[static_cast<size_t>(model_.features().p(g))];
  level.pair = std::min(level.pair, one);
  level.holders = std::min(level.holders, pooled_holders(model_.tree(), options_[static_cast<size_t>(variant.option)]));
}

/// Least price of table t when what is not local is pooled. Pairs are concave in the mass and zero without any, so the
/// pairs of several options of a level are at least those of all their mass on one with the fewest holders. For each
/// level they are the least of its chords: the minimum over every choice of one chord per level is exact for the
/// chords, and below the truth.
double LinearForm::pooled_bound(int t, const Prices& price, std::vector<double>* mass) const {
  const std::vector<Variant>& all = variants(t);
  const std::vector<std::vector<double>> prices = variant_prices(t, price);
  const auto& rows = model_.table(t).access.rows;
  std::vector<double> local(rows.size(), kInfinity);
  std::map<std::pair<int, double>, PooledLevel> levels;
  std::set<std::pair<int, double>> kinds;
  for (const Variant& variant : all) {
    const Option& option = options_[static_cast<size_t>(variant.option)];
    if (variant.pooled) kinds.emplace(option.level, pooled_holders(model_.tree(), option));
  }
  const bool apart = kinds.size() <= 4;
  for (size_t v = 0; v < all.size(); ++v) {
    const int level = options_[static_cast<size_t>(all[v].option)].level;
    if (all[v].pooled) {
      // Options of unlike numbers of holders are bounded apart, while there are few of them.
      const double holders = pooled_holders(model_.tree(), options_[static_cast<size_t>(all[v].option)]);
      add_to_level(t, all[v], price, levels[{level, apart ? holders : 0.0}]);
    } else if (level == model_.tree().depth()) {
      for (size_t c = 0; c < rows.size(); ++c)
        local[c] = std::min(local[c], static_cast<double>(rows[c]) * price_of(prices[v], model_.features_of(t, c)));
    }
  }
  const int lines = levels.size() <= 1 ? 40 : levels.size() == 2 ? 18 : levels.size() == 3 ? 7 : 4;
  std::vector<std::vector<PairLine>> chords_of;
  for (const auto& [number, level] : levels)
    chords_of.push_back(chords(table_mass(model_, t), level.holders, model_.table(t).lookups, lines));
  const auto cost_of = [&](const PooledLevel& level, const PairLine& line, size_t c) {
    return level.without[c] + line.slope * level.per_pair[c];
  };
  std::vector<size_t> choice(levels.size(), 0), best_choice = choice;
  double least = kInfinity;
  std::vector<double> cheapest(rows.size());
  for (bool more = true; more;) {
    cheapest = local;
    double total = 0;
    size_t i = 0;
    for (const auto& [number, level] : levels) {
      const PairLine& line = chords_of[i][choice[i]];
      ++i;
      total += line.intercept * level.pair;
      for (size_t c = 0; c < rows.size(); ++c) cheapest[c] = std::min(cheapest[c], cost_of(level, line, c));
    }
    for (double cost : cheapest) total += cost;
    if (total < least) least = total, best_choice = choice;
    i = 0;
    while (i < choice.size() && ++choice[i] == chords_of[i].size()) choice[i++] = 0;
    more = i < choice.size();
  }
  if (mass != nullptr) {  // where that minimum puts the rows
    mass->assign(options_.size(), 0);
    for (size_t c = 0; c < rows.size(); ++c) {
      double cost = local[c];
      int option = -1;
      size_t i = 0;
      for (const auto& [number, level] : levels) {
        const double of_level = cost_of(level, chords_of[i][best_choice[i]], c);
        ++i;
        if (of_level < cost) cost = of_level, option = level.option[c];
      }
      for (const auto& p : model_.table(t).access.p)
        if (option >= 0)
          (*mass)[static_cast<size_t>(option)] += static_cast<double>(rows[c]) * p[c] / model_.features().groups;
    }
  }
  return least;
}

}  // namespace sparrow::placement
