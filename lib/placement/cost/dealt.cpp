// The cost of a plan as it is dealt: what every rank holds, by the holder rule, row by row; what it passes on as a proxy;
// and what that loads. Rows of equal use that lie on all slots alike are counted once, so that time grows with classes
// and slots, not with rows.
#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"
#include "placement/model/plan.hpp"

namespace sparrow::placement {
namespace {

constexpr int64_t kMostRanks = int64_t{1} << 17;   // of larger systems only means are known
constexpr int64_t kMostPlaces = int64_t{1} << 17;  // of holders and proxies together; else proxies are taken as even

/// Sums of features by place: position + offset, modulo the number of places.
class Places {
 public:
  Places(int64_t places, int width) : count(places), width_(width), sums_((places + 1) * width, 0.0) {}
  const int64_t count;

  /// `rows` rows of these features from `first` on, one per place in turn.
  void add(int64_t first, int64_t rows, const double* features, int n) {
    const double turns = static_cast<double>(rows / count);
    for (int i = 0; i < n; ++i) sums_[i] += turns * features[i];
    const int64_t from = first % count, to = from + rows % count;
    add_range(from, std::min(to, count), features, n);
    add_range(0, to - count, features, n);
  }
  /// All rows on one place.
  void add_at(int64_t place, double rows, const double* features, int n) {
    for (int i = 0; i < n; ++i) {
      sums_[(place % count) * width_ + i] += rows * features[i];
      sums_[(place % count + 1) * width_ + i] -= rows * features[i];
    }
  }
  /// To every place.
  void add_everywhere(int feature, double amount) { sums_[feature] += amount; }
  /// From differences to sums; once, at the end.
  void finish() {
    for (int64_t i = width_; i < count * width_; ++i) sums_[i] += sums_[i - width_];
  }
  const double* of(int64_t place) const { return sums_.data() + (place % count) * width_; }

 private:
  void add_range(int64_t from, int64_t to, const double* features, int n) {
    for (int i = 0; i < n && from < to; ++i) {
      sums_[from * width_ + i] += features[i];
      sums_[to * width_ + i] -= features[i];
    }
  }
  const int width_;
  std::vector<double> sums_;  ///< differences between neighbouring places, until finish()
};

/// Tables that are moved alike, under one option and copy domain.
struct GroupKey {
  int option = 0, copy_domain = 0;
  Transport transport{};
  TableShape shape;
  int64_t fixed = -1;   ///< the slot of whole tables, where what proxies do is counted by position
  bool by_use = false;  ///< dealt by first use
  auto operator<=>(const GroupKey&) const = default;
};

/// A rank of a domain: its type and which of those in the domain.
struct RankIn {
  int type;
  int64_t instance;
};

/// The ranks inside one instance of d (instance number `instance` of a domain around it) in tree order.
void list_ranks(const Tree& tree, int d, int64_t instance, std::vector<RankIn>& ranks) {
  if (tree.is_rank(d)) ranks.push_back({d, instance});
  for (int child : tree.children(d))
    for (int64_t i = 0; i < tree.domain(child).count; ++i)
      list_ranks(tree, child, instance * tree.domain(child).count + i, ranks);
}

/// Those of them that are proxies for it, each in its turn.
std::vector<RankIn> proxies_of(const Tree& tree, int d) {
  std::vector<RankIn> all, proxies;
  list_ranks(tree, d, 0, all);
  for (const RankIn& rank : all)
    if (tree.domain(rank.type).holds && tree.domain(rank.type).proxy_weight != 0) proxies.push_back(rank);
  return proxies.empty() ? all : proxies;
}

/// Adds what the rows of one group load.
class GroupLoads {
 public:
  GroupLoads(const CostModel& model, const Option& option, const GroupKey& key, const Places& places, bool reads_each,
             Loads& loads)
      : model_(model),
        tree_(model.tree()),
        option_(option),
        key_(key),
        places_(places),
        width_(model.features().size() + model.features().groups),
        block_{tree_.depth()},
        reads_each_(reads_each),
        loads_(loads) {
    for (size_t i = 0; i < option.sites.size(); ++i)
      if (tree_.at_level(option.level)[i] == key.copy_domain) site_ = option.sites[i];
    find_holders();
    sum_held();
    if (key.transport == Transport::staged)
      for (int level = option.level + 1; level < tree_.depth(); ++level)
        for (int a : tree_.at_level(level))
          if (tree_.inside(a, key.copy_domain)) sum_proxied(a);
  }
  void add();

