// Builds the linear programme of a family, solves it on groups of classes, refines the groups where the prices say that
// it matters, and rounds a vertex to whole rows.
#include "placement/family.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/error.hpp"

namespace sparrow::placement {
namespace {

/// One coupling row: either seconds of a resource within a step (tau >= 0), or bytes of a store (tau < 0).
struct CouplingRow {
  int number = 0;  ///< in PriceBooks
  std::string resource, kind;
  std::vector<std::pair<int, double>> terms;
  double constant = 0;  ///< seconds
  double capacity = 0;  ///< bytes, of memory rows
  int step = -1;        ///< group of rows whose largest counts; -1: memory
};

constexpr int kCriticalPath = 0;       // number of the row of the critical path
constexpr int kFirstMemory = 1 << 20;  // numbers of memory rows; those of time rows lie between

/// A way to place a row of a table.
struct Variant {
  int option;
  bool pooled;
};

/// Seconds and bytes of one row with given features: rows x features.
using Matrix = std::vector<double>;

struct Group {  // classes first .. last - 1 of a table, as one class of the programme
  int table;
  size_t first, last;
};

class Family {
 public:
  Family(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits,
         const std::vector<std::vector<double>>& extra_bytes);
  FamilyResult run(const std::vector<PriceBook>& known, double cutoff);

 private:
  struct TableVariants {
    std::vector<Variant> variants;
    std::vector<const Matrix*> matrices;
  };

  void make_rows(const std::vector<std::vector<double>>& extra_bytes);
  void add_time_row(const TimeRow& row, int step, int number);
  void find_switches();
  double bound_from(const PriceBook& book) const;
  void make_variants();
  const Matrix& matrix(int option, Transport transport, const TableShape& shape, double factor);
  void drop_dominated();
  void make_groups();
  BlockProgram program() const;
  double even_seconds();
  double bound_at(const std::vector<double>& price) const;
  std::vector<double> feasible_prices(std::vector<double> price) const;
  std::vector<std::vector<double>> option_prices(int t, const std::vector<double>& price) const;
  double refine(const std::vector<double>& price, const std::vector<double>& x);
  Placement round(const std::vector<double>& price, const std::vector<double>& x) const;
  void report(const std::vector<double>& price, const std::vector<double>& x, FamilyResult& result) const;

  size_t rows() const { return rows_.size(); }
  size_t f() const { return static_cast<size_t>(model_.features().size()); }
  double class_rows(const Group& g) const;

