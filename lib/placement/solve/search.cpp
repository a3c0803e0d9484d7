#include "placement/solve/search.hpp"

#include <algorithm>
#include <cmath>

#include "placement/baselines/spreading.hpp"

namespace sparrow::placement {
namespace {

// Operations for parts of families with pooled tables, after the families themselves: about 1 s, and 4 s while the gap
// is large.
constexpr double kSomeWork = 3e9, kMostWork = 1.2e10, kLargeGap = 0.03;
constexpr double kGoodEnough = 1.005;      // times the bound: not looked into further
constexpr double kLeastPoolingGap = 2e-3;  // of the programmes of families with pooled tables
constexpr double kMargin = 0.02;           // of an interval of mass, that a split leaves to either side
constexpr int kTangents = 3;
constexpr double kUndecided = 0.02;  // shares of a table's placements nearer to 0 or 1 decide it

}  // namespace

Search::Search(const CostModel& model, const SolveOptions& options, Solution& solution)
    : model_(model), options_(options), exploring_(options), solution_(solution) {
  exploring_.target_gap = std::max(options.target_gap, kLeastPoolingGap);
}

std::vector<std::vector<double>> Search::no_extra() const {
  std::vector<std::vector<double>> extra;
  for (int d = 0; d < model_.tree().size(); ++d) extra.emplace_back(model_.tree().domain(d).stores.size(), 0.0);
  return extra;
}

/// The last few price books: older ones are of families less like the next.
std::vector<PriceBook> Search::recent() const {
  constexpr size_t kRecent = 6;
  const size_t from = known_.size() > kRecent ? known_.size() - kRecent : 0;
  return {known_.rbegin(), known_.rend() - static_cast<std::ptrdiff_t>(from)};
}

/// Whether whole rows fit on every instance; if not, takes what is too much (and more each time) from the capacities of
/// the next attempt.
bool Search::make_room(const Placement& placement, int attempt, std::vector<std::vector<double>>& extra) const {
  const auto fullest = fullest_instances(to_plan(model_, placement, "optimal"), model_.tree(), model_.workload());
  double largest_row = 0;  // only whole rows free anything
  for (int t = 0; t < model_.tables(); ++t) largest_row = std::max(largest_row, model_.shape(t).stored_bytes);
  bool fits = true;
  for (int d = 0; d < model_.tree().size(); ++d)
    for (size_t s = 0; s < fullest[d].size(); ++s) {
      const auto used = static_cast<double>(fullest[d][s]);
      const double over = used - model_.capacity({d, static_cast<int>(s)});
      if (used == 0 || over <= 0) continue;
      extra[d][s] += (over + largest_row) * (1 + attempt);
      fits = false;
    }
  return fits;
}

/// Solves a family and makes its rounding fit. The bound is that of the true capacities.
FamilyResult Search::rounded(const FamilyLimits& limits, const SolveOptions& settings) {
  std::vector<std::vector<double>> extra = no_extra();
  FamilyResult first = solve_family(model_, settings, limits, extra, recent(), best_);
  work_ += first.work;
  if (!first.solved) return first;
  ++solution_.linear_programmes;
  if (!first.feasible) return first;
  known_.push_back(first.book);
  if (!limits.any(Pooling::along)) relaxed_ = std::min(relaxed_, first.relaxed_seconds);
  if (evaluate(model_, first.placement).undisturbed_seconds >= best_) return first;  // it need not fit
  FamilyResult result = first;
  constexpr int kAttempts = 8;
  for (int attempt = 0; !make_room(result.placement, attempt, extra); ++attempt) {
    if (attempt < kAttempts) {
      result = solve_family(model_, settings, limits, extra, {first.book}, kInfinity);
      work_ += result.work;
      ++solution_.linear_programmes;
    }
    if (attempt == kAttempts || !result.feasible) {
      first.feasible = false;
      return first;
    }
  }
  result.bound = first.bound;
  result.relaxed_seconds = first.relaxed_seconds;
  return result;
}

bool Search::keep_if_best(const FamilyLimits& limits, const FamilyResult& result) {
  Cost cost = evaluate(model_, result.placement);
  if (cost.undisturbed_seconds >= best_) return false;
  best_ = cost.undisturbed_seconds;
  solution_.cost = std::move(cost);
  solution_.plan = to_plan(model_, result.placement, "optimal");
  solution_.quantity_prices = result.quantity_price;
  solution_.least_level = limits.least_level;
  solution_.most_level = limits.most_level;
  solution_.slow_sites = limits.slow_sites;
  solution_.prices.clear();
  for (const FamilyPrice& price : result.prices)
    solution_.prices.push_back(
        {price.resource, price.kind, price.kind == "memory" ? price.seconds : price.seconds / 2});
  return true;
}

double Search::good_enough() const {
  return best_ / kGoodEnough;
}

void Search::solve_plain(const FamilyLimits& limits) {
  const FamilyResult result = rounded(limits, options_);
  close(result.bound);
  if (!result.feasible) return;
  keep_if_best(limits, result);
}

/// Every table pooled or not, whichever most of its mix is; pairs first along their tangents at the mix, then at what
/// that finds, while it helps.
void Search::try_rounding(const Node& node, const std::vector<TableMix>& mixes) {
  FamilyLimits limits = node.limits;
  for (size_t t = 0; t < mixes.size(); ++t) {
    if (!limits.whole(static_cast<int>(t))) continue;
    limits.pooling[t] = mixes[t].pooled_share > 0.5 ? Pooling::along : Pooling::never;
    limits.pooled_mass[t] = mixes[t].mass;
  }
  for (int i = 0; i < kTangents; ++i) {
    const double before = best_;
    const FamilyResult result = rounded(limits, exploring_);
    if (!result.feasible || !keep_if_best(limits, result) || (i > 0 && best_ > before * (1 - 1e-3))) return;
    limits.pooled_mass = result.pooled_mass;
  }
}

/// Bounds a part of a family, tries a placement near the mix that its programme finds, and splits it.
void Search::visit(const Node& node) {
  const FamilyResult result =
      solve_family(model_, exploring_, node.limits, no_extra(), recent(), good_enough(), node.columns);
  work_ += result.work;
  if (result.solved) ++solution_.linear_programmes;
  const double bound = std::max(node.bound, result.bound);
  if (!result.solved || !result.feasible) return close(bound);
  known_.push_back(result.book);
  try_rounding(node, result.mixes);
  if (bound >= good_enough()) return close(bound);
  Node decided{node.limits, bound, {}};
  decided.limits.pooling = result.pooling;
  branch(decided, result);
}

/// Splits where the mean of whole placements is furthest from a placement: a table pooled in part, or a mass at which
/// the pairs are many more than the mean of the pairs.
void Search::branch(const Node& node, const FamilyResult& result) {
  double worst = 0;
  size_t table = 0;
  int option = -1;
  for (size_t t = 0; t < result.mixes.size(); ++t) {
    const TableMix& mix = result.mixes[t];
    const double undecided = std::min(mix.pooled_share, 1 - mix.pooled_share);
    if (node.limits.pooling[t] == Pooling::either && undecided > kUndecided && undecided * mix.price > worst) {
      worst = undecided * mix.price;
      table = t;
      option = -1;
    }
    for (size_t o = 0; o < mix.missing.size() && node.limits.whole(static_cast<int>(t)); ++o)
      if (mix.missing[o] > worst) worst = mix.missing[o], table = t, option = static_cast<int>(o);
  }
  if (worst < 1e-4 * node.bound) return close(node.bound);  // only rounding to whole rows is left of the gap
  Node children[2] = {node, node};
  const TableMix& mix = result.mixes[table];
  const bool undecided = node.limits.pooling[table] == Pooling::either;
  for (int i : {0, 1}) {
    FamilyLimits& limits = children[i].limits;
    children[i].columns = result.columns;
    if (undecided) {
      limits.pooling[table] = i == 0 ? Pooling::never : Pooling::always;
    } else {
      MassInterval within = mix.within[option];
      const double margin = kMargin * (within.high - within.low);
      const double at = std::clamp(mix.mass[option], within.low + margin, within.high - margin);
      (i == 0 ? within.high : within.low) = at;
      limits.held_to[table][option] = within;
    }
    open_.push_back(std::move(children[i]));
  }
}

void Search::run() {
  for (const FamilyLimits& limits : families(model_, options_))
    if (limits.any(Pooling::either))
      visit({limits, 0, {}});
    else
      solve_plain(limits);
  work_ = 0;
  while (options_.branching && !open_.empty()) {
    const auto lowest =
        std::min_element(open_.begin(), open_.end(), [](const Node& a, const Node& b) { return a.bound < b.bound; });
    const double gap = best_ / std::min(closed_, lowest->bound) - 1;
    if (lowest->bound >= good_enough() || work_ > (gap > kLargeGap ? kMostWork : kSomeWork)) break;
    const Node node = std::move(*lowest);
    open_.erase(lowest);
    visit(node);
  }
  for (const Node& node : open_) close(node.bound);
  solution_.bound = model_.time().with_samples(std::min(closed_, best_));  // they meet up to rounding of the last bit
  solution_.relaxed_seconds = model_.time().with_samples(std::min(relaxed_, best_));
}

}  // namespace sparrow::placement