 private:
  using Sums = std::vector<double>;  ///< instances of a domain in the copy domain, by width_ features
  int64_t places_of_holders() const { return static_cast<int64_t>(holders_.size()); }
  RankIn holder(int64_t place) const { return holders_[(key_.fixed >= 0 ? key_.fixed : place) % places_of_holders()]; }
  void find_holders();
  double share_by_use(int64_t instance, int64_t instances) const;
  void sum_held();
  void sum_proxied(int a);
  void spread(int quantity, const std::vector<double>& of_rank);
  void add_to(int quantity, const std::vector<double>& in_copy_domain);

  const CostModel& model_;
  const Tree& tree_;
  const Option& option_;
  const GroupKey& key_;
  const Places& places_;
  const int width_;
  const Block block_;
  const bool reads_each_;
  Loads& loads_;
  Site site_;
  std::vector<RankIn> holders_;                  ///< by place: slot by slot, ranks of a slot in turn
  std::map<int, Sums> held_;                     ///< by domain inside the copy domain
  std::map<std::pair<int, int>, Sums> proxied_;  ///< by level and type of rank
};

void GroupLoads::find_holders() {
  const int64_t slots = tree_.instances_in(site_.domain, key_.copy_domain);
  std::vector<RankIn> below;
  list_ranks(tree_, site_.domain, 0, below);
  for (const auto& [rank, instance] : below)
    for (int64_t slot = 0; slot < slots; ++slot)
      holders_.push_back({rank, slot * tree_.instances_in(rank, site_.domain) + instance});
}

/// What a rank holds by first use, relative to the mean of its type: one of them is the busiest, as measured.
double GroupLoads::share_by_use(int64_t instance, int64_t instances) const {
  const double most = std::min(model_.workload().locality.busiest, static_cast<double>(instances));
  if (instances < 2 || instance == 0) return instances < 2 ? 1 : most;
  return (static_cast<double>(instances) - most) / static_cast<double>(instances - 1);
}

void GroupLoads::sum_held() {
  for (int d = 0; d < tree_.size(); ++d)
    if (tree_.inside(d, key_.copy_domain)) held_[d].assign(tree_.instances_in(d, key_.copy_domain) * width_, 0);
  for (int64_t place = 0; place < places_.count; ++place) {
    const auto [rank, instance] = holder(place);
    double* sum = held_[rank].data() + instance * width_;
    const double share = key_.by_use ? share_by_use(instance, tree_.instances_in(rank, key_.copy_domain)) : 1;
    for (int i = 0; i < width_; ++i) sum[i] += share * places_.of(place)[i];
  }
  for (int d = tree_.size() - 1; d > 0; --d) {  // parents come before children
    if (d == key_.copy_domain || !tree_.inside(d, key_.copy_domain)) continue;
    Sums& above = held_[tree_.domain(d).parent];
    const Sums& below = held_[d];
    const int64_t count = tree_.domain(d).count;
    for (int64_t i = 0; i < std::ssize(below) / width_; ++i)
      for (int k = 0; k < width_; ++k) above[i / count * width_ + k] += below[i * width_ + k];
  }
}

/// The ranks of each instance of `a` take turns by position as its proxies for the rows that are elsewhere.
void GroupLoads::sum_proxied(int a) {
  const int level = tree_.level(a);
  const Sums& all = held_[key_.copy_domain];
  const Sums& here = held_[a];
  const auto instances = tree_.instances_in(a, key_.copy_domain);
  const std::vector<RankIn> ring = proxies_of(tree_, a);
  const auto turn = static_cast<int64_t>(ring.size());
  for (int r : tree_.at_level(tree_.depth()))
    if (tree_.inside(r, a)) proxied_[{level, r}].assign(tree_.instances_in(r, key_.copy_domain) * width_, 0);
  const bool even = places_.count % turn != 0;
  Sums elsewhere(instances * turn * width_, 0);  // by instance of a and turn
  const auto add = [&](int64_t instance, int64_t at, const double* sums, double factor) {
    for (int k = 0; k < width_; ++k) elsewhere[(instance * turn + at) * width_ + k] += factor * sums[k];
  };
  if (even) {
    for (int64_t i = 0; i < instances; ++i)
      for (int64_t at = 0; at < turn; ++at) {
        add(i, at, all.data(), 1 / static_cast<double>(turn));
        add(i, at, here.data() + i * width_, -1 / static_cast<double>(turn));
      }
  } else {
    Sums by_turn(turn * width_, 0);
    for (int64_t place = 0; place < places_.count; ++place) {
      for (int k = 0; k < width_; ++k) by_turn[place % turn * width_ + k] += places_.of(place)[k];
      const auto [rank, instance] = holder(place);
      if (tree_.inside(rank, a)) add(instance / tree_.instances_in(rank, a), place % turn, places_.of(place), -1);
    }
    for (int64_t i = 0; i < instances; ++i)
      for (int64_t at = 0; at < turn; ++at) add(i, at, by_turn.data() + at * width_, 1);
  }
  for (int64_t i = 0; i < instances; ++i)
    for (int64_t at = 0; at < turn; ++at) {
      const auto [rank, instance] = ring[at];
      double* sum = proxied_[{level, rank}].data() + (i * tree_.instances_in(rank, a) + instance) * width_;
      for (int k = 0; k < width_; ++k) sum[k] += elsewhere[(i * turn + at) * width_ + k];
    }
}

void GroupLoads::add() {
  for (int rank : tree_.at_level(tree_.depth())) {
    if (!tree_.inside(rank, key_.copy_domain)) continue;
    const int64_t instances = tree_.instances_in(rank, key_.copy_domain);
    std::map<int, std::vector<RankTerm>> by_quantity;
    for (const RankTerm& term :
         rank_terms(model_, option_, key_.transport, key_.shape, key_.copy_domain, rank, reads_each_))
      by_quantity[term.quantity].push_back(term);
    for (const auto& [quantity, terms] : by_quantity) {
      std::vector<double> of_rank(instances, 0);
      for (const RankTerm& term : terms) {
        const int level = term.block % (tree_.depth() + 1);
        const bool held = term.block == block_.held(level);
        const Sums& sums = held ? held_[tree_.ancestor(rank, level)] : proxied_[{level, rank}];
        const int64_t per = held ? instances / (std::ssize(sums) / width_) : 1;
        for (int64_t i = 0; i < instances; ++i) of_rank[i] += term.value * sums[i / per * width_ + term.feature];
      }
      spread(quantity, of_rank);
    }
  }
}

/// To the quantity's own domain, and through those above it.
void GroupLoads::spread(int quantity, const std::vector<double>& of_rank) {
  for (; quantity >= 0; quantity = model_.quantities().above(quantity)) {
    const int owner = model_.quantities().owner(quantity);
    const bool inside = tree_.inside(owner, key_.copy_domain);
    std::vector<double> sums(inside ? tree_.instances_in(owner, key_.copy_domain) : 1, 0);
    const int64_t per = std::ssize(of_rank) / std::ssize(sums);
    for (size_t i = 0; i < of_rank.size(); ++i) sums[static_cast<int64_t>(i) / per] += of_rank[i];
    if (!inside) sums[0] *= static_cast<double>(tree_.instances_in(key_.copy_domain, owner));
    add_to(quantity, sums);
  }
}

void GroupLoads::add_to(int quantity, const std::vector<double>& in_copy_domain) {
  std::vector<double>& values = loads_.values[quantity];
  const bool alike =
      std::all_of(in_copy_domain.begin(), in_copy_domain.end(), [&](double v) { return v == in_copy_domain[0]; });
  if (!alike && values.size() == 1) values.assign(tree_.instances(model_.quantities().owner(quantity)), values[0]);
  for (size_t i = 0; i < values.size(); ++i) values[i] += in_copy_domain[i % in_copy_domain.size()];
}

/// Reads a plan into groups.
class PlanReader {
 public:
  PlanReader(const CostModel& model, const Plan& plan)
      : model_(model), tree_(model.tree()), plan_(plan), width_(model.features().size() + model.features().groups) {
    for (int t = 0; t < model.tables(); ++t) read(t);
    for (auto& [key, places] : groups_) places.finish();
  }
  const std::map<GroupKey, Places>& groups() const { return groups_; }