  const CostModel& model_;
  const SolveOptions& settings_;
  const FamilyLimits& limits_;
  std::vector<Option> options_;
  std::vector<CouplingRow> rows_;
  int steps_ = 0;
  int path_step_ = -1;  // overlapped: rows of this step are T's own; the others add up to the critical path
  double fixed_seconds_ = 0;
  std::map<std::tuple<int, Transport, TableShape, double>, Matrix> matrices_;
  std::vector<TableVariants> tables_;
  std::vector<Group> groups_;
  std::vector<bool> switch_on_;  // messages or stores that some option of the family uses
  double unit_ = 1;              // seconds
};

Family::Family(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits,
               const std::vector<std::vector<double>>& extra_bytes)
    : model_(model), settings_(options), limits_(limits), options_(family_options(model, options, limits)) {
  if (options_.empty()) return;
  find_switches();
  make_rows(extra_bytes);
  make_variants();
}

/// A switch is on when some option of the family, or the dense parameters, move what it stands for. The sets of
/// switches that a placement may leave off are families of their own.
void Family::find_switches() {
  std::vector<double> moved = model_.base();
  const bool bags =
      std::any_of(limits_.pooling.begin(), limits_.pooling.end(), [](Pooling p) { return p == Pooling::always; });
  for (const Option& option : options_)
    for (Transport transport : {limits_.transport, Transport::pooled}) {
      if (transport == Transport::pooled && !bags) continue;
      for (const Coefficient& c : coefficients(model_, option, transport, model_.shape(0)))
        if (c.value > 0) moved[static_cast<size_t>(c.quantity)] += c.value;
    }
  for (const auto& quantities : model_.time().switch_quantities)
    switch_on_.push_back(
        std::any_of(quantities.begin(), quantities.end(), [&](int q) { return moved[static_cast<size_t>(q)] > 0; }));
}

void Family::add_time_row(const TimeRow& row, int step, int number) {
  CouplingRow result{number, row.resource, row.kind, row.terms, row.constant, 0, step};
  for (const auto& [index, seconds] : row.switch_seconds)
    if (switch_on_[static_cast<size_t>(index)]) result.constant += seconds;
  for (const auto& [quantity, per_unit] : row.terms)
    result.constant += per_unit * model_.base()[static_cast<size_t>(quantity)];
  rows_.push_back(std::move(result));
}

void Family::make_rows(const std::vector<std::vector<double>>& extra_bytes) {
  const TimeModel& time = model_.time();
  const bool overlapped = model_.workload().overlapped;
  std::vector<int> step_of(time.steps.size(), -1);
  int number = 0;
  for (const TimeRow& row : time.rows) {
    ++number;
    if (time.steps[static_cast<size_t>(row.step)].critical != overlapped) continue;
    int& step = step_of[static_cast<size_t>(row.step)];
    if (step < 0) step = steps_++;
    add_time_row(row, step, number);
  }
  fixed_seconds_ = time.compute_seconds;
  if (overlapped) {
    path_step_ = steps_++;
    for (const TimeRow& row : time.totals) add_time_row(row, path_step_, ++number);
  }
  const Tree& tree = model_.tree();
  for (int d = 0; d < tree.size(); ++d)
    for (int s = 0; s < static_cast<int>(tree.domain(d).stores.size()); ++s) {
      const Site site{d, s};
      const int memory_number = kFirstMemory + model_.quantities().memory(site);
      const double capacity = model_.capacity(site) - extra_bytes[static_cast<size_t>(d)][static_cast<size_t>(s)];
      const bool used = std::any_of(options_.begin(), options_.end(), [&](const Option& o) {
        return std::find(o.sites.begin(), o.sites.end(), site) != o.sites.end();
      });
      if (used)
        rows_.push_back({memory_number, tree.site_name(site),
                         "memory",
                         {{model_.quantities().memory(site), 1.0}},
                         0,
                         std::max(capacity, 1e-3),
                         -1});
    }
}

const Matrix& Family::matrix(int option, Transport transport, const TableShape& shape, double factor) {
  const auto [at, made] = matrices_.try_emplace({option, transport, shape, factor});
  if (!made) return at->second;
  Matrix& m = at->second;
  m.assign(rows() * f(), 0);
  std::vector<std::vector<double>> by_quantity(static_cast<size_t>(model_.quantities().size()));
  for (const Coefficient& c : coefficients(model_, options_[static_cast<size_t>(option)], transport, shape, factor)) {
    auto& features = by_quantity[static_cast<size_t>(c.quantity)];
    if (features.empty()) features.assign(f(), 0);
    features[static_cast<size_t>(c.feature)] += c.value;
  }
  for (size_t k = 0; k < rows(); ++k)
    for (const auto& [quantity, per_unit] : rows_[k].terms) {
      const auto& features = by_quantity[static_cast<size_t>(quantity)];
      for (size_t i = 0; i < features.size(); ++i) m[k * f() + i] += per_unit * features[i];
    }
  return m;
}

void Family::make_variants() {
  for (int t = 0; t < model_.tables(); ++t) {
    TableVariants table;
    const TableShape shape = model_.shape(t);
    const Pooling pooling = limits_.pooling[static_cast<size_t>(t)];
    for (int o = 0; o < static_cast<int>(options_.size()); ++o) {
      const Option& option = options_[static_cast<size_t>(o)];
      const bool local = option.level == model_.tree().depth();
      if (pooling != Pooling::always || local) {
        table.variants.push_back({o, false});
        table.matrices.push_back(&matrix(o, limits_.transport, shape, 1));
      }
      if (pooling != Pooling::never && !local) {
        const double mass = limits_.pooled_mass[static_cast<size_t>(t)];
        const double factor = pooled_pairs(mass, pooled_holders(model_.tree(), option), shape.lookups) / mass;
        table.variants.push_back({o, true});
        table.matrices.push_back(&matrix(o, Transport::pooled, shape, factor));
      }
    }
    tables_.push_back(std::move(table));
  }
}

/// Removes rows of a step that another row of it always exceeds: coefficients and features are such that comparing them
/// suffices.
void Family::drop_dominated() {
  std::vector<bool> dropped(rows(), false);
  const auto dominated = [&](size_t k, size_t by) {
    if (rows_[k].step != rows_[by].step || rows_[k].constant > rows_[by].constant) return false;
    bool equal = rows_[k].constant == rows_[by].constant;
    for (const auto& [key, m] : matrices_)
      for (size_t i = 0; i < f(); ++i) {
        const double mine = m[k * f() + i], other = m[by * f() + i];
        if (mine > other * (1 + 1e-14)) return false;
        equal = equal && mine == other;
      }
    return !equal || by < k;
  };
  for (size_t k = 0; k < rows(); ++k)
    for (size_t by = 0; by < rows() && rows_[k].step >= 0 && !dropped[k]; ++by)
      dropped[k] = by != k && !dropped[by] && dominated(k, by);
  std::vector<size_t> kept;
  for (size_t k = 0; k < rows(); ++k)
    if (!dropped[k]) kept.push_back(k);
  for (auto& [key, m] : matrices_) {
    Matrix smaller;
    for (size_t k : kept)
      smaller.insert(smaller.end(), m.begin() + static_cast<std::ptrdiff_t>(k * f()),
                     m.begin() + static_cast<std::ptrdiff_t>((k + 1) * f()));
    m = std::move(smaller);
  }
  std::vector<CouplingRow> rows;
  for (size_t k : kept) rows.push_back(std::move(rows_[k]));
  rows_ = std::move(rows);
}

void Family::make_groups() {
  // Work of one iteration of the programme is groups * variants * rows^2; keep it near 10^8.
  size_t most_variants = 1;
  for (const auto& table : tables_) most_variants = std::max(most_variants, table.variants.size());
  const double per_group = static_cast<double>(most_variants) * static_cast<double>(rows() * rows()) / 2;
  const auto most =
      static_cast<size_t>(std::clamp(1e8 / per_group, 12.0 * model_.tables(),
                                     std::max(12.0 * model_.tables(), static_cast<double>(settings_.max_classes))));
  for (double ratio = 1; ratio < 1e12; ratio = ratio < 1.01 ? 1.01 : 1 + (ratio - 1) * 1.5) {
    groups_.clear();
    for (int t = 0; t < model_.tables(); ++t) {
      const TableDistribution& access = model_.table(t).access;
      size_t first = 0;
      for (size_t c = 1; c <= access.classes(); ++c) {
        bool together = c < access.classes() && ratio > 1;
        for (const auto& p : access.p)
          together = together && std::max(p[c], p[first]) <= ratio * std::min(p[c], p[first]);
        if (together) continue;
        groups_.push_back({t, first, c});
        first = c;
      }
      if (groups_.size() > most) break;
    }
    if (groups_.size() <= most) return;
  }
}

BlockProgram Family::program() const {
  BlockProgram p;
  p.rows = static_cast<int>(rows());
  for (size_t k = 0; k < rows(); ++k) {
    p.b.push_back(rows_[k].step >= 0 ? -rows_[k].constant / unit_ : 1);
    if (rows_[k].step >= 0) p.links.push_back({static_cast<int>(k), rows_[k].step, -1});
  }
  p.objective.assign(static_cast<size_t>(steps_), path_step_ < 0 ? 1 : 0);
  if (path_step_ >= 0) {  // critical path <= T, as one more row
    p.objective[static_cast<size_t>(path_step_)] = 1;
    for (int step = 0; step < steps_; ++step) p.links.push_back({p.rows, step, step == path_step_ ? -1.0 : 1.0});
    p.b.push_back(-fixed_seconds_ / unit_);
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
    for (const Matrix* m : tables_[static_cast<size_t>(g.table)].matrices) {
      for (size_t k = 0; k < rows(); ++k) {
        double load = 0;
        for (size_t i = 0; i < f(); ++i) load += (*m)[k * f() + i] * sums[i];
        p.columns.push_back(load / (rows_[k].step >= 0 ? unit_ : rows_[k].capacity));
      }
      if (path_step_ >= 0) p.columns.push_back(0);
    }
    p.class_start.push_back(p.class_start.back() +
                            static_cast<int>(tables_[static_cast<size_t>(g.table)].matrices.size()));
  }
  return p;
}

/// Prices in seconds per second (time rows) and seconds per byte (memory rows) that are feasible for the dual: those of
/// a step add up to at most what a second of the step costs. The last entry, when overlapped, is the price of the
/// critical path.
std::vector<double> Family::feasible_prices(std::vector<double> price) const {
  std::vector<double> sum(static_cast<size_t>(steps_), 0), limit(static_cast<size_t>(steps_), 1);
  for (size_t k = 0; k < rows(); ++k) {
    if (rows_[k].step < 0)
      price[k] *= unit_ / rows_[k].capacity;
    else
      sum[static_cast<size_t>(rows_[k].step)] += price[k];
  }
  if (path_step_ >= 0) {
    const double total = sum[static_cast<size_t>(path_step_)] + price.back();
    const double scale = total > 1 ? 1 / total : 1;
    price.back() *= scale;
    for (size_t k = 0; k < rows(); ++k)
      if (rows_[k].step == path_step_) price[k] *= scale;
    std::fill(limit.begin(), limit.end(), price.back());
    limit[static_cast<size_t>(path_step_)] = kInfinity;
  }
  for (size_t k = 0; k < rows(); ++k) {
    if (rows_[k].step < 0) continue;
    const auto step = static_cast<size_t>(rows_[k].step);
    if (sum[step] > limit[step]) price[k] *= limit[step] / sum[step];
  }
  return price;
}

/// Price of one row of table t, per variant and feature.
std::vector<std::vector<double>> Family::option_prices(int t, const std::vector<double>& price) const {
  std::vector<std::vector<double>> result;
  for (const Matrix* m : tables_[static_cast<size_t>(t)].matrices) {
    result.emplace_back(f(), 0.0);
    for (size_t k = 0; k < rows(); ++k)
      if (price[k] > 0)
        for (size_t i = 0; i < f(); ++i) result.back()[i] += price[k] * (*m)[k * f() + i];
  }
  return result;
}

double price_of(const std::vector<double>& per_feature, const double* features) {
  double sum = 0;
  for (size_t i = 0; i < per_feature.size(); ++i) sum += per_feature[i] * features[i];
  return sum;
}

/// The Lagrangian: every class takes its cheapest option at these prices.
double Family::bound_at(const std::vector<double>& price) const {
  double bound = path_step_ >= 0 ? price.back() * fixed_seconds_ : fixed_seconds_;
  for (size_t k = 0; k < rows(); ++k) bound += price[k] * (rows_[k].step >= 0 ? rows_[k].constant : -rows_[k].capacity);
  for (int t = 0; t < model_.tables(); ++t) {
    const auto prices = option_prices(t, price);
    double sum = 0;
    for (size_t c = 0; c < model_.table(t).access.classes(); ++c) {
      double cheapest = kInfinity;
      for (const auto& of_variant : prices)
        cheapest = std::min(cheapest, price_of(of_variant, model_.features_of(t, c)));
      sum += static_cast<double>(model_.table(t).access.rows[c]) * cheapest;
    }
    bound += sum;
  }
  return bound;
}

double Family::class_rows(const Group& g) const {
  const auto& n = model_.table(g.table).access.rows;
  return static_cast<double>(std::accumulate(n.begin() + static_cast<std::ptrdiff_t>(g.first),
                                             n.begin() + static_cast<std::ptrdiff_t>(g.last), int64_t{0}));
}

/// Splits the groups in which classes disagree about the cheapest option, where it matters. Returns the seconds lost to
/// grouping.
double Family::refine(const std::vector<double>& price, const std::vector<double>& x) {
  std::vector<double> lost(groups_.size(), 0);
  std::vector<std::vector<size_t>> cuts(groups_.size());
  double total = 0;
  size_t column = 0;
  int table = -1;
  std::vector<std::vector<double>> prices;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const Group& g = groups_[i];
    if (g.table != table) prices = option_prices(table = g.table, price);
    int before = -1;
    for (size_t c = g.first; c < g.last; ++c) {
      double cheapest = kInfinity, paid = 0;
      int best = -1;
      for (size_t v = 0; v < prices.size(); ++v) {
        const double cost = price_of(prices[v], model_.features_of(g.table, c));
        paid += x[column + v] * cost;
        if (cost < cheapest) cheapest = cost, best = static_cast<int>(v);
      }
      lost[i] += static_cast<double>(model_.table(g.table).access.rows[c]) * (paid - cheapest);
      if (before >= 0 && best != before) cuts[i].push_back(c);
      before = best;
    }
    total += lost[i];
    column += prices.size();
  }
  std::vector<Group> finer;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const Group& g = groups_[i];
    const size_t classes = g.last - g.first;
    std::vector<size_t> at = {g.first};
    if (classes > 1 && lost[i] > 1e-3 * total) {
      for (size_t piece = 1; piece < 8; ++piece) at.push_back(g.first + classes * piece / 8);
      if (cuts[i].size() < 8) at.insert(at.end(), cuts[i].begin(), cuts[i].end());
      std::sort(at.begin(), at.end());
      at.erase(std::unique(at.begin(), at.end()), at.end());
    }
    at.push_back(g.last);
    for (size_t k = 0; k + 1 < at.size(); ++k) finer.push_back({g.table, at[k], at[k + 1]});
  }
  groups_ = std::move(finer);
  return total;
}

