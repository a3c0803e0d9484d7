// The cost of a plan as it is dealt: what every rank holds, by the holder rule, row by row; what it passes on as a proxy;
// and what that loads. Rows of equal use that lie on all slots alike are counted once, so that time grows with classes
// and slots, not with rows.
#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

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
  Places(int64_t places, int width) : count(places), width_(width), steps_(places * width, 0.0) {}
  const int64_t count;

  /// `rows` rows of these features from `first` on, one per place in turn.
  void add(int64_t first, int64_t rows, const double* features, int n) {
    if (rows >= count) {
      const double turns = static_cast<double>(rows / count);
      for (int i = 0; i < n; ++i) steps_[i] += turns * features[i];
    }
    const int64_t from = first % count, to = from + rows % count;
    add_range(from, std::min(to, count), features, n);
    add_range(0, to - count, features, n);
  }
  /// All rows on one place. at: the number of the first of these features.
  void add_at(int64_t place, double rows, const double* features, int n, int at = 0) {
    double* steps = steps_.data() + place % count * width_ + at;
    for (int i = 0; i < n; ++i) steps[i] += rows * features[i];
    if (place % count + 1 < count)
      for (int i = 0; i < n; ++i) steps[width_ + i] -= rows * features[i];
  }
  /// To every place.
  void add_everywhere(int feature, double amount) { steps_[feature] += amount; }
  /// From differences to sums; once, at the end.
  void finish() {
    sums_.resize(steps_.size());
    totals_.assign(width_, 0.0);
    std::vector<double> sum(width_, 0.0);
    for (int64_t place = 0; place < count; ++place)
      for (int i = 0; i < width_; ++i) {
        sum[i] += steps_[place * width_ + i];
        totals_[i] += sum[i];
        sums_[i * count + place] = sum[i];
      }
    steps_ = {};
  }
  const double* by_place(int feature) const { return sums_.data() + feature * count; }
  double total(int feature) const { return totals_[feature]; }

 private:
  void add_range(int64_t from, int64_t to, const double* features, int n) {
    if (from >= to) return;
    for (int i = 0; i < n; ++i) steps_[from * width_ + i] += features[i];
    if (to < count)
      for (int i = 0; i < n; ++i) steps_[to * width_ + i] -= features[i];
  }
  const int width_;
  std::vector<double> steps_;  ///< differences between neighbouring places, until finish()
  std::vector<double> sums_;   ///< feature by feature, from then on
  std::vector<double> totals_;
};

/// Adds each group of `per` neighbours to its sum, in their order; several groups at a time, as one sum waits for its
/// last addition.
void add_groups(const double* values, int64_t per, std::vector<double>& sums) {
  const auto n = std::ssize(sums);
  int64_t i = 0;
  for (; i + 4 <= n; i += 4, values += 4 * per) {
    double a = sums[i], b = sums[i + 1], c = sums[i + 2], d = sums[i + 3];
    for (int64_t k = 0; k < per; ++k) {
      a += values[k];
      b += values[per + k];
      c += values[2 * per + k];
      d += values[3 * per + k];
    }
    sums[i] = a, sums[i + 1] = b, sums[i + 2] = c, sums[i + 3] = d;
  }
  for (; i < n; ++i, values += per)
    for (int64_t k = 0; k < per; ++k) sums[i] += values[k];
}

/// Tables that are moved alike, under one option and copy domain.
struct GroupKey {
  int option = 0, copy_domain = 0;
  Transport transport{};
  TableShape shape;
  int64_t fixed = -1;         ///< the slot of whole tables, where what proxies do is counted by position
  bool by_first_use = false;  ///< not dealt by arithmetic
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

/// Adds what the rows of one group load. Sums are by feature and by instance in the copy domain, and made when a term
/// asks for them.
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
        reads_each_(reads_each),
        loads_(loads),
        held_(tree_.size() * width_),
        proxies_(tree_.size()),
        proxied_(tree_.size() * (tree_.depth() + 1) * width_) {
    for (size_t i = 0; i < option.sites.size(); ++i)
      if (tree_.at_level(option.level)[i] == key.copy_domain) site_ = option.sites[i];
    find_holders();
  }
  void add();

