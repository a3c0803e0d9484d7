// What a rank does for one row: the only place where the formulas of placement.hpp, sections 3 and 4, are written down.
#include <cmath>
#include <map>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"

namespace sparrow::placement {
namespace {

/// The kinds of flow that a request, its answer and its gradient take.
struct ExchangeFlows {
  Flow ids, rows, gradients, dirty_rows, dirty_gradients, clean_rows, clean_gradients;
};
constexpr ExchangeFlows kStaged{
    Flow::ids,        Flow::rows,           Flow::gradients, Flow::dirty_rows, Flow::dirty_gradients,
    Flow::clean_rows, Flow::clean_gradients};
constexpr ExchangeFlows kDirect{Flow::direct_ids,
                                Flow::direct_rows,
                                Flow::direct_gradients,
                                Flow::dirty_direct_rows,
                                Flow::dirty_direct_gradients,
                                Flow::clean_direct_rows,
                                Flow::clean_direct_gradients};

bool is_pooled(Transport transport) {
  return transport == Transport::pooled || transport == Transport::partial_sums;
}

Site site_of(const Tree& tree, const Option& option, int copy_domain) {
  const auto& types = tree.at_level(option.level);
  for (size_t i = 0; i < types.size(); ++i)
    if (types[i] == copy_domain) return option.sites[i];
  fail("placement: {} is no copy domain of level {}", tree.path(copy_domain), option.level);
}

/// Ranks that serve the slots of a site inside one copy domain.
int64_t places_of(const Tree& tree, Site site, int copy_domain) {
  return tree.instances_in(site.domain, copy_domain) * tree.ranks_in(site.domain);
}

/// Whether whole rows are summed whatever is touched: not where domains differ in their number of slots, as no sets of
/// ranks have the same rows then.
bool summed_whole(const Tree& tree, const Option& option) {
  if (option.level == 0 || option.reduction != Reduction::dense) return false;
  const auto& types = tree.at_level(option.level);
  for (size_t i = 0; i < types.size(); ++i)
    if (places_of(tree, option.sites[i], types[i]) != places_of(tree, option.sites[0], types[0])) return false;
  return true;
}

class TermBuilder {
 public:
  TermBuilder(const CostModel& model, const Option& option, Transport transport, const TableShape& shape,
              int copy_domain, int rank, bool reads_each)
      : tree_(model.tree()),
        model_(model),
        q_(model.quantities()),
        block_{tree_.depth()},
        option_(option),
        transport_(transport),
        shape_(shape),
        copy_domain_(copy_domain),
        rank_(rank),
        reads_each_(reads_each),
        ahead_(option.level == 0 && !is_pooled(transport)),
        dense_(summed_whole(tree_, option)),
        assigned_(ahead_ && model.features().assigned),
        holders_known_(!model.workload().locality.first_use || held_by_first_use(model, option)) {}

  void staged_exchange();
  void direct_exchange();
  void pooled_exchange();
  void reduction();
  void store();
  void work();
  void gather_for_others();
  void lists();
  std::vector<RankTerm> take() { return std::move(result_); }

 private:
  int u() const { return Features::v(0); }
  // Rows with several copies, and bags pooled elsewhere, all wait for the update before.
  int dirty(int a) const { return ahead_ ? model_.features().dirty(a) : Features::v(a); }
  int clean(int a) const { return ahead_ ? model_.features().clean(a) : -1; }
  /// Rows that domain or rank a asks for: those it looks up, where samples go to their rows those it does not hold. Rows
  /// that are not held by first use are elsewhere as if by chance.
  int asked(int a) const {
    if (!assigned_) return Features::v(a);
    return holders_known_ ? model_.features().into(a) : model_.features().distinct(a);
  }
  int asked_dirty(int a) const {
    if (!assigned_) return dirty(a);
    return holders_known_ ? model_.features().into_dirty(a) : model_.features().distinct_dirty(a);
  }
  int asked_clean(int a) const {
    if (!assigned_) return clean(a);
    return holders_known_ ? model_.features().into_clean(a) : model_.features().distinct_clean(a);
  }
  int p(int rank) const { return model_.features().p(tree_.domain(rank).access_group); }
  int own() const { return block_.held(tree_.depth()); }
  int all() const { return block_.held(option_.level); }
  const std::vector<int>& ranks() const { return tree_.at_level(tree_.depth()); }
  /// Ranks of type `asking` in one instance of the parent of `a` and outside `a`.
  double ranks_beside(int asking, int a) const {
    const int parent = tree_.domain(a).parent;
    if (!tree_.inside(asking, parent)) return 0;
    return static_cast<double>(tree_.instances_in(asking, parent) -
                               (tree_.inside(asking, a) ? tree_.instances_in(asking, a) : 0));
  }

