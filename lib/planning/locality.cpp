#include "planning/locality.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "assign/row_places.hpp"
#include "base/cpu_timer.hpp"
#include "base/error.hpp"
#include "data/parts.hpp"
#include "layout/tables.hpp"
#include "placement/cost/cost.hpp"
#include "planning/seen_keys.hpp"

namespace sparrow {

using placement::LocalityMeasurement;

namespace {

constexpr int kBins = 64;  // a power of 2 of expected lookups each, from 2^-40
constexpr int kLowest = -40;

int bin_of(double lookups) {
  return std::clamp(lookups > 0 ? std::ilogb(lookups) - kLowest : 0, 0, kBins - 1);
}

/// What a row that is looked up in a batch is expected to do at each level, samples being where they are by chance.
class Expectation {
 public:
  struct OfClass {
    int bin = 0;
    double log_lookups = 0;
    std::vector<double> into, distinct;  ///< [level - 1]
  };

  Expectation(const placement::Workload& workload, const Hierarchy& hierarchy, const std::vector<double>& shares) {
    find_domains(hierarchy, shares);
    for (const placement::Table& table : workload.tables) {
      const placement::TableDistribution& access = table.access;
      if (access.p.size() != 1) fail("locality is measured where all ranks see the same data (table {})", table.name);
      const double lookups = table.lookups * static_cast<double>(workload.global_batch);
      first_class_.push_back(classes_.size());
      int64_t end = 0;
      for (size_t c = 0; c < access.classes(); ++c) {
        ends_.push_back(end += access.rows[c]);
        classes_.push_back(of_class(access.p[0][c], lookups));
      }
    }
    first_class_.push_back(classes_.size());
  }

  const OfClass& of(int table, int64_t position) const {
    const auto first = ends_.begin() + static_cast<std::ptrdiff_t>(first_class_[table]);
    const auto last = ends_.begin() + static_cast<std::ptrdiff_t>(first_class_[table + 1]);
    const auto found = std::upper_bound(first, last, position);
    SPARROW_CHECK(found != last, "position {} of table {}", position, table);
    return classes_[static_cast<size_t>(found - ends_.begin())];
  }

 private:
  /// Equal domains of a level.
  struct Domains {
    double share, sigma, count;
  };

  void find_domains(const Hierarchy& hierarchy, const std::vector<double>& shares) {
    const int n = hierarchy.ranks();
    const double all = shares.empty() ? n : std::reduce(shares.begin(), shares.end());
    for (int level = 1; level <= hierarchy.depth(); ++level) {
      std::vector<Domains> kinds;
      for (int d = 0; d < hierarchy.domains(level); ++d) {
        double share = 0, inside = 0;
        const std::vector<int>& members = hierarchy.members(level, d);
        const std::vector<int>& ring = hierarchy.ring(level - 1, hierarchy.domain(level - 1, members[0]));
        for (const int rank : members) {
          share += (shares.empty() ? 1 : shares[rank]) / all;
          inside += std::find(ring.begin(), ring.end(), rank) != ring.end();
        }
        const double sigma = inside / static_cast<double>(ring.size());
        const auto same = std::find_if(kinds.begin(), kinds.end(), [&](const Domains& kind) {
          return std::abs(kind.share - share) < 1e-12 && kind.sigma == sigma;
        });
        if (same == kinds.end())
          kinds.push_back({share, sigma, 1});
        else
          ++same->count;
      }
      domains_.push_back(std::move(kinds));
    }
  }

  OfClass of_class(double p, double lookups) const {
    OfClass result{bin_of(p * lookups), std::log(std::max(p * lookups, 1e-300)), {}, {}};
    const double u = placement::touched(p, lookups);
    for (const std::vector<Domains>& level : domains_) {
      double into = 0, distinct = 0;
      for (const Domains& domain : level) {
        const double v = u > 0 ? placement::touched(p, lookups * domain.share) / u : domain.share;
        into += domain.count * v * (1 - domain.sigma);
        distinct += domain.count * v;
      }
      result.into.push_back(into);
      result.distinct.push_back(distinct);
    }
    return result;
  }

