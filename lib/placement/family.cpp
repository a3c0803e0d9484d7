// Solves the linear programme of a family. It starts with few groups of classes and all options, then lets groups,
// options and coupling rows come and go by the prices found: groups split where their classes disagree, groups keep
// their cheapest options, rows that are far from binding leave. None of it costs exactness: the bound is over all
// classes, options and rows, and the rounds go on until it is met.
#include "placement/family.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "placement/family_program.hpp"

namespace sparrow::placement {

/// Groups of classes whose probabilities lie within a ratio, the least ratio for which one iteration of the programme
/// stays cheap.
void FamilyProgram::first_groups() {
  size_t most_variants = 1;
  for (int t = 0; t < model_.tables(); ++t) most_variants = std::max(most_variants, form_.variants(t).size());
  constexpr double kOperations = 5e5;  // of one iteration: groups * variants * rows^2 / 2
  const double per_group = static_cast<double>(most_variants * active_.size() * active_.size()) / 2;
  const double least = 10.0 * model_.tables();
  const auto most = static_cast<size_t>(
      std::clamp(kOperations / per_group, least, std::max(least, static_cast<double>(settings_.max_classes))));
  for (double ratio = 1; ratio < 1e15; ratio = ratio < 1.01 ? 1.01 : 1 + (ratio - 1) * 1.5) {
    groups_.clear();
    for (int t = 0; t < model_.tables() && groups_.size() <= most; ++t) {
      std::vector<size_t> every(form_.variants(t).size());
      std::iota(every.begin(), every.end(), size_t{0});
      const TableDistribution& access = model_.table(t).access;
      size_t first = 0;
      for (size_t c = 1; c <= access.classes(); ++c) {
        bool together = c < access.classes() && ratio > 1;
        for (const auto& p : access.p)
          together = together && std::max(p[c], p[first]) <= ratio * std::min(p[c], p[first]);
        if (together) continue;
        groups_.push_back({t, first, c, every});
        first = c;
      }
    }
    if (groups_.size() <= most) return;
  }
}

BlockProgram FamilyProgram::program() const {
  BlockProgram p;
  const auto& rows = form_.rows();
  p.rows = static_cast<int>(active_.size());
  for (size_t i = 0; i < active_.size(); ++i) {
    const CouplingRow& row = rows[active_[i]];
    p.b.push_back(row.is_time() ? -row_constant(active_[i]) / unit_ : 1);
    if (!row.is_time()) continue;
    for (int tau : form_.taus_of(row)) p.links.push_back({static_cast<int>(i), tau, -1});
  }
  p.objective.assign(static_cast<size_t>(form_.taus()), form_.parts() == 0 ? 1 : 0);
  for (int part = 0; part < form_.parts(); ++part) {  // its steps take no longer than it, as one more row
    const int total = form_.part_tau(part);
    p.objective[static_cast<size_t>(total)] = 1;
    for (int step = 0; step < form_.part_tau(0); ++step)
      if (form_.part_of(step) == part) p.links.push_back({p.rows, step, 1});
    p.links.push_back({p.rows, total, -1});
    p.b.push_back(0);
    ++p.rows;
  }
  p.class_start.push_back(0);
  std::vector<double> sums(f());
  for (const Group& g : groups_) {
    std::fill(sums.begin(), sums.end(), 0);
    for (size_t c = g.first; c < g.last; ++c) {
      const double n = static_cast<double>(model_.table(g.table).access.rows[c]);
      const double* features = model_.features_of(g.table, c);
      for (size_t i = 0; i < f(); ++i) sums[i] += n * features[i];
    }
    for (size_t v : g.variants) {
      const Matrix& m = *form_.variants(g.table)[v].matrix;
      for (size_t k : active_) {
        double load = 0;
        for (size_t i = 0; i < f(); ++i) load += m[k * f() + i] * sums[i];
        p.columns.push_back(load / (rows[k].is_time() ? unit_ : rows[k].capacity));
      }
      p.columns.insert(p.columns.end(), static_cast<size_t>(form_.parts()), 0.0);
    }
    p.class_start.push_back(p.class_start.back() + static_cast<int>(g.variants.size()));
  }
  return p;
}

/// Seconds or bytes of every coupling row (without its constant) at x.
std::vector<double> FamilyProgram::loads(const std::vector<double>& x) const {
  std::vector<double> result(form_.rows().size(), 0), sums(f());
  size_t j = 0;
  for (const Group& g : groups_) {
    std::fill(sums.begin(), sums.end(), 0);
    for (size_t c = g.first; c < g.last; ++c)
      for (size_t i = 0; i < f(); ++i)
        sums[i] += static_cast<double>(model_.table(g.table).access.rows[c]) * model_.features_of(g.table, c)[i];
    for (size_t v : g.variants) {
      const double share = x[j++];
      if (share == 0) continue;
      const Matrix& m = *form_.variants(g.table)[v].matrix;
      for (size_t k = 0; k < result.size(); ++k)
        for (size_t i = 0; i < f(); ++i) result[k] += share * m[k * f() + i] * sums[i];
    }
  }
  return result;
}

/// The unit of time of the programme, near its optimum: the longest row when every group takes the option whose own
/// longest row is shortest.
double FamilyProgram::greedy_seconds() {
  std::vector<double> total(form_.rows().size(), 0), sums(f()), load(total.size());
  for (const Group& g : groups_) {
    std::fill(sums.begin(), sums.end(), 0);
    for (size_t c = g.first; c < g.last; ++c)
      for (size_t i = 0; i < f(); ++i)
        sums[i] += static_cast<double>(model_.table(g.table).access.rows[c]) * model_.features_of(g.table, c)[i];
    double shortest = kInfinity;
    std::vector<double> chosen;
    for (size_t v : g.variants) {
      const Matrix& m = *form_.variants(g.table)[v].matrix;
      double longest = 0;
      for (size_t k = 0; k < load.size(); ++k) {
        load[k] = 0;
        for (size_t i = 0; i < f() && form_.rows()[k].is_time(); ++i) load[k] += m[k * f() + i] * sums[i];
        longest = std::max(longest, load[k]);
      }
      if (longest < shortest) shortest = longest, chosen = load;
    }
    for (size_t k = 0; k < load.size(); ++k) total[k] += chosen[k];
  }
  double longest = 0;
  for (size_t k = 0; k < load.size(); ++k)
    if (form_.rows()[k].is_time()) longest = std::max(longest, total[k] + row_constant(k));
  return longest > 0 ? longest : 1;
}

Prices FamilyProgram::prices_of(const BlockSolution& solution) const {
  const auto parts = static_cast<size_t>(form_.parts());
  Prices price(form_.rows().size() + parts, 0);
  for (size_t i = 0; i < active_.size(); ++i) {
    const CouplingRow& row = form_.rows()[active_[i]];
    price[active_[i]] = row.is_time() ? solution.price[i] : solution.price[i] * unit_ / row.capacity;
  }
  for (size_t part = 0; part < parts; ++part) price[form_.rows().size() + part] = solution.price[active_.size() + part];
  return form_.feasible(price);
}

FamilyResult FamilyProgram::run(const std::vector<PriceBook>& known, double cutoff) {
  FamilyResult result;
  if (form_.options().empty()) {
    result.bound = kInfinity;
    return result;
  }
  for (const PriceBook& book : known) result.bound = std::max(result.bound, form_.bound(form_.from_book(book)));
  if (result.bound >= cutoff) return result;
  result.solved = true;
  form_.drop_dominated();
  active_.resize(form_.rows().size());
  std::iota(active_.begin(), active_.end(), size_t{0});
  first_groups();
  constexpr int kRounds = 8;
  for (int round = 0;; ++round) {
    unit_ = greedy_seconds();
    const BlockProgram p = program();
    BlockSolution solution = solve(p);
    Prices price = prices_of(solution);
    result.bound = std::max(result.bound, form_.bound(price));
    result.relaxed_seconds = solution.objective * unit_ + form_.fixed_seconds();
    result.feasible = solution.relative_gap < 1e-4;
    if (!result.feasible) {  // prices of memory then grow without bound: follow them, as far as they prove anything
      for (int i = 0; i < 12; ++i) {
        for (size_t k = 0; k < form_.rows().size(); ++k)
          if (!form_.rows()[k].is_time()) price[k] *= 4;
        result.bound = std::max(result.bound, form_.bound(price));
      }
      return result;
    }
    to_vertex(p, solution.x);
    const std::vector<Group> groups = groups_;
    const std::vector<size_t> active = active_;
    const bool violated = wake_rows(price, solution.x, solution.tau);
    const double lost = refine(price, solution.x, result.bound);
    const size_t columns = static_cast<size_t>(p.column_count());
    size_t next_columns = 0;
    for (const Group& g : groups_) next_columns += g.variants.size();
    const bool same = groups_.size() == groups.size() && next_columns <= columns;
    const bool close = lost <= settings_.target_gap * result.bound || same;
    if (round + 1 < kRounds && (violated || (!close && groups_.size() <= static_cast<size_t>(settings_.max_classes))))
      continue;
    groups_ = groups;
    result.placement = this->round(price, solution.x);
    report(price, solution.x, result);
    return result;
  }
}

FamilyResult solve_family(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits,
                          const std::vector<std::vector<double>>& extra_bytes, const std::vector<PriceBook>& known,
                          double cutoff) {
  LinearForm form(model, options, limits, extra_bytes);
  return FamilyProgram(form, options).run(known, cutoff);
}

}  // namespace sparrow::placement