/// Whole rows: within a group that is split, the options whose price rises least with use take the hottest rows.
Placement Family::round(const std::vector<double>& price, const std::vector<double>& x) const {
  Placement placement;
  placement.options = options_;
  placement.tables.resize(static_cast<size_t>(model_.tables()));
  size_t column = 0;
  int table = -1;
  std::vector<std::vector<double>> prices;
  for (const Group& g : groups_) {
    if (g.table != table) prices = option_prices(table = g.table, price);
    const TableVariants& variants = tables_[static_cast<size_t>(g.table)];
    TablePlacement& placed = placement.tables[static_cast<size_t>(g.table)];
    placed.transport =
        limits_.pooling[static_cast<size_t>(g.table)] == Pooling::always ? Transport::pooled : limits_.transport;
    std::vector<std::pair<double, size_t>> taken;  // (rise of the price from the coldest to the hottest class, variant)
    for (size_t v = 0; v < variants.variants.size(); ++v)
      if (x[column + v] > 0)
        taken.emplace_back(price_of(prices[v], model_.features_of(g.table, g.first)) -
                               price_of(prices[v], model_.features_of(g.table, g.last - 1)),
                           v);
    std::sort(taken.begin(), taken.end());
    const double rows_of_group = class_rows(g);
    double upto = 0;
    size_t c = g.first;
    double left = static_cast<double>(model_.table(g.table).access.rows[c]), given = 0;
    for (size_t i = 0; i < taken.size(); ++i) {
      upto += x[column + taken[i].second];
      double want =
          (i + 1 == taken.size() ? rows_of_group : std::min(rows_of_group, std::round(upto * rows_of_group))) - given;
      while (want > 0) {
        const double rows = std::min(want, left);
        const int option = variants.variants[taken[i].second].option;
        if (!placed.shares.empty() && placed.shares.back().cls == static_cast<int32_t>(c) &&
            placed.shares.back().option == option)
          placed.shares.back().rows += rows;
        else if (rows > 0)
          placed.shares.push_back({static_cast<int32_t>(c), option, rows});
        want -= rows;
        left -= rows;
        given += rows;
        if (left <= 0 && c + 1 < g.last) left = static_cast<double>(model_.table(g.table).access.rows[++c]);
      }
    }
    column += variants.variants.size();
  }
  return placement;
}