  std::vector<std::vector<Domains>> domains_;  ///< [level - 1]
  std::vector<OfClass> classes_;
  std::vector<int64_t> ends_;  ///< by class: end of its positions
  std::vector<size_t> first_class_;
};

/// Counted and expected, of the rows of one bin that are held, or new.
struct Sums {
  double uses = 0, log_lookups = 0;
  std::vector<double> into, distinct, expected_into, expected_distinct;  ///< [level - 1]

  explicit Sums(int depth = 0) : into(depth), distinct(depth), expected_into(depth), expected_distinct(depth) {}
  void add(const Sums& other) {
    uses += other.uses;
    log_lookups += other.log_lookups;
    for (size_t l = 0; l < into.size(); ++l) {
      into[l] += other.into[l], distinct[l] += other.distinct[l];
      expected_into[l] += other.expected_into[l], expected_distinct[l] += other.expected_distinct[l];
    }
  }
};

struct BinSums {
  Sums held, fresh;
  explicit BinSums(int depth) : held(depth), fresh(depth) {}
};

/// Where rows are under the plan, or if every row has one copy.
RowPlaces places_of(const LocalityProblem& problem, const Tables& tables) {
  if (problem.plan != nullptr) return {*problem.plan, tables, problem.first_use};
  ResolvedPlan plan = ResolvedPlan::uniform(tables, problem.hierarchy, 0);
  for (ResolvedTable& table : plan.tables)
    for (TableRule& rule : table.rules) rule.holders.first_use = problem.first_use;
  return {plan, tables, problem.first_use};
}

/// Bytes of a sorted list whose numbers are kept as differences, seven bits a byte.
int64_t delta_bytes(std::span<const int64_t> sorted) {
  int64_t bytes = 0, before = 0;
  for (const int64_t key : sorted) {
    bytes += 1 + (std::bit_width(static_cast<uint64_t>(key - before) | 1) - 1) / 7;
    before = key;
  }
  return bytes;
}

}  // namespace

struct LocalityMeter::State {
  // What is asked.
  const LocalityProblem problem;
  const Hierarchy& hierarchy;
  const int depth, ranks;
  const int64_t first_counted;
  const Tables tables;
  const Expectation expectation;
  const RowPlaces places;
  Assigner assigner;
  bool even_weights = true;

  // What is known of every row that occurred.
  SeenKeys seen;
  std::vector<int16_t> holder;    ///< or kNobody
  std::vector<int32_t> settled;   ///< in which batch
  std::vector<int32_t> in_batch;  ///< its number in the batch `stamp`
  std::vector<int32_t> stamp;

  // The batch at hand.
  std::vector<int64_t> first, keys, turn, quota, cursor;
  std::vector<int32_t> lookups, rows, number, table;  ///< [lookups]: table major, sample major; [rows]: seen, table
  std::vector<int16_t> known, after, rank_of_sample;
  std::vector<float> weight;
  std::vector<char> fresh;
  std::vector<uint64_t> ranks_of;          ///< [rows * words]: which ranks look it up
  std::vector<std::vector<int32_t>> mark;  ///< [level][domain]: the last row that it was counted for
  std::vector<int64_t> received, sent;

  // What was found.
  std::vector<std::vector<BinSums>> bins;  ///< [table][bin]
  AssignmentMoves total;
  std::vector<std::vector<int64_t>> new_keys;  ///< [rank], of the batch
  double busiest = 0, new_rows = 0, new_bytes = 0;
  double seconds_per_sample = HUGE_VAL;  ///< of the batch that was fastest
  int32_t batches = 0;

  State(const LocalityProblem& asked, int64_t from);
  size_t words() const { return static_cast<size_t>(ranks + 63) / 64; }
  bool counts() const { return batches >= first_counted; }