 private:
  void read(int t);
  template <class Action>
  void for_runs(int t, Action action) const;
  bool by_use(int t, int option) const {
    return plan_.tables[t].by_use(plan_.options[option]) && held_by_use(model_, plan_.options[option]);
  }
  int64_t holders(const Option& option, int copy_domain) const;
  int64_t places(const Option& option, int copy_domain, Transport transport) const;
  Places& group(int t, int option, int copy_domain);

  const CostModel& model_;
  const Tree& tree_;
  const Plan& plan_;
  const int width_;
  std::map<GroupKey, Places> groups_;
};

int64_t PlanReader::holders(const Option& option, int copy_domain) const {
  const auto& types = tree_.at_level(option.level);
  const auto i = std::find(types.begin(), types.end(), copy_domain) - types.begin();
  return tree_.instances_in(option.sites[i].domain, copy_domain) * tree_.ranks_in(option.sites[i].domain);
}

int64_t PlanReader::places(const Option& option, int copy_domain, Transport transport) const {
  const int64_t of_holders = holders(option, copy_domain);
  int64_t all = of_holders;
  for (int a = 0; a < tree_.size() && transport == Transport::staged; ++a) {
    if (!tree_.inside(a, copy_domain) || a == copy_domain || tree_.is_rank(a)) continue;
    all = std::lcm(all, std::ssize(proxies_of(tree_, a)));
    if (all > std::max(of_holders, kMostPlaces)) return of_holders;
  }
  return all;
}

Places& PlanReader::group(int t, int option, int copy_domain) {
  const TablePlan& table = plan_.tables[t];
  GroupKey key{option, copy_domain, transport_of(plan_.options[option], table.transport), model_.shape(t), -1};
  if (key.transport == Transport::staged) key.fixed = table.holders.fixed;
  key.by_use = by_use(t, option);
  const auto found = groups_.find(key);
  if (found != groups_.end()) return found->second;
  return groups_.emplace(key, Places(places(plan_.options[option], copy_domain, key.transport), width_)).first->second;
}

/// action(option, class, first position, rows) for every run of rows of one class and option.
template <class Action>
void PlanReader::for_runs(int t, Action action) const {
  const auto& rows = model_.table(t).access.rows;
  size_t c = 0;
  int64_t end = 0;  // of class c - 1
  for (const Interval& interval : plan_.tables[t].intervals)
    for (int64_t at = interval.first; at < interval.last;) {
      while (end <= at) end += rows[c++];
      const int64_t upto = std::min(end, interval.last);
      action(interval.option, c - 1, at, upto - at);
      at = upto;
    }
}

void PlanReader::read(int t) {
  const TablePlan& table = plan_.tables[t];
  const Features& features = model_.features();
  const auto mass_of = [&](size_t c, int64_t rows) {
    double mass = 0;
    for (int g = 0; g < features.groups; ++g)
      mass += static_cast<double>(rows) * model_.features_of(t, c)[features.p(g)];
    return mass;
  };
  double single_mass = 0;  // of rows with one copy
  if (table.transport == Transport::partial_sums)
    for_runs(t, [&](int option, size_t c, int64_t, int64_t rows) {
      if (plan_.options[option].level == 0) single_mass += mass_of(c, rows);
    });
  std::map<std::pair<int, int>, Places> masses;  // of a pooled table, by option and copy domain
  for_runs(t, [&](int option, size_t c, int64_t first, int64_t rows) {
    const Option& chosen = plan_.options[option];
    const Transport transport = transport_of(chosen, table.transport);
    const auto add = [&](Places& to, const double* values, int n) {
      if (by_use(t, option))
        for (int i = 0; i < n; ++i)
          to.add_everywhere(i, static_cast<double>(rows) * values[i] / static_cast<double>(to.count));
      else if (table.holders.fixed >= 0 && transport != Transport::staged)
        to.add_at(table.holders.fixed, static_cast<double>(rows), values, n);
      else
        to.add(first + table.holders.offset, rows, values, n);
    };
    for (int copy_domain : tree_.at_level(chosen.level)) {
      Places& sums = group(t, option, copy_domain);
      add(sums, model_.features_of(t, c), features.size());
      if (transport == Transport::pooled)
        add(masses.try_emplace({option, copy_domain}, holders(chosen, copy_domain), features.groups).first->second,
            model_.features_of(t, c) + features.p(0), features.groups);
      // A vector per bag and rank, whatever is in it.
      for (int g = 0; g < features.groups && transport == Transport::partial_sums && single_mass > 0; ++g)
        sums.add_everywhere(features.pairs(g), mass_of(c, rows) / single_mass / static_cast<double>(sums.count));
    }
  });
  for (auto& [key, of_holders] : masses) {
    of_holders.finish();
    Places& sums = group(t, key.first, key.second);
    std::vector<double> pairs(width_, 0);
    for (int64_t place = 0; place < of_holders.count; ++place) {
      for (int g = 0; g < features.groups; ++g)
        pairs[features.pairs(g)] = touched(std::clamp(of_holders.of(place)[g], 0.0, 1.0), model_.table(t).lookups);
      sums.add_at(place, 1, pairs.data(), width_);
    }
  }
}

/// Coefficients times all rows: what is used at all, however it is dealt.
std::vector<double> in_all(const CostModel& model, const Plan& plan, const std::map<GroupKey, Places>& groups) {
  std::vector<double> quantities = model.base();
  for (const auto& [key, places] : groups) {
    if (key.copy_domain != model.tree().at_level(plan.options[key.option].level)[0]) continue;
    std::vector<double> total(model.features().size(), 0);
    for (int64_t place = 0; place < places.count; ++place)
      for (size_t i = 0; i < total.size(); ++i) total[i] += places.of(place)[i];
    for (const Coefficient& c : coefficients(model, plan.options[key.option], key.transport, key.shape))
      quantities[c.quantity] += c.value * total[c.feature];
  }
  return quantities;
}

}  // namespace

Cost evaluate(const CostModel& model, const Plan& plan, bool reads_each) {
  SPARROW_CHECK(static_cast<int>(plan.tables.size()) == model.tables(), "a plan of {} tables for {}",
                plan.tables.size(), model.tables());
  if (model.tree().ranks() > kMostRanks) return evaluate(model, to_placement(plan, model.workload()));
  const PlanReader reader(model, plan);
  Loads loads;
  for (double quantity : model.base()) loads.values.push_back({quantity});
  for (const auto& [key, places] : reader.groups())
    GroupLoads(model, plan.options[key.option], key, places, reads_each, loads).add();
  const std::vector<bool> on = switches_on(model.time(), in_all(model, plan, reader.groups()));
  Loads even = loads;
  for (std::vector<double>& values : even.values)
    values = {std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size())};
  Cost cost = cost_of(model, loads, on);
  cost.even_seconds = cost_of(model, even, on).seconds;
  return cost;
}

}  // namespace sparrow::placement
