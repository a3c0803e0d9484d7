// Numbering of quantities, features of classes, memory that the batch itself needs.
#include "placement/cost/cost_model.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace sparrow::placement {
namespace {

/// Rows that fit with probability 1 - 1e-9 when `mean` distinct ones are expected: the multiplicative Chernoff bound
/// exp(-x^2 / (2 mean + x)) = 1e-9 solved for the excess x. (Touched rows are negatively associated, so it holds for
/// their number.)
double with_margin(double mean) {
  const double l = std::log(1e9);
  return mean + (l + std::sqrt(l * l + 8 * mean * l)) / 2;
}

}  // namespace

double touched(double p, double draws) {
  return draws <= 0 ? 0 : -std::expm1(draws * std::log1p(-std::min(p, 1.0)));
}

void validate(const Workload& workload) {
  if (workload.tables.empty()) fail("workload: no tables");
  if (workload.global_batch < 1) fail("workload: a global batch of {}", workload.global_batch);
  if (workload.id_bytes < 0) fail("workload: id_bytes = {}", workload.id_bytes);
  for (double value : {workload.dense_bytes, workload.flops_per_sample, workload.flops_behind_per_sample,
                       workload.flops_per_sample - workload.flops_behind_per_sample, workload.buffer_bytes_per_sample})
    if (!(value >= 0) || std::isinf(value)) fail("workload: a size of {}", value);
  const size_t groups = workload.tables[0].access.p.size();
  for (const Table& table : workload.tables) {
    validate(table.access, "table " + table.name);
    if (!(table.lookups > 0) || table.lookups > 1e9) fail("table {}: lookups = {}", table.name, table.lookups);
    if (table.row_bytes < 1 || table.wire_bytes < 1 || table.state_bytes < 0)
      fail("table {}: rows of {} bytes with {} of state, {} on the wire", table.name, table.row_bytes,
           table.state_bytes, table.wire_bytes);
    if (table.row_bytes > int64_t{1} << 40 || table.state_bytes > int64_t{1} << 40)
      fail("table {}: rows of {} + {} bytes", table.name, table.row_bytes, table.state_bytes);
    if (table.access.p.size() != groups)
      fail("table {}: probabilities for {} access groups, others have {}", table.name, table.access.p.size(), groups);
  }
}

Quantities::Quantities(const Tree& tree) {
  const auto n = static_cast<size_t>(tree.size());
  flow_.assign(kFlows, std::vector<std::vector<int>>(static_cast<size_t>(tree.depth()) + 1, std::vector<int>(n, -1)));
  for (auto& kind : flow_)
    for (int stage = 1; stage <= tree.depth(); ++stage)
      for (int e = 0; e < tree.size(); ++e)
        if (tree.level(e) >= stage) {
          kind[stage][e] = size_;
          size_ += 2;
        }
  work_.assign(n, -1);
  sites_.assign(n, -1);
  for (int e = 0; e < tree.size(); ++e) {
    if (tree.is_rank(e)) {
      work_[e] = size_;
      size_ += kWork;
    }
    sites_[e] = size_;
    size_ += 3 * static_cast<int>(tree.domain(e).stores.size());
  }
  owner_.assign(size_, 0);
  above_.assign(size_, -1);
  for (const auto& kind : flow_)
    for (int stage = 1; stage <= tree.depth(); ++stage)
      for (int e = 0; e < tree.size(); ++e)
        for (int way = 0; way < 2 && tree.level(e) >= stage; ++way) {
          owner_[kind[stage][e] + way] = e;
          if (tree.level(e) > stage) above_[kind[stage][e] + way] = kind[stage][tree.domain(e).parent] + way;
        }
  for (int e = 0; e < tree.size(); ++e) {
    for (int i = 0; i < kWork && tree.is_rank(e); ++i) owner_[work_[e] + i] = e;
    for (int i = 0; i < 3 * static_cast<int>(tree.domain(e).stores.size()); ++i) owner_[sites_[e] + i] = e;
  }
}