  void number_rows(const Batch& batch);
  int32_t number_of(int t, int64_t position);
  void look_up_holders();
  void assign(const Batch& batch);
  void settle();
  void follow(const Batch& batch);
  void follow_row(size_t row);
  int source(size_t row, int level, int domain) const;
};

namespace {

std::vector<int64_t> rows_of(const placement::Workload& workload) {
  std::vector<int64_t> rows;
  for (const placement::Table& table : workload.tables) rows.push_back(table.access.total_rows());
  return rows;
}

}  // namespace

LocalityMeter::State::State(const LocalityProblem& asked, int64_t from)
    : problem(asked),
      hierarchy(problem.hierarchy),
      depth(hierarchy.depth()),
      ranks(hierarchy.ranks()),
      first_counted(from),
      tables(rows_of(problem.workload), 1),
      expectation(problem.workload, hierarchy, problem.shares),
      places(places_of(problem, tables)),
      assigner(assigner_tree(hierarchy), {problem.assignment.passes, 1}),
      received(ranks),
      sent(ranks),
      bins(problem.workload.tables.size(), std::vector<BinSums>(kBins, BinSums(depth))),
      total{std::vector<int64_t>(depth), std::vector<int64_t>(ranks), std::vector<int64_t>(ranks)},
      new_keys(ranks) {
  SPARROW_CHECK(ranks > 1 && problem.assignment.delay >= 1);
  for (int level = 0; level <= depth; ++level) mark.emplace_back(hierarchy.domains(level), -1);
  for (const placement::Table& of : problem.workload.tables)
    even_weights = even_weights && of.wire_bytes == problem.workload.tables[0].wire_bytes;
}

/// The number in the batch of the row at a position; -1: it has copies.
int32_t LocalityMeter::State::number_of(int t, int64_t position) {
  const RowPlaces::Place place = places.of(t, position);
  if (place.kind == RowPlaces::Kind::free) return -1;
  const int64_t key = tables.first_key(t) + position;
  const int32_t n = seen.number(key);
  if (n == std::ssize(holder)) {
    holder.push_back(place.kind == RowPlaces::Kind::mapped ? AssignerBatch::kNobody : place.holder);
    settled.push_back(INT32_MIN);
    in_batch.push_back(0);
    stamp.push_back(-1);
  }
  if (stamp[n] != batches) {
    stamp[n] = batches;
    in_batch[n] = static_cast<int32_t>(keys.size());
    keys.push_back(key);
    number.push_back(n);
    table.push_back(t);
    turn.push_back(place.turn);
    if (!even_weights) weight.push_back(static_cast<float>(problem.workload.tables[t].wire_bytes));
  }
  return in_batch[n];
}

/// Rows of the batch in the order in which they come, and those of every sample.
void LocalityMeter::State::number_rows(const Batch& batch) {
  for (auto* list : {&keys, &turn}) list->clear();
  for (auto* list : {&number, &table, &lookups}) list->clear();
  weight.clear();
  first.assign(static_cast<size_t>(batch.samples) + 1, 0);
  const auto bag = [&](int64_t t, int64_t s) -> std::pair<int64_t, int64_t> {
    const int64_t i = t * batch.samples + s;
    return batch.offsets.empty() ? std::pair(i, i + 1) : std::pair(batch.offsets[i], batch.offsets[i + 1]);
  };
  for (int t = 0; t < batch.tables; ++t)
    for (int64_t s = 0; s < batch.samples; ++s)
      for (auto [i, end] = bag(t, s); i < end; ++i) {
        lookups.push_back(number_of(t, batch.positions[i]));
        first[s + 1] += lookups.back() >= 0;
      }
  std::partial_sum(first.begin(), first.end(), first.begin());
  cursor.assign(first.begin(), first.end() - 1);
  rows.resize(first.back());
  size_t at = 0;
  for (int t = 0; t < batch.tables; ++t)
    for (int64_t s = 0; s < batch.samples; ++s)
      for (auto [i, end] = bag(t, s); i < end; ++i, ++at)
        if (lookups[at] >= 0) rows[cursor[s]++] = lookups[at];
}

/// What a batch that is assigned W batches later than its holders knows of them.
void LocalityMeter::State::look_up_holders() {
  known.resize(keys.size());
  for (size_t row = 0; row < keys.size(); ++row) {
    const int32_t n = number[row];
    known[row] = settled[n] <= batches - problem.assignment.delay ? holder[n] : AssignerBatch::kNobody;
  }
}

void LocalityMeter::State::assign(const Batch& batch) {
  rank_of_sample.resize(batch.samples);
  quota.clear();
  for (int rank = 0; rank < ranks; ++rank) {
    const SampleRange part = part_of_batch(batch.samples, rank, ranks, problem.shares);
    quota.push_back(part.size());
    if (!problem.assignment.local)
      std::fill(rank_of_sample.begin() + part.first, rank_of_sample.begin() + part.last, static_cast<int16_t>(rank));
  }
  const AssignerBatch asked{first, rows, keys, known, turn, weight, quota};
  if (problem.assignment.local) assigner.assign(asked, rank_of_sample);
  after = known;
  if (problem.first_use) assigner.settle(asked, rank_of_sample, after);
}

/// A row that is held keeps its holder, also where the assigner did not know of it yet.
void LocalityMeter::State::settle() {
  fresh.assign(keys.size(), 0);
  for (size_t row = 0; row < keys.size(); ++row) {
    const int32_t n = number[row];
    if (holder[n] == AssignerBatch::kNobody) {
      holder[n] = after[row];
      settled[n] = batches;
      fresh[row] = 1;
      new_keys[holder[n]].push_back(keys[row]);
    }
    after[row] = holder[n];
  }
  for (std::vector<int64_t>& of_rank : new_keys) {
    if (counts()) {
      std::sort(of_rank.begin(), of_rank.end());
      new_rows += static_cast<double>(of_rank.size());
      new_bytes += static_cast<double>(delta_bytes(of_rank));
    }
    of_rank.clear();
  }
}

/// Who has the row's value for a domain of a level that does not have it from below: its holder, or the domain's proxy.
int LocalityMeter::State::source(size_t row, int level, int domain) const {
  const int held_by = after[row];
  if (hierarchy.domain(level, held_by) == domain) return held_by;
  const std::vector<int>& ring = hierarchy.ring(level, domain);
  return ring[static_cast<size_t>(turn[row]) % ring.size()];
}

void LocalityMeter::State::follow_row(size_t row) {
  const Expectation::OfClass& expected = expectation.of(table[row], keys[row] - tables.first_key(table[row]));
  BinSums& bin = bins[table[row]][expected.bin];
  Sums& sums = fresh[row] ? bin.fresh : bin.held;
  sums.uses += 1;
  sums.log_lookups += expected.log_lookups;
  for (int l = 0; l < depth; ++l) {
    sums.expected_into[l] += expected.into[l];
    sums.expected_distinct[l] += expected.distinct[l];
  }
  for (size_t word = 0; word < words(); ++word)
    for (uint64_t left = ranks_of[row * words() + word]; left != 0; left &= left - 1) {
      const int rank = static_cast<int>(word) * 64 + std::countr_zero(left);
      ++total.distinct[rank];
      for (int level = depth; level >= 1; --level) {
        const int domain = hierarchy.domain(level, rank);
        if (mark[level][domain] == static_cast<int32_t>(row)) break;  // and so are those above it
        mark[level][domain] = static_cast<int32_t>(row);
        sums.distinct[level - 1] += 1;
        const int from = source(row, level - 1, hierarchy.domain(level - 1, rank));
        if (hierarchy.domain(level, from) == domain) continue;
        sums.into[level - 1] += 1;
        ++total.into[level - 1];
        ++received[source(row, level, domain)];
        ++sent[from];
      }
    }
}

void LocalityMeter::State::follow(const Batch& batch) {
  ranks_of.assign(keys.size() * words(), 0);
  for (int64_t s = 0; s < batch.samples; ++s)
    for (int64_t i = first[s]; i < first[s + 1]; ++i)
      ranks_of[rows[i] * words() + static_cast<size_t>(rank_of_sample[s]) / 64] |= uint64_t{1}
                                                                                   << (rank_of_sample[s] % 64);
  for (std::vector<int32_t>& level : mark) std::fill(level.begin(), level.end(), -1);
  std::fill(received.begin(), received.end(), 0);
  std::fill(sent.begin(), sent.end(), 0);
  for (size_t row = 0; row < keys.size(); ++row) follow_row(row);
  double most = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    total.received[rank] += received[rank];
    if (quota[rank] > 0)
      most =
          std::max(most, static_cast<double>(std::max(received[rank], sent[rank])) / static_cast<double>(quota[rank]));
  }
  const auto all = static_cast<double>(std::reduce(received.begin(), received.end()));
  busiest += all > 0 ? most * static_cast<double>(batch.samples) / all : 1;
}