void Family::report(const std::vector<double>& price, const std::vector<double>& x, FamilyResult& result) const {
  const BlockProgram p = program();
  result.pooled_mass.assign(tables_.size(), 0);
  result.other_mass.assign(tables_.size(), 0);
  size_t j0 = 0;
  for (const Group& g : groups_)
    for (const Variant& variant : tables_[static_cast<size_t>(g.table)].variants) {
      const double share = x[j0++];
      if (share == 0 || options_[static_cast<size_t>(variant.option)].level == model_.tree().depth()) continue;
      double mass = 0;
      for (size_t c = g.first; c < g.last; ++c)
        for (const auto& p_group : model_.table(g.table).access.p)
          mass += static_cast<double>(model_.table(g.table).access.rows[c]) * p_group[c] / model_.features().groups;
      (variant.pooled ? result.pooled_mass : result.other_mass)[static_cast<size_t>(g.table)] += share * mass;
    }
  std::vector<double> load(static_cast<size_t>(p.rows), 0);
  for (int j = 0; j < p.column_count(); ++j)
    for (int k = 0; k < p.rows; ++k) load[static_cast<size_t>(k)] += p.column(j)[k] * x[static_cast<size_t>(j)];
  std::map<std::pair<std::string, std::string>, double> by_resource;
  result.quantity_price.assign(static_cast<size_t>(model_.quantities().size()), 0);
  for (size_t k = 0; k < rows(); ++k) {
    const CouplingRow& row = rows_[k];
    if (price[k] > 0) result.book[row.number] = price[k];
    double base = 0;
    for (const auto& [quantity, per_unit] : row.terms) {
      result.quantity_price[static_cast<size_t>(quantity)] += price[k] * per_unit;
      base += per_unit * model_.base()[static_cast<size_t>(quantity)];
    }
    by_resource[{row.resource, row.kind}] += row.step < 0 ? price[k] : price[k] * (load[k] * unit_ + base);
  }
  if (path_step_ >= 0) result.book[kCriticalPath] = price.back();
  for (const auto& [name, seconds] : by_resource)
    if (seconds > 0) result.prices.push_back({name.first, name.second, seconds});
}

