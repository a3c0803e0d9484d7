// The coefficients: what one row of an option adds to every flow, work and store. The only place where the formulas of
// placement.hpp, sections 3 and 4, are written down.
#include <cmath>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"

namespace sparrow::placement {
namespace {

/// A linear form in the features, as (feature, value) pairs.
using Form = std::vector<std::pair<int, double>>;

/// The kinds of flow that a request, its answer and its gradient take.
struct ExchangeFlows {
  Flow ids, rows, gradients, dirty_rows, dirty_gradients, clean_rows, late_gradients;
};
constexpr ExchangeFlows kStaged{
    Flow::ids,        Flow::rows,          Flow::gradients, Flow::dirty_rows, Flow::dirty_gradients,
    Flow::clean_rows, Flow::late_gradients};
constexpr ExchangeFlows kDirect{Flow::direct_ids,
                                Flow::direct_rows,
                                Flow::direct_gradients,
                                Flow::dirty_direct_rows,
                                Flow::dirty_direct_gradients,
                                Flow::clean_direct_rows,
                                Flow::late_direct_gradients};

class LoadBuilder {
 public:
  LoadBuilder(const CostModel& model, const Option& option, Transport transport, const TableShape& shape)
      : tree_(model.tree()),
        model_(model),
        option_(option),
        shape_(shape),
        ahead_(option.level == 0 && transport != Transport::pooled) {}

  void staged_exchange();
  void direct_exchange();
  void pooled_exchange(double factor);
  void reduction();
  void stores();
  void work(Transport transport);
  void add_gather_for_others(Transport transport, int copy_domain, int rank, double share);
  std::vector<Coefficient> take() { return std::move(result_); }

 private:
  int u() const { return Features::v(0); }
  // Rows with several copies, and bags pooled elsewhere, all wait for the update before.
  int dirty(int a) const { return ahead_ ? model_.features().dirty(a) : Features::v(a); }
  int clean(int a) const { return ahead_ ? model_.features().clean(a) : -1; }
  Site site_of(int copy_domain) const;
  double h(int copy_domain, int x) const { return holder_share(tree_, site_of(copy_domain), copy_domain, x); }

  void add(int quantity, int feature, double value) {
    if (value != 0 && feature >= 0) result_.push_back({quantity, feature, value});
  }
  /// `amount` of the rows that a touches, moved in stages into (rows) or out of an instance of e: ids and gradients
  /// flow the other way.
  void add_staged(int stage, int e, Direction rows_direction, int a, double amount);
  template <class Visit>
  void for_stages_below(Visit visit) const;
  struct Asked {  // by rank type
    std::vector<Form> rows, dirty, clean, ids;
  };
  void direct(const Asked& asked);