LocalityMeter::LocalityMeter(const LocalityProblem& problem, int64_t first_counted)
    : state_(std::make_unique<State>(problem, first_counted)) {}
LocalityMeter::~LocalityMeter() = default;
LocalityMeter::LocalityMeter(LocalityMeter&&) noexcept = default;

void LocalityMeter::add(const Batch& batch) {
  State& s = *state_;
  SPARROW_CHECK(batch.tables == s.tables.count() && batch.samples == batch.global_samples);
  const CpuTimer timer;
  s.number_rows(batch);
  s.look_up_holders();
  s.assign(batch);
  s.settle();
  if (s.counts()) {
    s.seconds_per_sample = std::min(s.seconds_per_sample, timer.seconds() / static_cast<double>(batch.samples));
    s.follow(batch);
  }
  ++s.batches;
}

const AssignmentMoves& LocalityMeter::moves() const {
  return state_->total;
}

std::vector<double> LocalityMeter::by_chance() const {
  std::vector<double> into(state_->depth);
  for (const std::vector<BinSums>& table : state_->bins)
    for (const BinSums& bin : table)
      for (int l = 0; l < state_->depth; ++l) into[l] += bin.held.expected_into[l] + bin.fresh.expected_into[l];
  return into;
}

int64_t LocalityMeter::counted() const {
  return std::max<int64_t>(0, state_->batches - state_->first_counted);
}

