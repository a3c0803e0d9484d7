#include "placement/solve/pooled_table.hpp"

#include <algorithm>
#include <cmath>

namespace sparrow::placement {
namespace {

constexpr size_t kMaxNodes = 400;  // of one table's branch and bound; the bound stays true beyond it

/// An option of the table at given prices.
struct Offer {
  int option = 0;
  bool pooled = false;
  std::vector<double> cost;   // of all rows of each class, without pairs
  std::vector<double> pairs;  // price of the pairs of each class, when they were its mass
  double pair = 0;            // price of one pair per sample
  PairCurve curve;
  MassInterval within;
};

/// A part of the search: every pooled offer within an interval, where a line stands for its pairs.
struct Node {
  std::vector<MassInterval> within;
  std::vector<PairLine> lines;
  double least = 0;            // with the lines: a bound for all placements within
  std::vector<double> mass;    // by offer, of the cheapest placement with the lines
  std::vector<double> weight;  // by offer: price of its pairs, when they were its mass
};

class PooledTable {
 public:
  PooledTable(const LinearForm& form, int t, const Prices& price);
  TableChoice solve(double tolerance);

 private:
  void drop_dominated();
  bool dominated(const Offer& offer, const Offer& by) const;
  Node evaluated(std::vector<MassInterval> within);
  double charged(const Node& node, size_t i) const;
  double price_of(const Node& node) const;
  bool split(const Node& node, double tolerance, std::vector<Node>& open);
  TableColumn column() const;