  const Tree& tree_;
  const CostModel& model_;
  const Option& option_;
  const TableShape& shape_;
  const bool ahead_;  // whether rows that the batch before leaves alone move ahead
  std::vector<Coefficient> result_;
};

Site LoadBuilder::site_of(int copy_domain) const {
  const auto& types = tree_.at_level(option_.level);
  for (size_t i = 0; i < types.size(); ++i)
    if (types[i] == copy_domain) return option_.sites[i];
  fail("placement: {} is no copy domain of level {}", tree_.path(copy_domain), option_.level);
}

void LoadBuilder::add_staged(int stage, int e, Direction rows_direction, int a, double amount) {
  const Quantities& q = model_.quantities();
  const Direction back = rows_direction == Direction::in ? Direction::out : Direction::in;
  const double bytes = amount * shape_.wire_bytes;
  add(q.flow(kStaged.rows, stage, e, rows_direction), Features::v(a), bytes);
  add(q.flow(kStaged.dirty_rows, stage, e, rows_direction), dirty(a), bytes);
  add(q.flow(kStaged.clean_rows, stage, e, rows_direction), clean(a), bytes);
  add(q.flow(kStaged.gradients, stage, e, back), Features::v(a), bytes);
  add(q.flow(kStaged.dirty_gradients, stage, e, back), dirty(a), bytes);
  add(q.flow(kStaged.late_gradients, stage, e, back), clean(a), bytes);
  add(q.flow(kStaged.ids, stage, e, back), Features::v(a), amount * shape_.id_bytes);
}

/// visit(copy domain D, stage j, child a at level j, e at or below a), for every stage below the copies.
template <class Visit>
void LoadBuilder::for_stages_below(Visit visit) const {
  for (int copy_domain : tree_.at_level(option_.level))
    for (int stage = option_.level + 1; stage <= tree_.depth(); ++stage)
      for (int a : tree_.at_level(stage)) {
        if (!tree_.inside(a, copy_domain)) continue;
        for (int e = a; e < tree_.size(); ++e)
          if (tree_.inside(e, a)) visit(copy_domain, stage, a, e);
      }
}

void LoadBuilder::staged_exchange() {
  for_stages_below([&](int copy_domain, int stage, int a, int e) {
    const int parent = tree_.domain(a).parent;
    const double elsewhere = 1 - h(copy_domain, parent);  // the parent has no holder: its proxy is the source
    const double source = h(copy_domain, a) + elsewhere * tree_.sigma(a);
    const double into = (1 - source) * tree_.rho(e, a);
    add_staged(stage, e, Direction::in, a, into);
    const double out = h(copy_domain, e) + elsewhere * tree_.sigma(a) * tree_.rho(e, a);
    for (int sibling : tree_.children(parent)) {
      const double instances = static_cast<double>(tree_.domain(sibling).count - (sibling == a ? 1 : 0));
      add_staged(stage, e, Direction::out, sibling, out * instances);
    }
  });
}

/// Ranks and holders exchange directly.
void LoadBuilder::direct(const Asked& asked) {
  const Quantities& q = model_.quantities();
  const auto flow = [&](Flow kind, int stage, int e, Direction direction, const std::vector<Form>& forms, int rank,
                        double amount) {
    const double bytes = kind == kDirect.ids ? shape_.id_bytes : shape_.wire_bytes;
    for (const auto& [feature, value] : forms[rank])
      add(q.flow(kind, stage, e, direction), feature, amount * value * bytes);
  };
  const auto both = [&](int stage, int e, Direction rows_in, int rank, double amount) {
    const Direction back = rows_in == Direction::in ? Direction::out : Direction::in;
    flow(kDirect.rows, stage, e, rows_in, asked.rows, rank, amount);
    flow(kDirect.dirty_rows, stage, e, rows_in, asked.dirty, rank, amount);
    flow(kDirect.clean_rows, stage, e, rows_in, asked.clean, rank, amount);
    flow(kDirect.gradients, stage, e, back, asked.rows, rank, amount);
    flow(kDirect.dirty_gradients, stage, e, back, asked.dirty, rank, amount);
    flow(kDirect.late_gradients, stage, e, back, asked.clean, rank, amount);
    flow(kDirect.ids, stage, e, back, asked.ids, rank, amount);
  };
  for_stages_below([&](int copy_domain, int stage, int a, int e) {
    const int parent = tree_.domain(a).parent;
    const double from_siblings = h(copy_domain, parent) - h(copy_domain, a);
    for (int r : tree_.at_level(tree_.depth())) {
      if (tree_.inside(r, e))
        both(stage, e, Direction::in, r, from_siblings * static_cast<double>(tree_.instances_in(r, e)));
      if (!tree_.inside(r, parent)) continue;
      const int64_t here = tree_.inside(r, a) ? tree_.instances_in(r, a) : 0;
      const double others = static_cast<double>(tree_.instances_in(r, parent) - here);
      both(stage, e, Direction::out, r, h(copy_domain, e) * others);
    }
  });
}

void LoadBuilder::direct_exchange() {
  const std::vector<Form> nothing(tree_.size());
  Asked asked{nothing, nothing, nothing, nothing};
  for (int r : tree_.at_level(tree_.depth())) {
    asked.rows[r] = asked.ids[r] = {{Features::v(r), 1.0}};
    asked.dirty[r] = {{dirty(r), 1.0}};
    asked.clean[r] = {{clean(r), 1.0}};
  }
  direct(asked);
}

void LoadBuilder::pooled_exchange(double factor) {
  const std::vector<Form> nothing(tree_.size());
  Asked asked{nothing, nothing, nothing, nothing};
  for (int r : tree_.at_level(tree_.depth())) {
    const int p = model_.features().p(tree_.domain(r).access_group);
    asked.rows[r] = {{p, factor * model_.batch_of(r)}};
    asked.ids[r] = {{p, shape_.lookups * model_.batch_of(r)}};
  }
  asked.dirty = asked.rows;  // a pooled vector waits for all its rows
  direct(asked);
}

void LoadBuilder::reduction() {
  const Quantities& q = model_.quantities();
  const bool dense = option_.reduction == Reduction::dense;
  const double bytes = shape_.wire_bytes + (dense ? 0 : shape_.id_bytes);
  for (int stage = 1; stage <= option_.level; ++stage)
    for (int a : tree_.at_level(stage))
      for (int e = a; e < tree_.size(); ++e) {
        if (!tree_.inside(e, a)) continue;
        // Which vertex below a sends and receives for it: proxies down to the copies, then the holder of the copy.
        const int copy_domain = tree_.level(e) > option_.level ? tree_.ancestor(e, option_.level) : e;
        const double here =
            tree_.rho(copy_domain, a) * (tree_.level(e) > option_.level ? h(copy_domain, e) : 1.0) * bytes;
        const int parent = tree_.domain(a).parent;
        const double sigma = tree_.sigma(a);
        // A dense sum has a part of every rank, also of one without samples.
        const auto gradient = [&](int child) { return dense ? Features::one() : Features::v(child); };
        const auto put = [&](Flow kind, Flow dirty_kind, Direction direction, int feature, double amount) {
          add(q.flow(kind, stage, e, direction), feature, amount);
          add(q.flow(dirty_kind, stage, e, direction), feature, amount);
        };
        const int value = dense ? Features::one() : u();
        put(Flow::up, Flow::dirty_up, Direction::out, gradient(a), (1 - sigma) * here);
        put(Flow::down, Flow::dirty_down, Direction::in, value, (1 - sigma) * here);
        for (int sibling : tree_.children(parent)) {
          const double instances = static_cast<double>(tree_.domain(sibling).count - (sibling == a ? 1 : 0));
          put(Flow::up, Flow::dirty_up, Direction::in, gradient(sibling), sigma * instances * here);
          put(Flow::down, Flow::dirty_down, Direction::out, value, sigma * instances * here);
        }
      }
}

void LoadBuilder::stores() {
  const Quantities& q = model_.quantities();
  for (int copy_domain : tree_.at_level(option_.level)) {
    const Site site = site_of(copy_domain);
    const double slots = static_cast<double>(tree_.instances_in(site.domain, copy_domain));
    add(q.memory(site), Features::one(), shape_.stored_bytes / slots);
    if (tree_.is_device(site)) continue;
    const int64_t granule = tree_.store(site).granule_bytes;
    const double block =
        static_cast<double>(pack_blocks(static_cast<int64_t>(shape_.stored_bytes), granule).block_bytes) / slots;
    // Rows of a block are neighbours in use. Stores of smaller granules than the largest are charged a block per row.
    const bool shared = model_.features().packed && granule == model_.largest_granule();
    const auto moved = [&](int a) { return shared ? model_.features().blocks(a) : Features::v(a); };
    add(q.store_read(site), moved(copy_domain), block);
    // Every copy is updated when the row is touched anywhere; what the forward pass did not fetch is read then.
    add(q.store_write(site), moved(0), 2 * block);
    add(q.store_write(site), moved(copy_domain), -block);
  }
}

/// Rows that a holder reads to send them, or to pool them for others. A replicated row is read only where it is pooled
/// into bags.
void LoadBuilder::add_gather_for_others(Transport transport, int copy_domain, int rank, double share) {
  if (option_.level == tree_.depth()) return;
  const Quantities& q = model_.quantities();
  const auto touched_by = [&](int a, double amount) {
    add(q.gather(rank), Features::v(a), amount);
    add(q.dirty_gather(rank), dirty(a), amount);
    add(q.clean_gather(rank), clean(a), amount);
  };
  if (transport == Transport::staged) {
    touched_by(copy_domain, share * shape_.row_bytes);
    return;
  }
  for (int asking : tree_.at_level(tree_.depth())) {
    if (!tree_.inside(asking, copy_domain)) continue;
    const double ranks = static_cast<double>(tree_.instances_in(asking, copy_domain));
    if (transport == Transport::pooled)
      for (int quantity : {q.gather(rank), q.dirty_gather(rank)})
        add(quantity, model_.features().p(tree_.domain(asking).access_group),
            share * ranks * shape_.lookups * model_.batch_of(asking) * shape_.row_bytes);
    else
      touched_by(asking, share * ranks * shape_.row_bytes);
  }
}

void LoadBuilder::work(Transport transport) {
  const Quantities& q = model_.quantities();
  const bool dense = option_.level > 0 && option_.reduction == Reduction::dense;
  for (int copy_domain : tree_.at_level(option_.level))
    for (int rank : tree_.at_level(tree_.depth())) {
      if (!tree_.inside(rank, copy_domain)) continue;
      const int p = model_.features().p(tree_.domain(rank).access_group);
      const double own_lookups = shape_.lookups * model_.batch_of(rank) * shape_.row_bytes;
      // Pooled into bags where they are used, but for those that another rank pools.
      const bool local = option_.level == tree_.depth();
      if (transport != Transport::pooled || local) add(q.bags(rank), p, own_lookups);
      const double share = h(copy_domain, rank);
      if (transport == Transport::pooled && !local) {
        add(q.listed(rank), p, shape_.lookups * model_.batch_of(rank));
        for (int asking : tree_.at_level(tree_.depth()))
          if (tree_.inside(asking, copy_domain))
            add(q.listed(rank), model_.features().p(tree_.domain(asking).access_group),
                share * static_cast<double>(tree_.instances_in(asking, copy_domain)) * shape_.lookups *
                    model_.batch_of(asking));
      }
      if (share == 0) continue;
      if (option_.level > 0 && !dense)
        for (const int touched : {Features::v(copy_domain), u()}) add(q.listed(rank), touched, 2 * share);
      add_gather_for_others(transport, copy_domain, rank, share);
      add(q.update(rank), dense ? Features::one() : u(), share * shape_.stored_bytes);
      add(q.dirty_update(rank), dense ? Features::one() : dirty(0), share * shape_.stored_bytes);
      add(q.late_update(rank), clean(0), share * shape_.stored_bytes);
    }
}

}  // namespace

double holder_share(const Tree& tree, Site site, int copy_domain, int x) {
  const double slots = static_cast<double>(tree.instances_in(site.domain, copy_domain));
  if (tree.inside(site.domain, x)) return static_cast<double>(tree.instances_in(site.domain, x)) / slots;
  if (tree.inside(x, site.domain)) return tree.rho(x, site.domain) / slots;
  return 0;
}

std::vector<Coefficient> coefficients(const CostModel& model, const Option& option, Transport transport,
                                      const TableShape& shape, double pooled_factor) {
  SPARROW_CHECK(option.level >= 0 && option.level <= model.tree().depth(), "level {}", option.level);
  SPARROW_CHECK(option.sites.size() == model.tree().at_level(option.level).size(), "{} sites", option.sites.size());
  if (transport == Transport::partial_sums) transport = Transport::pooled;
  LoadBuilder builder(model, option, transport, shape);
  if (transport == Transport::staged) builder.staged_exchange();
  if (transport == Transport::direct) builder.direct_exchange();
  if (transport == Transport::pooled) builder.pooled_exchange(pooled_factor);
  builder.reduction();
  builder.stores();
  builder.work(transport);
  return builder.take();
}

double pooled_pairs(double mass, double holders, double lookups) {
  return -holders * std::expm1(lookups * std::log1p(-std::min(1.0, mass / holders)));
}

double pooled_holders(const Tree& tree, const Option& option) {
  double slots = 0, domains = 0;
  const auto& types = tree.at_level(option.level);
  for (size_t i = 0; i < types.size(); ++i) {
    const double instances = static_cast<double>(tree.instances(types[i]));
    const int site = option.sites[i].domain;  // of a store that several ranks share, each serves a part of the rows
    slots += instances * static_cast<double>(tree.instances_in(site, types[i]) * tree.ranks_in(site));
    domains += instances;
  }
  return slots / domains;
}

}  // namespace sparrow::placement