  void add(int quantity, int feature, int block, double value) {
    if (value != 0 && feature >= 0) result_.push_back({quantity, feature, block, value});
  }
  void add_flow(Flow kind, int stage, Direction direction, int feature, int block, double value) {
    add(q_.flow(kind, stage, rank_, direction), feature, block, value);
  }
  /// Rows into or out of the rank, `amount` of those of a block that domain (or rank) a touches; ids and gradients flow
  /// the other way.
  void add_rows(const ExchangeFlows& flows, int stage, Direction rows_direction, int a, int block, double amount);

  const Tree& tree_;
  const CostModel& model_;
  const Quantities& q_;
  const Block block_;
  const Option& option_;
  const Transport transport_;
  const TableShape& shape_;
  const int copy_domain_, rank_;
  const bool reads_each_;
  const bool ahead_;  // whether rows that the batch before leaves alone move ahead
  const bool dense_;
  const bool assigned_;       // whether the assignment of samples changes who asks for the rows
  const bool holders_known_;  // to whoever assigns, as they were measured
  std::vector<RankTerm> result_;
};

void TermBuilder::add_rows(const ExchangeFlows& flows, int stage, Direction rows_direction, int a, int block,
                           double amount) {
  const Direction back = rows_direction == Direction::in ? Direction::out : Direction::in;
  const double bytes = amount * shape_.wire_bytes;
  add_flow(flows.rows, stage, rows_direction, asked(a), block, bytes);
  add_flow(flows.dirty_rows, stage, rows_direction, asked_dirty(a), block, bytes);
  add_flow(flows.clean_rows, stage, rows_direction, asked_clean(a), block, bytes);
  add_flow(flows.gradients, stage, back, asked(a), block, bytes);
  add_flow(flows.dirty_gradients, stage, back, asked_dirty(a), block, bytes);
  add_flow(flows.clean_gradients, stage, back, asked_clean(a), block, bytes);
  add_flow(flows.ids, stage, back, asked(a), block, amount * shape_.id_bytes);
}

/// A domain's source of a row is the holder if it is inside, else the domain's proxy.
void TermBuilder::staged_exchange() {
  for (int stage = option_.level + 1; stage <= tree_.depth(); ++stage) {
    const int a = tree_.ancestor(rank_, stage), parent = tree_.domain(a).parent;
    const bool proxies_above = stage - 1 > option_.level;
    const auto into = [&](int block, double sign) { add_rows(kStaged, stage, Direction::in, a, block, sign); };
    if (stage < tree_.depth()) {
      into(block_.proxied(stage), 1);
    } else {  // a rank asks for all that it does not hold
      into(all(), 1);
      into(own(), -1);
    }
    if (proxies_above) into(block_.proxied(stage - 1), -1);  // here already
    for (int sibling : tree_.children(parent)) {
      const double instances = static_cast<double>(tree_.domain(sibling).count - (sibling == a ? 1 : 0));
      add_rows(kStaged, stage, Direction::out, sibling, own(), instances);
      if (proxies_above) add_rows(kStaged, stage, Direction::out, sibling, block_.proxied(stage - 1), instances);
    }
  }
}

/// Ranks and holders exchange directly.
void TermBuilder::direct_exchange() {
  for (int stage = option_.level + 1; stage <= tree_.depth(); ++stage) {
    const int a = tree_.ancestor(rank_, stage);
    add_rows(kDirect, stage, Direction::in, rank_, block_.held(stage - 1), 1);
    add_rows(kDirect, stage, Direction::in, rank_, block_.held(stage), -1);
    for (int asking : ranks()) add_rows(kDirect, stage, Direction::out, asking, own(), ranks_beside(asking, a));
  }
}

/// A vector per pair of a sample and a holder, or of a sample and a rank (partial sums), and a byte that says of how
/// many lookups it is; the id of every lookup. A pooled vector waits for all its rows.
void TermBuilder::pooled_exchange() {
  const bool partial = transport_ == Transport::partial_sums;
  const double length = partial || model_.has_bags() ? 1 : 0;
  const auto vectors = [&](int stage, Direction rows_in, int asking, int block, double samples) {
    const Direction back = rows_in == Direction::in ? Direction::out : Direction::in;
    const int pairs = model_.features().pairs(tree_.domain(asking).access_group);
    for (Flow kind : {kDirect.rows, kDirect.dirty_rows})
      add_flow(kind, stage, rows_in, pairs, block, samples * shape_.wire_bytes);
    for (Flow kind : {kDirect.gradients, kDirect.dirty_gradients})
      add_flow(kind, stage, back, pairs, block, samples * shape_.wire_bytes);
    add_flow(kDirect.ids, stage, back, pairs, block, samples * length);
  };
  const auto ids = [&](int stage, Direction direction, int asking, int block, double samples) {
    add_flow(kDirect.ids, stage, direction, p(asking), block, samples * shape_.lookups * shape_.id_bytes);
  };
  for (int stage = 1; stage <= tree_.depth(); ++stage) {
    const int a = tree_.ancestor(rank_, stage);
    const double own_samples = model_.batch_of(rank_);
    for (const auto& [block, sign] : {std::pair(block_.held(stage - 1), 1.0), {block_.held(stage), -1.0}}) {
      ids(stage, Direction::out, rank_, block, sign * own_samples);
      if (!partial) vectors(stage, Direction::in, rank_, block, sign * own_samples);
    }
    const double others = static_cast<double>(tree_.ranks_in(tree_.domain(a).parent) - tree_.ranks_in(a));
    if (partial) vectors(stage, Direction::in, rank_, all(), others * own_samples);
    for (int asking : ranks()) {
      const double samples = ranks_beside(asking, a) * model_.batch_of(asking);
      ids(stage, Direction::in, asking, own(), samples);
      vectors(stage, Direction::out, asking, partial ? all() : own(), samples);
    }
  }
}

/// Whichever child adds up for a domain is drawn per row, each equally often; within it likewise, down to the copy.
void TermBuilder::reduction() {
  const double bytes = shape_.wire_bytes + (dense_ ? 0 : shape_.id_bytes);
  // A dense sum has a part of every rank, also of one without samples.
  const auto gradient = [&](int child) { return dense_ ? Features::one() : Features::v(child); };
  const int value = dense_ ? Features::one() : u();
  double below = 1;  // that a row's copy here speaks for its ancestor at `stage`
  for (int stage = option_.level; stage >= 1; --stage) {
    const int a = tree_.ancestor(copy_domain_, stage);
    const double share = 1 / static_cast<double>(tree_.peers(a) + 1);
    const auto put = [&](Flow kind, Flow dirty_kind, Direction direction, int feature, double amount) {
      add_flow(kind, stage, direction, feature, own(), amount);
      add_flow(dirty_kind, stage, direction, feature, own(), amount);
    };
    put(Flow::up, Flow::dirty_up, Direction::out, gradient(a), (1 - share) * below * bytes);
    put(Flow::down, Flow::dirty_down, Direction::in, value, (1 - share) * below * bytes);
    for (int sibling : tree_.children(tree_.domain(a).parent)) {
      const double instances = static_cast<double>(tree_.domain(sibling).count - (sibling == a ? 1 : 0));
      put(Flow::up, Flow::dirty_up, Direction::in, gradient(sibling), share * instances * below * bytes);
      put(Flow::down, Flow::dirty_down, Direction::out, value, share * instances * below * bytes);
    }
    below *= share;
  }
}

void TermBuilder::store() {
  const Site site = site_of(tree_, option_, copy_domain_);
  if (!tree_.inside(rank_, site.domain)) return;
  add(q_.memory(site), Features::one(), own(), shape_.stored_bytes);
  if (tree_.is_device(site)) return;
  const int64_t granule = tree_.store(site).granule_bytes;
  const auto block = static_cast<double>(pack_blocks(static_cast<int64_t>(shape_.stored_bytes), granule).block_bytes);
  // Rows of a block are neighbours in use. Stores of smaller granules than the largest are charged a block per row.
  const bool shared = model_.features().packed && granule == model_.largest_granule();
  const auto moved = [&](int a) { return shared ? model_.features().blocks(a) : Features::v(a); };
  if (reads_each_)
    for (int asking : ranks())
      add(q_.store_read(site), p(asking), own(),
          static_cast<double>(tree_.instances_in(asking, 0)) * shape_.lookups * model_.batch_of(asking) * block);
  else
    add(q_.store_read(site), moved(copy_domain_), own(), block);
  // Every copy is updated when the row is touched anywhere; what the forward pass did not fetch is read then.
  add(q_.store_write(site), moved(0), own(), 2 * block);
  add(q_.store_write(site), moved(copy_domain_), own(), -block);
}

/// Rows that a holder reads to send them, or to pool them for others. A replicated row is read only where it is pooled
/// into bags.
void TermBuilder::gather_for_others() {
  if (option_.level == tree_.depth()) return;
  const Features& features = model_.features();
  const auto touched_by = [&](int a, double amount) {
    add(q_.gather(rank_), assigned_ ? features.distinct(a) : Features::v(a), own(), amount);
    add(q_.dirty_gather(rank_), assigned_ ? features.distinct_dirty(a) : dirty(a), own(), amount);
    add(q_.clean_gather(rank_), assigned_ ? features.distinct_clean(a) : clean(a), own(), amount);
  };
  if (transport_ == Transport::staged) return touched_by(copy_domain_, shape_.row_bytes);
  for (int asking : ranks()) {
    if (!tree_.inside(asking, copy_domain_)) continue;
    const double ranks = static_cast<double>(tree_.instances_in(asking, copy_domain_));
    if (is_pooled(transport_))
      for (int quantity : {q_.gather(rank_), q_.dirty_gather(rank_)})
        add(quantity, p(asking), own(), ranks * shape_.lookups * model_.batch_of(asking) * shape_.row_bytes);
    else
      touched_by(asking, ranks * shape_.row_bytes);
  }
}

/// Ids put on a list for another rank, and those that come on one.
void TermBuilder::lists() {
  if (is_pooled(transport_)) {
    add(q_.listed(rank_), p(rank_), all(), shape_.lookups * model_.batch_of(rank_));
    for (int asking : ranks())
      add(q_.listed(rank_), p(asking), own(),
          static_cast<double>(tree_.instances(asking)) * shape_.lookups * model_.batch_of(asking));
  }
  if (option_.level > 0 && !dense_)
    for (const int touched : {Features::v(copy_domain_), u()}) add(q_.listed(rank_), touched, own(), 2);
}

void TermBuilder::work() {
  // Pooled into bags where they are used, but for those that another rank pools.
  if (!is_pooled(transport_))
    add(q_.bags(rank_), p(rank_), all(), shape_.lookups * model_.batch_of(rank_) * shape_.row_bytes);
  lists();
  gather_for_others();
  add(q_.update(rank_), dense_ ? Features::one() : u(), own(), shape_.stored_bytes);
  add(q_.dirty_update(rank_), dense_ ? Features::one() : dirty(0), own(), shape_.stored_bytes);
  add(q_.clean_update(rank_), clean(0), own(), shape_.stored_bytes);
}

/// P(the copy of D is in one instance of x | x lies in D), for a copy of D spread over the instances of a site inside D.
double holder_share(const Tree& tree, Site site, int copy_domain, int x) {
  const double slots = static_cast<double>(tree.instances_in(site.domain, copy_domain));
  if (tree.inside(site.domain, x)) return static_cast<double>(tree.instances_in(site.domain, x)) / slots;
  if (tree.inside(x, site.domain)) return tree.rho(x, site.domain) / slots;
  return 0;
}

/// The share of all rows that each block is of a rank, where rows are spread evenly.
std::vector<double> fair_shares(const Tree& tree, const Option& option, int copy_domain, int rank) {
  const Block block{tree.depth()};
  const Site site = site_of(tree, option, copy_domain);
  std::vector<double> share(block.count(), 0);
  for (int level = option.level; level <= tree.depth(); ++level) {
    const int a = tree.ancestor(rank, level);
    share[block.held(level)] = holder_share(tree, site, copy_domain, a);
    share[block.proxied(level)] = tree.rho(rank, a) * (1 - share[block.held(level)]);
  }
  return share;
}

}  // namespace

bool held_by_first_use(const CostModel& model, const Option& option) {
  const Site site = option.sites[0];
  return option.level == 0 && model.tree().is_device(site) && model.batch_of(site.domain) > 0;
}

Transport transport_of(const Option& option, Transport transport) {
  return option.level > 0 && is_pooled(transport) ? Transport::direct : transport;
}

std::vector<RankTerm> rank_terms(const CostModel& model, const Option& option, Transport transport,
                                 const TableShape& shape, int copy_domain, int rank, bool reads_each) {
  transport = transport_of(option, transport);
  TermBuilder builder(model, option, transport, shape, copy_domain, rank, reads_each && is_pooled(transport));
  if (transport == Transport::staged) builder.staged_exchange();
  if (transport == Transport::direct) builder.direct_exchange();
  if (is_pooled(transport)) builder.pooled_exchange();
  builder.reduction();
  builder.store();
  builder.work();
  return builder.take();
}

std::vector<Coefficient> coefficients(const CostModel& model, const Option& option, Transport transport,
                                      const TableShape& shape, double vectors_per_mass) {
  const Tree& tree = model.tree();
  SPARROW_CHECK(option.level >= 0 && option.level <= tree.depth(), "level {}", option.level);
  SPARROW_CHECK(option.sites.size() == tree.at_level(option.level).size(), "{} sites", option.sites.size());
  const Features& features = model.features();
  struct Sum {
    double value = 0, size = 0;
  };
  std::map<std::pair<int, int>, Sum> sums;
  for (int copy_domain : tree.at_level(option.level))
    for (int rank : tree.at_level(tree.depth())) {
      if (!tree.inside(rank, copy_domain)) continue;
      const std::vector<double> share = fair_shares(tree, option, copy_domain, rank);
      for (const RankTerm& term : rank_terms(model, option, transport, shape, copy_domain, rank)) {
        const bool pairs = term.feature >= features.size();
        const int feature = pairs ? features.p(term.feature - features.size()) : term.feature;
        const double value = term.value * share[term.block] * (pairs ? vectors_per_mass : 1);
        for (int quantity = term.quantity; quantity >= 0; quantity = model.quantities().above(quantity)) {
          const int owner = model.quantities().owner(quantity);
          const double amount = value * static_cast<double>(tree.instances_in(rank, owner));
          sums[{quantity, feature}].value += amount;
          sums[{quantity, feature}].size += std::abs(amount);
        }
      }
    }
  std::vector<Coefficient> result;
  for (const auto& [key, sum] : sums)  // what blocks cancel is nothing, not a rounding error
    if (std::abs(sum.value) > 1e-12 * sum.size) result.push_back({key.first, key.second, sum.value});
  return result;
}

double pooled_pairs(double mass, double holders, double lookups) {
  return -holders * std::expm1(lookups * std::log1p(-std::min(1.0, mass / holders)));
}

double pooled_holders(const Tree& tree, const Option& option) {
  double slots = 0, domains = 0;
  const auto& types = tree.at_level(option.level);
  for (size_t i = 0; i < types.size(); ++i) {
    const double instances = static_cast<double>(tree.instances(types[i]));
    slots += instances * static_cast<double>(places_of(tree, option.sites[i], types[i]));
    domains += instances;
  }
  return slots / domains;
}

}  // namespace sparrow::placement