namespace {

/// Counted over expected. Where little was counted, nearer to what all tables together do.
LocalityMeasurement::Factors factors_of(const Sums& sums, const LocalityMeasurement::Factors* like) {
  constexpr double kPrior = 20;  // rows
  LocalityMeasurement::Factors factors;
  for (size_t l = 0; l < sums.into.size(); ++l) {
    const auto factor = [&](double counted, double expected, double of_all) {
      const double prior = like == nullptr ? 0 : kPrior;
      return expected + prior > 0 ? (counted + prior * of_all) / (expected + prior) : 1;
    };
    factors.into.push_back(factor(sums.into[l], sums.expected_into[l], like == nullptr ? 0 : like->into[l]));
    factors.distinct.push_back(
        factor(sums.distinct[l], sums.expected_distinct[l], like == nullptr ? 0 : like->distinct[l]));
  }
  return factors;
}

/// Factors of all tables together, of the held or the new rows of every bin; bins of which little is known have those
/// of the nearest one of more lookups.
std::vector<LocalityMeasurement::Factors> common_factors(const std::vector<std::vector<BinSums>>& bins,
                                                         Sums BinSums::*part, int depth) {
  constexpr double kLeastUses = 100;
  std::vector<Sums> all(kBins, Sums(depth));
  for (const std::vector<BinSums>& table : bins)
    for (int b = 0; b < kBins; ++b) all[b].add(table[b].*part);
  std::vector<LocalityMeasurement::Factors> factors(kBins);
  LocalityMeasurement::Factors nearest{std::vector<double>(depth, 1), std::vector<double>(depth, 1)};
  for (int b = kBins - 1; b >= 0; --b) {
    if (all[b].uses >= kLeastUses) nearest = factors_of(all[b], nullptr);
    factors[b] = nearest;
  }
  return factors;
}

/// Whether rows are looked up everywhere.
bool saturated(const LocalityMeasurement::Bin& bin) {
  constexpr double kAll = 0.999;
  for (const LocalityMeasurement::Factors* factors : {&bin.of_held, &bin.of_new})
    for (const std::vector<double>* list : {&factors->into, &factors->distinct})
      if (std::any_of(list->begin(), list->end(), [](double factor) { return factor < kAll; })) return false;
  return true;
}

}  // namespace