CostModel::CostModel(const Topology& topology, const Workload& workload)
    : tree_(topology), workload_(&workload), quantities_(tree_) {
  validate(workload);
  features_.domains = tree_.size();
  features_.groups = static_cast<int>(workload.tables[0].access.p.size());
  const int64_t granule = largest_granule();
  features_.packed = std::any_of(workload.tables.begin(), workload.tables.end(), [&](const Table& table) {
    return pack_blocks(table.row_bytes + table.state_bytes, granule).rows > 1;
  });
  features_.assigned = workload.locality.in_turn() && !workload.locality.tables.empty();
  validate(workload.locality, tables(), tree_.depth());
  if (tree_.access_groups() > features_.groups)
    fail("workload: probabilities for {} access groups, topology {} draws from {}", features_.groups, topology.name,
         tree_.access_groups());

  const auto f = static_cast<size_t>(features_.size());
  occurs_.assign(f, false);
  for (const Table& table : workload.tables) {
    std::vector<double> features(table.access.classes() * f, 0);
    const auto t = static_cast<int>(features_of_.size());
    for (size_t c = 0; c < table.access.classes(); ++c) {
      find_features(table, c, granule, features.data() + c * f);
      if (features_.assigned) find_assigned(t, c, features.data() + c * f);
    }
    for (size_t i = 0; i < features.size(); ++i)
      if (features[i] > 0) occurs_[i % f] = true;
    features_of_.push_back(std::move(features));
  }
  find_dense_loads();
  find_sample_loads();
  find_distinct_rows();
  find_reserved();
  time_ = make_time_model(*this);
}

/// All numbers of class c of a table.
void CostModel::find_features(const Table& table, size_t c, int64_t granule, double* values) const {
  values[Features::one()] = 1;
  std::vector<double> log_miss(features_.groups);
  for (int g = 0; g < features_.groups; ++g) {
    const double p = table.access.p[g][c];
    values[features_.p(g)] = p;
    log_miss[g] = std::log1p(-std::min(p, 1.0));
  }
  double log_untouched = 0;  // by anyone
  for (int a = 0; a < tree_.size(); ++a) {
    double exponent = 0;  // log of the probability that a misses it
    for (int r : tree_.at_level(tree_.depth()))
      if (tree_.inside(r, a) && batch_of(r) > 0)
        exponent += static_cast<double>(tree_.instances_in(r, a)) * table.lookups * batch_of(r) *
                    log_miss[tree_.domain(r).access_group];
    values[Features::v(a)] = -std::expm1(exponent);
    if (a == 0) log_untouched = exponent;
  }
  const double nowhere = std::exp(log_untouched);
  for (int a = 0; a < tree_.size(); ++a) {
    values[features_.dirty(a)] = values[Features::v(0)] * values[Features::v(a)];
    values[features_.clean(a)] = nowhere * values[Features::v(a)];
  }
  const auto in_block = static_cast<double>(pack_blocks(table.row_bytes + table.state_bytes, granule).rows);
  for (int a = 0; a < tree_.size() && features_.packed; ++a)
    values[features_.blocks(a)] = touched(values[Features::v(a)], in_block) / in_block;
}

/// What assigning samples makes of v(a), from the features that are known already.
void CostModel::find_assigned(int t, size_t c, double* values) const {
  const Table& table = workload_->tables[t];
  double p = 0;
  for (const auto& group : table.access.p) p += group[c] / features_.groups;
  const double lookups = p * static_cast<double>(workload_->global_batch) * table.lookups;
  const Locality::Bin bin = workload_->locality.at(t, lookups, tree_.depth());
  for (int a = 0; a < tree_.size(); ++a) {
    const int level = tree_.level(a);
    const double into = level > 0 ? bin.into[level - 1] : 1, distinct = level > 0 ? bin.distinct[level - 1] : 1;
    values[features_.into(a)] = into * values[Features::v(a)];
    values[features_.into_dirty(a)] = into * values[features_.dirty(a)];
    values[features_.into_clean(a)] = into * values[features_.clean(a)];
    values[features_.distinct(a)] = distinct * values[Features::v(a)];
    values[features_.distinct_dirty(a)] = distinct * values[features_.dirty(a)];
    values[features_.distinct_clean(a)] = distinct * values[features_.clean(a)];
  }
}

/// The all-reduce of the dense parameters: as one replicated row of their size, which no table has.
void CostModel::find_dense_loads() {
  base_.assign(quantities_.size(), 0);
  if (workload_->dense_bytes == 0) return;
  const std::vector<int>& ranks = tree_.at_level(tree_.depth());
  Option replicated{tree_.depth(), Reduction::dense, {}};
  for (int r : ranks) replicated.sites.push_back({r, 0});
  const TableShape shape{0, 0, workload_->dense_bytes, 0, 0};
  for (const Coefficient& c : coefficients(*this, replicated, Transport::staged, shape))
    if (c.feature == Features::one()) base_[c.quantity] += c.value;
  const auto at = [&](int quantity) -> double& { return base_[quantity]; };
  for (int stage = 1; stage <= tree_.depth(); ++stage)  // those of rows wait for other steps
    for (int e = 0; e < tree_.size(); ++e)
      for (Direction way : {Direction::in, Direction::out}) {
        if (tree_.level(e) < stage) continue;
        std::swap(at(quantities_.flow(Flow::dirty_up, stage, e, way)),
                  at(quantities_.flow(Flow::dense_up, stage, e, way)));
        std::swap(at(quantities_.flow(Flow::dirty_down, stage, e, way)),
                  at(quantities_.flow(Flow::dense_down, stage, e, way)));
      }
  for (int r : ranks) at(quantities_.dense_update(r)) = workload_->dense_bytes;
}