  const LinearForm& form_;
  const int t_;
  const size_t classes_;
  std::vector<Offer> offers_;
  std::vector<double> local_;      // the cheapest option that needs no exchange, per class
  std::vector<int> local_option_;  // -1: none
  std::vector<double> cheapest_;   // of the node that was evaluated last
  std::vector<int> taken_;         // by class: offer, or -1 for the local option
  std::vector<int> best_;          // taken_ of the cheapest placement met
  std::vector<double> best_pairs_;
  double least_true_ = kInfinity;
};

PooledTable::PooledTable(const LinearForm& form, int t, const Prices& price)
    : form_(form),
      t_(t),
      classes_(form.model().table(t).access.classes()),
      local_(classes_, kInfinity),
      local_option_(classes_, -1),
      cheapest_(classes_),
      taken_(classes_) {
  const CostModel& model = form.model();
  const auto& rows = model.table(t).access.rows;
  const std::vector<std::vector<double>> prices = form.variant_prices(t, price);
  for (size_t v = 0; v < prices.size(); ++v) {
    const Variant& variant = form.variants(t)[v];
    const Option& option = form.options()[variant.option];
    const bool local = option.level == model.tree().depth();
    if (!variant.pooled && !local) continue;
    Offer offer{variant.option, variant.pooled, std::vector<double>(classes_), {}, 0, {}, {}};
    for (size_t c = 0; c < classes_; ++c)
      offer.cost[c] = static_cast<double>(rows[c]) * placement::price_of(prices[v], model.features_of(t, c));
    if (local) {
      for (size_t c = 0; c < classes_; ++c)
        if (offer.cost[c] < local_[c]) local_[c] = offer.cost[c], local_option_[c] = variant.option;
      continue;
    }
    const std::vector<double> of_pair = form.pair_prices(variant, price);
    offer.curve = pair_curve(model, t, option);
    offer.within = form.interval(t, variant.option);
    offer.pairs.resize(classes_);
    for (size_t c = 0; c < classes_; ++c)
      for (size_t g = 0; g < of_pair.size(); ++g)
        offer.pairs[c] += of_pair[g] * static_cast<double>(rows[c]) *
                          model.features_of(t, c)[model.features().p(static_cast<int>(g))];
    for (double one : of_pair) offer.pair += one / static_cast<double>(of_pair.size());
    offers_.push_back(std::move(offer));
  }
  drop_dominated();
}

/// Rows may move from `offer` to `by` without costing more: pairs are concave and zero without mass, so those of both
/// together are no more than those apart.
bool PooledTable::dominated(const Offer& offer, const Offer& by) const {
  if (by.pair > offer.pair || by.curve.holders > offer.curve.holders) return false;
  if (by.within.high < table_mass(form_.model(), t_)) return false;  // all of it must fit
  for (size_t c = 0; c < classes_; ++c)
    if (by.cost[c] > offer.cost[c] || by.pairs[c] > offer.pairs[c]) return false;
  return true;
}

void PooledTable::drop_dominated() {
  const auto& held = form_.limits().held_to[t_];
  const auto free = [&](const Offer& o) { return !held.contains(o.option); };
  std::vector<bool> dropped(offers_.size(), false);
  for (size_t i = 0; i < offers_.size(); ++i) {
    if (!free(offers_[i])) continue;
    bool local = true;
    for (size_t c = 0; c < classes_ && local; ++c) local = local_[c] <= offers_[i].cost[c];
    dropped[i] = local;
    for (size_t by = 0; by < offers_.size() && !dropped[i]; ++by)
      dropped[i] = by != i && !dropped[by] && free(offers_[by]) && dominated(offers_[i], offers_[by]);
  }
  size_t kept = 0;
  for (size_t i = 0; i < offers_.size(); ++i)
    if (!dropped[i]) {
      if (kept != i) offers_[kept] = std::move(offers_[i]);
      ++kept;
    }
  offers_.resize(kept);
}

/// Leaves the cheapest placement in taken_.
Node PooledTable::evaluated(std::vector<MassInterval> within) {
  Node node{std::move(within), {}, 0, std::vector<double>(offers_.size(), 0), std::vector<double>(offers_.size(), 0)};
  cheapest_ = local_;
  std::fill(taken_.begin(), taken_.end(), -1);
  for (size_t i = 0; i < offers_.size(); ++i) {
    const Offer& offer = offers_[i];
    const PairLine line = offer.curve.below(node.within[i]);
    node.lines.push_back(line);
    node.least += line.intercept * offer.pair;
    for (size_t c = 0; c < classes_; ++c) {
      const double cost = offer.cost[c] + line.slope * offer.pairs[c];
      if (cost < cheapest_[c]) cheapest_[c] = cost, taken_[c] = static_cast<int>(i);
    }
  }
  const auto& access = form_.model().table(t_).access;
  for (size_t c = 0; c < classes_; ++c) {
    node.least += cheapest_[c];
    if (taken_[c] < 0) continue;
    const auto i = static_cast<size_t>(taken_[c]);
    node.weight[i] += offers_[i].pairs[c];
    for (const auto& p : access.p)
      node.mass[i] += static_cast<double>(access.rows[c]) * p[c] / static_cast<double>(access.p.size());
  }
  return node;
}

/// Pairs of offer i in the cheapest placement of the node, as the limits charge them.
double PooledTable::charged(const Node& node, size_t i) const {
  const Offer& offer = offers_[i];
  return offer.within.contains(node.mass[i]) ? offer.curve.at(node.mass[i])
                                             : std::max(offer.curve.at(node.mass[i]), node.lines[i].at(node.mass[i]));
}

double PooledTable::price_of(const Node& node) const {
  double price = node.least;
  for (size_t i = 0; i < offers_.size(); ++i) {
    if (node.mass[i] <= 0) continue;  // then the line's intercept is charged
    price += node.weight[i] * (charged(node, i) / node.mass[i] - node.lines[i].slope) -
             node.lines[i].intercept * offers_[i].pair;
  }
  return price;
}

/// Splits the interval of the offer whose line is furthest below what its mass costs. False: none is.
bool PooledTable::split(const Node& node, double tolerance, std::vector<Node>& open) {
  double furthest = tolerance / static_cast<double>(offers_.size());
  size_t worst = offers_.size();
  double at = 0;
  for (size_t i = 0; i < offers_.size(); ++i) {
    const MassInterval& within = node.within[i];
    if (node.mass[i] <= 0 || within.high - within.low < 1e-9) continue;
    const double below = node.weight[i] * (charged(node, i) / node.mass[i] - node.lines[i].slope) -
                         node.lines[i].intercept * offers_[i].pair;
    if (below <= furthest) continue;
    furthest = below;
    worst = i;
    const double margin = 0.02 * (within.high - within.low);
    at = std::clamp(node.mass[i], within.low + margin, within.high - margin);
  }
  if (worst == offers_.size()) return false;
  for (bool upper : {false, true}) {
    std::vector<MassInterval> within = node.within;
    (upper ? within[worst].low : within[worst].high) = at;
    Node child = evaluated(std::move(within));
    child.least = std::max(child.least, node.least);
    const double price = price_of(child);
    if (price < least_true_) {
      least_true_ = price;
      best_ = taken_;
      best_pairs_.assign(offers_.size(), 0);
      for (size_t i = 0; i < offers_.size(); ++i)
        best_pairs_[i] = child.mass[i] > 0 ? charged(child, i) : child.lines[i].intercept;
    }
    open.push_back(std::move(child));
  }
  return true;
}

TableColumn PooledTable::column() const {
  const CostModel& model = form_.model();
  const auto& access = model.table(t_).access;
  const auto f = static_cast<size_t>(model.features().size());
  std::vector<TableColumn::OptionRows> by_option(form_.options().size());
  for (size_t i = 0; i < offers_.size(); ++i) by_option[offers_[i].option].pairs = best_pairs_[i];
  for (size_t c = 0; c < classes_; ++c) {
    const int option = best_[c] < 0 ? local_option_[c] : offers_[best_[c]].option;
    TableColumn::OptionRows& part = by_option[option];
    if (part.features.empty()) part.features.assign(f, 0);
    const double n = static_cast<double>(access.rows[c]);
    for (size_t i = 0; i < f; ++i) part.features[i] += n * model.features_of(t_, c)[i];
    for (const auto& p : access.p)
      if (best_[c] >= 0) part.mass += n * p[c] / static_cast<double>(access.p.size());
  }
  TableColumn result{true, {}};
  for (size_t o = 0; o < by_option.size(); ++o) {
    if (by_option[o].features.empty() && by_option[o].pairs == 0) continue;
    by_option[o].option = static_cast<int>(o);
    by_option[o].features.resize(f, 0.0);
    result.parts.push_back(std::move(by_option[o]));
  }
  return result;
}

TableChoice PooledTable::solve(double tolerance) {
  TableChoice result;
  if (offers_.empty() && std::any_of(local_option_.begin(), local_option_.end(), [](int o) { return o < 0; }))
    return result;
  std::vector<MassInterval> within;
  for (const Offer& offer : offers_) within.push_back(offer.within);
  std::vector<Node> open = {evaluated(within)};
  least_true_ = price_of(open[0]);
  best_ = taken_;
  for (size_t i = 0; i < offers_.size(); ++i)
    best_pairs_.push_back(open[0].mass[i] > 0 ? charged(open[0], i) : open[0].lines[i].intercept);
  const auto later = [](const Node& a, const Node& b) { return a.least > b.least; };
  double closed = kInfinity;  // bound of what needs no splitting
  for (size_t nodes = 1; !open.empty() && nodes < kMaxNodes; nodes += 2) {
    std::pop_heap(open.begin(), open.end(), later);
    const Node node = std::move(open.back());
    open.pop_back();
    if (node.least >= least_true_ - tolerance) {
      closed = std::min(closed, node.least);
      break;  // the others are dearer still
    }
    const size_t before = open.size();
    if (!split(node, tolerance, open)) closed = std::min(closed, node.least);
    for (size_t i = before; i < open.size(); ++i)
      std::push_heap(open.begin(), open.begin() + static_cast<std::ptrdiff_t>(i) + 1, later);
  }
  result.least = open.empty() ? closed : std::min(closed, open.front().least);
  result.column = column();
  return result;
}

}  // namespace

TableChoice cheapest_pooled(const LinearForm& form, int t, const Prices& price, double tolerance) {
  return PooledTable(form, t, price).solve(tolerance);
}

}  // namespace sparrow::placement