 private:
  using Sums = std::vector<double>;
  /// The proxies of a domain for the rows that are elsewhere: ranks of each instance take turns by position.
  struct Proxies {
    std::vector<RankIn> ring;
    std::vector<int64_t> turn_of;  ///< by place, whose rows an instance has: instance * turns + turn; -1: none has
  };
  RankIn holder(int64_t place) const { return holders_[(key_.fixed >= 0 ? key_.fixed : place) % std::ssize(holders_)]; }
  void find_holders();
  double share_by_first_use(int64_t instance, int64_t instances) const;
  const Sums& held(int d, int feature);
  const Sums& proxied(int level, int rank, int feature);
  Sums& proxied_sums(int level, int rank, int feature) {
    return proxied_[(rank * (tree_.depth() + 1) + level) * width_ + feature];
  }
  void sum_proxied(int a, int feature);
  const Proxies& proxies(int a);
  const Sums& sums_of(const RankTerm& term, int rank);
  void add_terms(int rank, const RankTerm* first, const RankTerm* last, Sums& of_rank);
  void spread(int quantity, const Sums& of_rank);
  void add_to(int quantity, const Sums& in_copy_domain);

  const CostModel& model_;
  const Tree& tree_;
  const Option& option_;
  const GroupKey& key_;
  const Places& places_;
  const int width_;
  const bool reads_each_;
  Loads& loads_;
  Site site_;
  std::vector<RankIn> holders_;  ///< by place: slot by slot, ranks of a slot in turn
  std::vector<Sums> held_;       ///< by domain inside the copy domain and feature
  std::vector<Proxies> proxies_;
  std::vector<Sums> proxied_;  ///< by type of rank, level and feature
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
double GroupLoads::share_by_first_use(int64_t instance, int64_t instances) const {
  const double most = std::min(model_.workload().locality.busiest, static_cast<double>(instances));
  if (instances < 2 || instance == 0) return instances < 2 ? 1 : most;
  return (static_cast<double>(instances) - most) / static_cast<double>(instances - 1);
}

/// Of the rows that the instances of d hold.
const GroupLoads::Sums& GroupLoads::held(int d, int feature) {
  Sums& sums = held_[d * width_ + feature];
  if (!sums.empty()) return sums;
  sums.assign(tree_.instances_in(d, key_.copy_domain), 0);
  if (tree_.is_rank(d)) {
    const double* values = places_.by_place(feature);
    for (int64_t place = 0; place < places_.count;)
      for (size_t i = 0; i < holders_.size() && place < places_.count; ++i, ++place) {
        const auto [rank, instance] = key_.fixed < 0 ? holders_[i] : holder(place);
        if (rank == d) sums[instance] += values[place];
      }
    for (int64_t i = 0; i < std::ssize(sums) && key_.by_first_use; ++i)
      sums[i] *= share_by_first_use(i, std::ssize(sums));
  }
  const std::vector<int>& children = tree_.children(d);
  for (auto child = children.rbegin(); child != children.rend(); ++child)
    add_groups(held(*child, feature).data(), tree_.domain(*child).count, sums);
  return sums;
}

const GroupLoads::Proxies& GroupLoads::proxies(int a) {
  Proxies& result = proxies_[a];
  if (!result.ring.empty()) return result;
  result.ring = proxies_of(tree_, a);
  const auto turns = std::ssize(result.ring);
  if (places_.count % turns != 0) return result;
  for (int64_t place = 0; place < places_.count; ++place) {
    const auto [rank, instance] = holder(place);
    const bool inside = tree_.inside(rank, a);
    result.turn_of.push_back(inside ? instance / tree_.instances_in(rank, a) * turns + place % turns : -1);
  }
  return result;
}

/// Of the rows that each rank asks for on behalf of an instance of `a`.
void GroupLoads::sum_proxied(int a, int feature) {
  const int level = tree_.level(a);
  const auto instances = tree_.instances_in(a, key_.copy_domain);
  const Proxies& proxies = this->proxies(a);
  const auto turns = std::ssize(proxies.ring);
  Sums elsewhere(instances * turns, 0);  // by instance of a and turn
  if (proxies.turn_of.empty()) {         // taken as even
    const double all = held(key_.copy_domain, feature)[0];
    const Sums& here = held(a, feature);
    for (int64_t i = 0; i < instances; ++i)
      for (int64_t at = 0; at < turns; ++at) {
        elsewhere[i * turns + at] += 1 / static_cast<double>(turns) * all;
        elsewhere[i * turns + at] += -1 / static_cast<double>(turns) * here[i];
      }
  } else {
    const double* values = places_.by_place(feature);
    Sums by_turn(turns, 0);
    for (int64_t place = 0; place < places_.count;)
      for (int64_t at = 0; at < turns; ++at, ++place) by_turn[at] += values[place];
    for (int64_t place = 0; place < places_.count; ++place)
      if (proxies.turn_of[place] >= 0) elsewhere[proxies.turn_of[place]] -= values[place];
    for (int64_t i = 0; i < instances; ++i)
      for (int64_t at = 0; at < turns; ++at) elsewhere[i * turns + at] += by_turn[at];
  }
  for (int r : tree_.at_level(tree_.depth()))
    if (tree_.inside(r, a)) proxied_sums(level, r, feature).assign(tree_.instances_in(r, key_.copy_domain), 0);
  for (int64_t i = 0; i < instances; ++i)
    for (int64_t at = 0; at < turns; ++at) {
      const auto [rank, instance] = proxies.ring[at];
      proxied_sums(level, rank, feature)[i * tree_.instances_in(rank, a) + instance] += elsewhere[i * turns + at];
    }
}

const GroupLoads::Sums& GroupLoads::proxied(int level, int rank, int feature) {
  const Sums& sums = proxied_sums(level, rank, feature);
  if (sums.empty()) sum_proxied(tree_.ancestor(rank, level), feature);
  return sums;
}

const GroupLoads::Sums& GroupLoads::sums_of(const RankTerm& term, int rank) {
  const int level = term.block % (tree_.depth() + 1);
  const bool held_here = term.block == Block{tree_.depth()}.held(level);
  return held_here ? held(tree_.ancestor(rank, level), term.feature) : proxied(level, rank, term.feature);
}

/// Terms of one quantity, over all ranks of a type.
void GroupLoads::add_terms(int rank, const RankTerm* first, const RankTerm* last, Sums& of_rank) {
  of_rank.assign(tree_.instances_in(rank, key_.copy_domain), 0);
  for (const RankTerm* term = first; term != last; ++term) {
    const Sums& sums = sums_of(*term, rank);
    const int64_t per = std::ssize(of_rank) / std::ssize(sums);
    double* of = of_rank.data();
    if (per == 1)
      for (size_t i = 0; i < sums.size(); ++i) of[i] += term->value * sums[i];
    else
      for (size_t i = 0; i < sums.size(); ++i, of += per)
        for (int64_t k = 0; k < per; ++k) of[k] += term->value * sums[i];
  }
}

void GroupLoads::add() {
  Sums of_rank;
  for (int rank : tree_.at_level(tree_.depth())) {
    if (!tree_.inside(rank, key_.copy_domain)) continue;
    std::vector<RankTerm> terms =
        rank_terms(model_, option_, key_.transport, key_.shape, key_.copy_domain, rank, reads_each_);
    std::stable_sort(terms.begin(), terms.end(),
                     [](const RankTerm& a, const RankTerm& b) { return a.quantity < b.quantity; });
    for (size_t i = 0, end = 0; i < terms.size(); i = end) {
      while (end < terms.size() && terms[end].quantity == terms[i].quantity) ++end;
      add_terms(rank, terms.data() + i, terms.data() + end, of_rank);
      spread(terms[i].quantity, of_rank);
    }
  }
}

/// To the quantity's own domain, and through those above it.
void GroupLoads::spread(int quantity, const Sums& of_rank) {
  Sums sums;
  for (; quantity >= 0; quantity = model_.quantities().above(quantity)) {
    const int owner = model_.quantities().owner(quantity);
    const bool inside = tree_.inside(owner, key_.copy_domain);
    sums.assign(inside ? tree_.instances_in(owner, key_.copy_domain) : 1, 0);
    add_groups(of_rank.data(), std::ssize(of_rank) / std::ssize(sums), sums);
    if (!inside) sums[0] *= static_cast<double>(tree_.instances_in(key_.copy_domain, owner));
    add_to(quantity, sums);
  }
}

void GroupLoads::add_to(int quantity, const Sums& in_copy_domain) {
  std::vector<double>& values = loads_.values[quantity];
  const bool alike =
      std::all_of(in_copy_domain.begin(), in_copy_domain.end(), [&](double v) { return v == in_copy_domain[0]; });
  if (values.size() == 1) {
    if (alike) {
      values[0] += in_copy_domain[0];
      return;
    }
    values.assign(tree_.instances(model_.quantities().owner(quantity)), values[0]);
  }
  for (size_t from = 0; from < values.size(); from += in_copy_domain.size())
    for (size_t i = 0; i < in_copy_domain.size(); ++i) values[from + i] += in_copy_domain[i];
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
  void add_pairs(int t, Places& masses, Places& to);
  bool by_first_use(int t, int option) const {
    return plan_.tables[t].by_first_use(plan_.options[option]) && held_by_first_use(model_, plan_.options[option]);
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
  key.by_first_use = by_first_use(t, option);
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
  const int64_t fixed = table.holders.fixed;
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
  struct Sums {
    Places* all = nullptr;
    std::optional<Places> masses;  // by holder, of a pooled table; one place where all are the same
  };
  std::vector<Sums> sums_of(plan_.options.size() * tree_.size());  // by option and copy domain
  for_runs(t, [&](int option, size_t c, int64_t first, int64_t rows) {
    const Option& chosen = plan_.options[option];
    const Transport transport = transport_of(chosen, table.transport);
    const auto add = [&](Places& to, const double* values, int n) {
      if (by_first_use(t, option))
        for (int i = 0; i < n; ++i)
          to.add_everywhere(i, static_cast<double>(rows) * values[i] / static_cast<double>(to.count));
      else if (fixed >= 0 && transport != Transport::staged)
        to.add_at(fixed, static_cast<double>(rows), values, n);
      else
        to.add(first + table.holders.offset, rows, values, n);
    };
    for (int copy_domain : tree_.at_level(chosen.level)) {
      Sums& sums = sums_of[option * tree_.size() + copy_domain];
      if (!sums.all) {
        sums.all = &group(t, option, copy_domain);
        if (transport == Transport::pooled)
          sums.masses.emplace(fixed >= 0 ? 1 : holders(chosen, copy_domain), features.groups);
      }
      add(*sums.all, model_.features_of(t, c), features.size());
      if (sums.masses) add(*sums.masses, model_.features_of(t, c) + features.p(0), features.groups);
      // A vector per bag and rank, whatever is in it.
      for (int g = 0; g < features.groups && transport == Transport::partial_sums && single_mass > 0; ++g)
        sums.all->add_everywhere(features.pairs(g),
                                 mass_of(c, rows) / single_mass / static_cast<double>(sums.all->count));
    }
  });
  for (Sums& sums : sums_of)
    if (sums.masses) add_pairs(t, *sums.masses, *sums.all);
}

/// Vectors per sample from each holder, by the mass of what it has.
void PlanReader::add_pairs(int t, Places& masses, Places& to) {
  const Features& features = model_.features();
  const int64_t fixed = plan_.tables[t].holders.fixed;
  masses.finish();
  std::vector<double> mass(features.groups, 0), pairs(features.groups, 0);
  for (int64_t place = 0; place < masses.count; ++place) {
    for (int g = 0; g < features.groups; ++g) {
      const double here = masses.by_place(g)[place];
      if (here != mass[g]) pairs[g] = touched(std::clamp(here, 0.0, 1.0), model_.table(t).lookups);
      mass[g] = here;
    }
    to.add_at(fixed >= 0 ? fixed : place, 1, pairs.data(), features.groups, features.pairs(0));
  }
}

/// Coefficients times all rows: what is used at all, however it is dealt.
std::vector<double> in_all(const CostModel& model, const Plan& plan, const std::map<GroupKey, Places>& groups) {
  std::vector<double> quantities = model.base();
  for (const auto& [key, places] : groups) {
    if (key.copy_domain != model.tree().at_level(plan.options[key.option].level)[0]) continue;
    for (const Coefficient& c : coefficients(model, plan.options[key.option], key.transport, key.shape))
      quantities[c.quantity] += c.value * places.total(c.feature);
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
  Loads even;
  for (const std::vector<double>& values : loads.values)
    even.values.push_back({std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size())});
  Cost cost = cost_of(model, loads, on);
  cost.even_seconds = cost_of(model, even, on).seconds;
  return cost;
}

}  // namespace sparrow::placement