LocalityMeasurement LocalityMeter::measurement() const {
  const State& s = *state_;
  SPARROW_CHECK(counted() > 0, "{} batches, {} of them not counted", s.batches, s.first_counted);
  LocalityMeasurement result;
  for (int level = 1; level <= s.depth; ++level) result.domains.push_back(s.hierarchy.domains(level));
  result.global_batch = s.problem.workload.global_batch;
  result.delay = s.problem.assignment.delay;
  result.passes = s.problem.assignment.passes;
  result.first_use = s.problem.first_use;
  result.batches = s.batches;
  result.first_counted = s.first_counted;
  const auto held = common_factors(s.bins, &BinSums::held, s.depth);
  const auto fresh = common_factors(s.bins, &BinSums::fresh, s.depth);
  for (const std::vector<BinSums>& of_table : s.bins) {
    result.tables.emplace_back();
    for (int b = 0; b < kBins; ++b) {
      const BinSums& sums = of_table[b];
      const double uses = sums.held.uses + sums.fresh.uses;
      if (uses == 0) continue;
      result.tables.back().push_back({std::exp((sums.held.log_lookups + sums.fresh.log_lookups) / uses), uses,
                                      sums.fresh.uses / uses, factors_of(sums.held, &held[b]),
                                      factors_of(sums.fresh, &fresh[b])});
    }
    std::vector<LocalityMeasurement::Bin>& bins = result.tables.back();  // beyond the last they are like it
    while (bins.size() > 1 && saturated(bins.back()) && saturated(bins[bins.size() - 2])) bins.pop_back();
  }
  result.busiest = s.busiest / static_cast<double>(counted());
  result.new_row_bytes = s.new_rows > 0 ? s.new_bytes / s.new_rows : 0;
  result.seconds_per_sample = s.seconds_per_sample;
  return result;
}

LocalityEffort locality_effort(int64_t global_batch, int ranks, int64_t lookups_per_sample, int64_t available,
                               int64_t run_batches, int64_t most_lookups) {
  constexpr int64_t kLeastBatches = 8, kStretch = 4;
  const int64_t wanted = run_batches > 0 ? std::min(run_batches, kLeastBatches) : kLeastBatches;
  const auto within = [&](int64_t lookups) {
    return std::max<int64_t>(std::min(lookups / lookups_per_sample, available), ranks);
  };
  const int64_t stretched = within(kStretch * most_lookups);
  const int64_t samples = std::max(within(most_lookups), std::min(stretched, wanted * global_batch));
  LocalityEffort effort{global_batch, samples / global_batch, 0};
  if (effort.batches < wanted) {
    effort.batch = std::max<int64_t>(samples / wanted / ranks, 1) * ranks;
    effort.batches = std::min(wanted, samples / effort.batch);
  }
  // A last batch that is short is left out.
  const bool whole = run_batches > 0 && effort.batch == global_batch &&
                     (effort.batches >= run_batches || run_batches == (available + global_batch - 1) / global_batch);
  if (whole) effort.batches = std::min(effort.batches, run_batches);
  if (!whole) effort.first_counted = effort.batches / 3;
  return effort;
}

}  // namespace sparrow