/// The Lagrangian at prices found for another family, which lack this one's rows or have others.
double Family::bound_from(const PriceBook& book) const {
  std::vector<double> price(rows() + (path_step_ >= 0 ? 1 : 0), 0);
  for (size_t k = 0; k < rows(); ++k)
    if (const auto at = book.find(rows_[k].number); at != book.end())
      price[k] = at->second * (rows_[k].step < 0 ? rows_[k].capacity : 1);
  if (const auto at = book.find(kCriticalPath); path_step_ >= 0 && at != book.end()) price.back() = at->second;
  return bound_at(feasible_prices(price));
}

FamilyResult Family::run(const std::vector<PriceBook>& known, double cutoff) {
  FamilyResult result;
  if (options_.empty()) {
    result.bound = kInfinity;
    return result;
  }
  for (const PriceBook& book : known) result.bound = std::max(result.bound, bound_from(book));
  if (result.bound >= cutoff) return result;
  drop_dominated();
  make_groups();
  constexpr int kRounds = 4;
  for (int round = 0; round < kRounds; ++round) {
    unit_ = even_seconds();
    const BlockProgram p = program();
    BlockSolution solution = solve(p);
    std::vector<double> price = feasible_prices(solution.price);
    result.bound = std::max(result.bound, bound_at(price));
    result.relaxed_seconds = solution.objective * unit_ + (path_step_ >= 0 ? 0 : fixed_seconds_);
    result.feasible = solution.relative_gap < 1e-4;
    if (!result.feasible) {  // prices of memory then grow without bound: follow them, as far as they prove anything
      for (int i = 0; i < 12; ++i) {
        for (size_t k = 0; k < rows(); ++k)
          if (rows_[k].step < 0) price[k] *= 4;
        result.bound = std::max(result.bound, bound_at(price));
      }
      return result;
    }
    to_vertex(p, solution.x);
    const std::vector<Group> groups = groups_;
    const double lost = refine(price, solution.x);
    const bool done =
        lost <= settings_.target_gap * result.bound || groups_.size() == groups.size() || round + 1 == kRounds;
    if (!done) continue;
    groups_ = groups;
    result.placement = this->round(price, solution.x);
    report(price, solution.x, result);
    break;
  }
  return result;
}

/// The longest row when every class is spread evenly over all options: the unit of time of the programme.
double Family::even_seconds() {
  unit_ = 1;
  const BlockProgram p = program();
  std::vector<double> load(static_cast<size_t>(p.rows), 0);
  for (int c = 0; c < p.classes(); ++c) {
    const int first = p.class_start[static_cast<size_t>(c)], last = p.class_start[static_cast<size_t>(c) + 1];
    for (int j = first; j < last; ++j)
      for (int k = 0; k < p.rows; ++k) load[static_cast<size_t>(k)] += p.column(j)[k] / (last - first);
  }
  double longest = 0;
  for (size_t k = 0; k < rows(); ++k)
    if (rows_[k].step >= 0) longest = std::max(longest, load[k] + rows_[k].constant);
  return longest > 0 ? longest : 1;
}

}  // namespace

FamilyResult solve_family(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits,
                          const std::vector<std::vector<double>>& extra_bytes, const std::vector<PriceBook>& known,
                          double cutoff) {
  return Family(model, options, limits, extra_bytes).run(known, cutoff);
}

}  // namespace sparrow::placement
