// Solves the linear programme of a family. It starts with few groups of classes and all options, then lets groups,
// options and coupling rows come and go by the prices found: groups split where their classes disagree, groups keep
// their cheapest options, rows that are far from binding leave. None of it costs exactness: the bound is over all
// classes, options and rows, and the rounds go on until it is met.
#include "placement/solve/family.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "placement/solve/family_program.hpp"

namespace sparrow::placement {
namespace {

constexpr int kRoundsOfClasses = 8, kRoundsOfPlacements = 40;
constexpr double kAccuracyOfClasses = 1e-10, kAccuracyOfPlacements = 1e-7;
constexpr double kNegligiblePrice = 1e-3;  // of a second of a resource in a step
constexpr double kNever = 1e-12;           // less probable: as good as what some ranks never look up

}  // namespace

/// Seconds that the cheapest placement of one table may be off: a tenth of what the programme may be, shared by all.
double FamilyProgram::tolerance(double seconds) const {
  return std::isinf(seconds) ? 0 : 0.1 * settings_.target_gap * seconds / model_.tables();
}

/// Operations of one round besides the programme's own: of pricing all tables; and of comparing rows, before the first.
double FamilyProgram::pricing_work() const {
  double work = 0;
  for (int t = 0; t < model_.tables(); ++t)
    work += static_cast<double>(form_.variants(t).size() * (model_.table(t).access.classes() + form_.rows().size()));
  return work * static_cast<double>(f());
}

double FamilyProgram::dominance_work() const {
  const double rows = static_cast<double>(form_.rows().size());
  return rows * rows * static_cast<double>(form_.options().size() * f());
}

/// Tables whose other choice is so much dearer that nothing with it is below the cutoff.
void FamilyProgram::decide(double bound, double cutoff, std::vector<Pooling>& pooling) const {
  for (size_t t = 0; t < pooling.size(); ++t) {
    if (pooling[t] != Pooling::either) continue;
    const double plain = offered_[t].plain.least, pooled = offered_[t].pooled.least;
    if (bound + std::abs(plain - pooled) >= cutoff) pooling[t] = plain < pooled ? Pooling::never : Pooling::always;
  }
}

/// Coupling rows to begin with: those that some known prices say bind, and all memory; the others wake when they are
/// exceeded.
void FamilyProgram::first_rows(const std::vector<PriceBook>& known) {
  active_.clear();
  for (size_t k = 0; k < form_.rows().size(); ++k) {
    const CouplingRow& row = form_.rows()[k];
    const bool priced = std::any_of(known.begin(), known.end(), [&](const PriceBook& book) {
      const auto at = book.find(row.number);
      return at != book.end() && at->second > kNegligiblePrice;
    });
    if (known.empty() || priced || !row.is_time()) active_.push_back(k);
  }
}

/// Groups of classes whose probabilities lie within a ratio, the least ratio for which one iteration of the programme
/// stays cheap.
void FamilyProgram::first_groups(const std::vector<std::vector<TableColumn>>& columns) {
  size_t most_variants = 1;
  int split = 0;  // tables that are not whole
  for (int t = 0; t < model_.tables(); ++t) {
    if (form_.limits().whole(t)) continue;
    most_variants = std::max(most_variants, form_.variants(t).size());
    ++split;
  }
  const double operations = split == model_.tables() && !form_.limits().any(Pooling::along)
                                ? 5e5
                                : 1e5;  // of one iteration: groups * variants * rows^2 / 2
  const double per_group = static_cast<double>(most_variants * active_.size() * active_.size()) / 2;
  const double least = 10.0 * split;
  const auto most = static_cast<size_t>(
      std::clamp(operations / per_group, least, std::max(least, static_cast<double>(settings_.max_classes))));
  for (double ratio = 1; ratio < 1e15; ratio = ratio < 1.01 ? 1.01 : 1 + (ratio - 1) * 1.5) {
    groups_.clear();
    for (int t = 0; t < model_.tables() && groups_.size() <= most; ++t) {
      if (form_.limits().whole(t)) continue;
      std::vector<size_t> every(form_.variants(t).size());
      std::iota(every.begin(), every.end(), size_t{0});
      const TableDistribution& access = model_.table(t).access;
      size_t first = 0;
      for (size_t c = 1; c <= access.classes(); ++c) {
        bool together = c < access.classes() && ratio > 1;
        for (const auto& p : access.p)
          together = together && std::max(p[c], p[first]) <= ratio * std::max(std::min(p[c], p[first]), kNever);
        if (together) continue;
        groups_.push_back({t, first, c, every});
        first = c;
      }
    }
    if (groups_.size() <= most) break;
  }
  for (int t = 0; t < model_.tables(); ++t) {
    if (!form_.limits().whole(t)) continue;
    groups_.push_back({t, 0, model_.table(t).access.classes(), {}});
    for (TableColumn& column : pure_columns(form_, t)) add_placement(groups_.back(), std::move(column));
    const bool always = form_.limits().pooling[t] == Pooling::always;
    for (TableColumn column : columns.empty() ? std::vector<TableColumn>{} : columns[t]) {
      if (always && !column.pooled) continue;
      charge_pairs(form_, t, column);
      add_placement(groups_.back(), std::move(column));
    }
  }
}

void FamilyProgram::add_placement(Group& g, TableColumn placement) const {
  g.loads.emplace_back();
  for (size_t k = 0; k < form_.rows().size(); ++k) g.loads.back().push_back(load_of(form_, g.table, placement, k));
  g.placements.push_back(std::move(placement));
}

std::vector<double> FamilyProgram::feature_sums(const Group& g) const {
  std::vector<double> sums(f(), 0);
  if (g.whole()) return sums;  // its loads are known
  for (size_t c = g.first; c < g.last; ++c) {
    const double n = static_cast<double>(model_.table(g.table).access.rows[c]);
    const double* features = model_.features_of(g.table, c);
    for (size_t i = 0; i < f(); ++i) sums[i] += n * features[i];
  }
  return sums;
}

/// Seconds or bytes that a column of the group adds to coupling row k.
double FamilyProgram::load(const Group& g, size_t column, size_t k, const std::vector<double>& sums) const {
  if (g.whole()) return g.loads[column][k];
  const double* row = form_.variants(g.table)[g.variants[column]].matrix->data() + k * f();
  double load = 0;
  for (size_t i = 0; i < f(); ++i) load += row[i] * sums[i];
  return load;
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
  p.objective.assign(form_.taus(), form_.parts() == 0 ? 1 : 0);
  for (int part = 0; part < form_.parts(); ++part) {  // its steps take no longer than it, as one more row
    const int total = form_.part_tau(part);
    p.objective[total] = 1;
    for (int step = 0; step < form_.part_tau(0); ++step)
      if (form_.part_of(step) == part) p.links.push_back({p.rows, step, 1});
    p.links.push_back({p.rows, total, -1});
    p.b.push_back(0);
    ++p.rows;
  }
  p.class_start.push_back(0);
  for (const Group& g : groups_) {
    const std::vector<double> sums = feature_sums(g);
    for (size_t column = 0; column < g.columns(); ++column) {
      for (size_t k : active_)
        p.columns.push_back(load(g, column, k, sums) / (rows[k].is_time() ? unit_ : rows[k].capacity));
      p.columns.insert(p.columns.end(), form_.parts(), 0.0);
    }
    p.class_start.push_back(p.class_start.back() + static_cast<int>(g.columns()));
  }
  return p;
}

/// Seconds or bytes of every coupling row (without its constant) at x.
std::vector<double> FamilyProgram::loads(const std::vector<double>& x) const {
  std::vector<double> result(form_.rows().size(), 0);
  size_t j = 0;
  for (const Group& g : groups_) {
    const std::vector<double> sums = feature_sums(g);
    for (size_t column = 0; column < g.columns(); ++column) {
      const double share = x[j++];
      if (share == 0) continue;
      for (size_t k = 0; k < result.size(); ++k) result[k] += share * load(g, column, k, sums);
    }
  }
  return result;
}

/// The unit of time of the programme, near its optimum: the longest row when every group takes the option whose own
/// longest row is shortest.
double FamilyProgram::greedy_seconds() {
  std::vector<double> total(form_.rows().size(), 0), of_column(total.size());
  for (const Group& g : groups_) {
    const std::vector<double> sums = feature_sums(g);
    double shortest = kInfinity;
    std::vector<double> chosen;
    for (size_t column = 0; column < g.columns(); ++column) {
      double longest = 0;
      for (size_t k : active_) {
        of_column[k] = form_.rows()[k].is_time() ? load(g, column, k, sums) : 0;
        longest = std::max(longest, of_column[k]);
      }
      if (longest < shortest) shortest = longest, chosen = of_column;
    }
    for (size_t k = 0; k < total.size(); ++k) total[k] += chosen[k];
  }
  double longest = 0;
  for (size_t k = 0; k < total.size(); ++k)
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

/// Whether some table has no placement in the family.
bool FamilyProgram::impossible() const {
  for (int t = 0; t < model_.tables(); ++t)
    if (form_.options().empty() || form_.variants(t).empty()) return true;
  return false;
}

size_t FamilyProgram::group_columns() const {
  size_t columns = 0;
  for (const Group& group : groups_) columns += group.columns();
  return columns;
}

/// Where no placement fits, prices of memory grow without bound: follows them, as far as they prove anything.
void FamilyProgram::follow_memory_prices(Prices price, FamilyResult& result) const {
  for (int i = 0; i < 12; ++i) {
    for (size_t k = 0; k < form_.rows().size(); ++k)
      if (!form_.rows()[k].is_time()) price[k] *= 4;
    result.bound = std::max(result.bound, lagrangian(form_, price, tolerance(result.bound)));
  }
}

FamilyResult FamilyProgram::run(const std::vector<PriceBook>& known, double cutoff,
                                const std::vector<std::vector<TableColumn>>& columns) {
  FamilyResult result;
  if (impossible()) {
    result.bound = kInfinity;
    return result;
  }
  const bool whole = form_.limits().any(Pooling::always) || form_.limits().any(Pooling::either);
  const bool bounds = !form_.limits().any(Pooling::along);
  result.pooling = form_.limits().pooling;
  for (const PriceBook& book : known)
    if (bounds && result.bound < cutoff)
      result.bound = std::max(result.bound, lagrangian(form_, form_.from_book(book), tolerance(cutoff)));
  if (result.bound >= cutoff) return result;
  result.work += dominance_work();
  form_.drop_dominated();
  first_rows(whole || !bounds ? known : std::vector<PriceBook>{});
  first_groups(columns);
  const double accuracy = whole ? kAccuracyOfPlacements : kAccuracyOfClasses;
  const int rounds = whole ? kRoundsOfPlacements : kRoundsOfClasses;
  for (int round = 0;; ++round) {
    unit_ = greedy_seconds();
    const BlockProgram p = program();
    BlockSolution solution = solve(p, accuracy);
    result.work += static_cast<double>(solution.iterations) * p.column_count() * p.rows * p.rows + pricing_work();
    Prices price = prices_of(solution);
    offered_.assign(model_.tables(), {});
    if (bounds) {
      const double expected = solution.objective * unit_ + form_.fixed_seconds();
      const double bound = lagrangian(form_, price, tolerance(expected), &offered_);
      result.bound = std::max(result.bound, bound);
      decide(bound, cutoff, result.pooling);
    }
    result.relaxed_seconds = solution.objective * unit_ + form_.fixed_seconds();
    result.feasible = solution.relative_gap < 1e-4;
    if (!result.feasible) {
      if (bounds) follow_memory_prices(price, result);
      result.solved = true;
      return result;
    }
    if (whole && result.bound >= cutoff) return result;
    whole ? drop_slivers(p, solution.x) : to_vertex(p, solution.x);
    const std::vector<Group> groups = groups_;
    const std::vector<size_t> active = active_;
    const bool violated = wake_rows(price, solution.x, solution.tau);
    const double about = bounds ? result.bound : result.relaxed_seconds;
    const double lost = refine(price, solution.x, about);
    const size_t count = static_cast<size_t>(p.column_count());
    const bool same = !whole && groups_.size() == groups.size() && group_columns() <= count;
    const bool close = (whole ? result.relaxed_seconds - result.bound : lost) <= settings_.target_gap * about || same;
    if (round + 1 < rounds && (violated || (!close && groups_.size() <= static_cast<size_t>(settings_.max_classes))))
      continue;
    result.solved = true;
    if (whole) to_vertex(p, solution.x);
    groups_ = groups;
    if (!whole) result.placement = this->round(price, solution.x);
    report(price, solution.x, result);
    return result;
  }
}

FamilyResult solve_family(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits,
                          const std::vector<std::vector<double>>& extra_bytes, const std::vector<PriceBook>& known,
                          double cutoff, const std::vector<std::vector<TableColumn>>& columns) {
  LinearForm form(model, options, limits, extra_bytes);
  return FamilyProgram(form, options).run(known, cutoff, columns);
}

}  // namespace sparrow::placement