/// Samples go from the rank that reads a batch, each in turn, to those that train them; new holders to all.
void CostModel::find_sample_loads() {
  const Locality& locality = workload_->locality;
  if (!locality.in_turn()) return;
  const std::vector<int>& ranks = tree_.at_level(tree_.depth());
  double readers = 0;
  for (int r : ranks)
    if (batch_of(r) > 0) readers += static_cast<double>(tree_.instances(r));
  const auto add = [&](int stage, int rank, Direction way, double bytes) {
    for (int q = quantities_.flow(Flow::samples, stage, rank, way); q >= 0; q = quantities_.above(q))
      base_[q] += bytes * static_cast<double>(tree_.instances_in(rank, quantities_.owner(q)));
  };
  for (int rank : ranks)
    for (int stage = 1; stage <= tree_.depth(); ++stage) {
      const int a = tree_.ancestor(rank, stage), parent = tree_.domain(a).parent;
      for (int other : ranks) {
        if (!tree_.inside(other, parent)) continue;
        const double beside = static_cast<double>(tree_.instances_in(other, parent) -
                                                  (tree_.inside(other, a) ? tree_.instances_in(other, a) : 0));
        const auto bytes_to = [&](int receiver) {
          return beside / readers * (batch_of(receiver) * locality.sample_bytes + locality.new_holder_bytes);
        };
        if (batch_of(rank) > 0) add(stage, rank, Direction::out, bytes_to(other));
        if (batch_of(other) > 0) add(stage, rank, Direction::in, bytes_to(rank));
      }
    }
}

void CostModel::find_distinct_rows() {
  distinct_rows_.assign(tree_.size(), 0);
  for (int r : tree_.at_level(tree_.depth())) {
    const int looked_up = features_.assigned ? features_.distinct(r) : Features::v(r);
    for (int t = 0; t < tables(); ++t)
      for (size_t c = 0; c < table(t).access.classes(); ++c)
        distinct_rows_[r] += static_cast<double>(table(t).access.rows[c]) * features_of(t, c)[looked_up];
  }
}

/// What the batch itself takes of a rank's device memory.
void CostModel::find_reserved() {
  reserved_.assign(tree_.size(), 0);
  for (int r : tree_.at_level(tree_.depth())) {
    double bytes = workload_->buffer_bytes_per_sample * batch_of(r);
    for (int t = 0; t < tables() && workload_->sized_buffers; ++t) {
      double rows = 0;  // its own distinct rows, and those it fetches as a proxy for each domain above
      for (size_t c = 0; c < table(t).access.classes(); ++c)
        for (int l = 1; l <= tree_.depth(); ++l) {
          const int a = tree_.ancestor(r, l);
          rows += static_cast<double>(table(t).access.rows[c]) * features_of(t, c)[Features::v(a)] * tree_.rho(r, a);
        }
      bytes += 2 * with_margin(rows) * static_cast<double>(table(t).row_bytes);  // rows and gradients
    }
    reserved_[r] = bytes;
  }
}

TableShape CostModel::shape(int t) const {
  const Table& embedding = table(t);
  return {static_cast<double>(embedding.row_bytes), static_cast<double>(embedding.row_bytes + embedding.state_bytes),
          static_cast<double>(embedding.wire_bytes), static_cast<double>(workload_->id_bytes), embedding.lookups};
}

int64_t CostModel::largest_granule() const {
  int64_t granule = 1;
  for (const Domain& domain : tree_.topology().domains)
    for (const Store& store : domain.stores) granule = std::max(granule, store.granule_bytes);
  return granule;
}

double CostModel::reserved(Site s) const {
  return tree_.is_device(s) ? reserved_[s.domain] : 0;
}

double CostModel::capacity(Site s) const {
  return static_cast<double>(tree_.store(s).capacity_bytes) - reserved(s);
}

bool CostModel::has_bags() const {
  return std::any_of(workload_->tables.begin(), workload_->tables.end(), [](const Table& t) { return t.lookups != 1; });
}

double CostModel::lookups_per_sample() const {
  double sum = 0;
  for (const Table& table : workload_->tables) sum += table.lookups;
  return sum;
}

}  // namespace sparrow::placement
