// Samples that go to their rows: factors of the cost model against direct sums, what moving samples costs, and that
// without factors nothing changes.
#include <catch2/catch.hpp>
#include <cmath>

#include "base/error.hpp"
#include "support.hpp"

using sparrow::Phase;
using namespace sparrow::placement;
using Catch::Matchers::Contains;

namespace {

Locality::Bin bin(double lookups, std::vector<double> into, std::vector<double> distinct) {
  return {lookups, std::move(into), std::move(distinct)};
}

/// Assigned, with factors of 1 and nothing that costs.
Locality without_effect(int tables, int levels) {
  Locality locality;
  locality.local = locality.first_use = true;
  const std::vector<double> one(levels, 1);
  locality.tables.assign(tables, {bin(0.1, one, one), bin(10, one, one)});
  return locality;
}

/// Every class of every table somewhere, in parts.
Placement random_placement(std::mt19937_64& random, const CostModel& model) {
  Placement placement;
  for (int level = 0; level <= model.tree().depth(); ++level)
    for (int i = 0; i < 3; ++i) {
      Option option{level, random() % 2 == 0 || level == 0 ? Reduction::sparse : Reduction::dense, {}};
      for (int d : model.tree().at_level(level)) {
        const auto& sites = model.tree().sites_in(d);
        option.sites.push_back(sites[random() % sites.size()]);
      }
      placement.options.push_back(option);
    }
  for (int t = 0; t < model.tables(); ++t) {
    TablePlacement placed{static_cast<Transport>(random() % 3), {}};
    for (size_t c = 0; c < model.table(t).access.classes(); ++c) {
      const int64_t rows = model.table(t).access.rows[c], some = integer(random, 0, rows);
      for (int64_t part : {some, rows - some})
        placed.shares.push_back({static_cast<int32_t>(c), static_cast<int32_t>(random() % placement.options.size()),
                                 static_cast<double>(part)});
    }
    placement.tables.push_back(std::move(placed));
  }
  return placement;
}

void check_same(const Cost& a, const Cost& b) {
  CHECK(a.seconds == b.seconds);
  CHECK(a.sequential_seconds == b.sequential_seconds);
  CHECK(a.overlapped_seconds == b.overlapped_seconds);
  CHECK(a.even_seconds == b.even_seconds);
  CHECK(a.seconds_by_phase == b.seconds_by_phase);
  CHECK(a.sent_mean.total() == b.sent_mean.total());
  CHECK(a.sent_max.total() == b.sent_max.total());
  CHECK(a.distinct_rows_mean == b.distinct_rows_mean);
  CHECK(a.bottleneck == b.bottleneck);
  REQUIRE(a.resources.size() == b.resources.size());
  for (size_t i = 0; i < a.resources.size(); ++i) CHECK(a.resources[i].seconds == b.resources[i].seconds);
  for (size_t i = 0; i < a.stores.size(); ++i) CHECK(a.stores[i].used_bytes == b.stores[i].used_bytes);
}

/// One table on 2 nodes of 2 ranks with room, of 40 hot rows, 200 colder, 1000 cold ones.
struct Example {
  Topology topology = two_level(2, 2, 1 << 20, 1 << 20);
  Workload load = workload({table("t", {{40, 200, 1000}, {{0.01, 0.002, 0.0002}}, 0}, 1, 64, 4)}, 96);
  Example() {
    load.locality.local = load.locality.first_use = true;
    load.locality.tables = {
        {bin(0.02, {0.1, 0.2}, {0.6, 0.8}), bin(0.2, {0.3, 0.4}, {0.9, 0.95}), bin(1, {1, 1}, {1, 1})}};
  }
  Cost cost(const Option& option, Transport transport) const {
    Placement placement{{option}, {{transport, {{0, 0, 40}, {1, 0, 200}, {2, 0, 1000}}}}};
    return evaluate(CostModel(topology, load), placement);
  }
  /// Sum over rows of value(probability that `samples` of them touch the row, its bin).
  template <class Value>
  double over_rows(double samples, Value value) const {
    double sum = 0;
    const TableDistribution& access = load.tables[0].access;
    for (size_t c = 0; c < access.classes(); ++c)
      sum += static_cast<double>(access.rows[c]) *
             value(1 - std::pow(1 - access.p[0][c], samples), load.locality.at(0, access.p[0][c] * 96, 2));
    return sum;
  }
};
const Option kHeld{0, Reduction::sparse, {{2, 0}}}, kFetched{0, Reduction::sparse, {{1, 0}}};
const Option kReplicated{2, Reduction::sparse, {{2, 0}}};

}  // namespace

TEST_CASE("Between bins factors are linear in the logarithm of the lookups, beyond them the last ones") {
  Locality locality;
  CHECK(locality.at(3, 5, 2).into == std::vector<double>{1, 1});
  locality.tables = {{bin(0.5, {0.2, 0.4}, {0.8, 1}), bin(8, {0.6, 0.5}, {1, 1})}, {}};
  CHECK(locality.at(0, 0.1, 2).into == std::vector<double>{0.2, 0.4});
  CHECK(locality.at(0, 100, 2).into == std::vector<double>{0.6, 0.5});
  CHECK(locality.at(0, 2, 2).into[0] == Approx(0.4));
  CHECK(locality.at(0, 1, 2).into[1] == Approx(0.425));
  CHECK(locality.at(0, 4, 2).distinct[0] == Approx(0.95));
  CHECK(locality.at(1, 2, 2).distinct == std::vector<double>{1, 1});
}

TEST_CASE("A locality that makes no sense is refused") {
  Example e;
  const auto refused = [&](const std::string& why) {
    CHECK_THROWS_WITH(CostModel(e.topology, e.load), Contains("locality") && Contains(why));
    e = Example();
  };
  e.load.locality.tables.emplace_back();
  refused("2 tables of 1");
  e.load.locality.tables[0][1].lookups = 0.02;
  refused("0.02 lookups after");
  e.load.locality.tables[0][1].into.pop_back();
  refused("1 and 2 levels for a topology of 2");
  e.load.locality.tables[0][1].into[0] = std::nan("");
  refused("no number");
  e.load.locality.busiest = 0.9;
  refused("size of -0.");
}

TEST_CASE("Without factors an assignment costs what contiguous parts of batches cost, to the bit") {
  std::mt19937_64 random(3);
  for (int i = 0; i < 60; ++i) {
    Workload w = random_workload(random, static_cast<int>(integer(random, 1, 5)));
    w.overlapped = i % 2 == 1;
    const Topology topology = random_topology(random, bytes_needed(w));
    Workload assigned = w;
    assigned.locality = without_effect(static_cast<int>(w.tables.size()), Tree(topology).depth());
    const CostModel before(topology, w), after(topology, assigned);
    const Placement placement = random_placement(random, before);
    CAPTURE(i);
    check_same(evaluate(before, placement), evaluate(after, placement));
    const Plan plan = to_plan(before, placement, "random");  // holders by arithmetic
    check_same(evaluate(before, plan), evaluate(after, plan));
  }
}

TEST_CASE("Assigned rows that are held enter nodes and ranks by their factors") {
  const Example e;
  const Cost cost = e.cost(kHeld, Transport::staged);
  // Into a node of 48 samples comes what the other holds; into a rank of 24 what is at its sibling, or comes through it.
  const double into_node = e.over_rows(48, [](double v, const auto& bin) { return v * bin.into[0] * 0.5; });
  const double into_rank = e.over_rows(24, [](double q, const auto& bin) { return q * bin.into[1] * 0.5; });
  REQUIRE(cost.sent_by_stage.size() == 2);
  CHECK(cost.sent_by_stage[0].rows == Approx(into_node / 2 * 64));
  CHECK(cost.sent_by_stage[0].gradients == Approx(into_node / 2 * 64));
  CHECK(cost.sent_by_stage[0].ids == Approx(into_node / 2 * 8));
  CHECK(cost.sent_by_stage[1].rows == Approx(into_rank * 64));
  CHECK(cost.sent_by_stage[1].ids == Approx(into_rank * 8));
  CHECK(cost.distinct_rows_mean ==
        Approx(e.over_rows(24, [](double q, const auto& bin) { return q * bin.distinct[1]; })));
}

TEST_CASE("Overlapped, dirty and clean rows of an assigned batch are those of its rows") {
  const Example e;
  const CostModel model(e.topology, e.load);
  const Placement placement{{kHeld}, {{Transport::staged, {{0, 0, 40}, {1, 0, 200}, {2, 0, 1000}}}}};
  std::vector<double> q = model.base();
  for (const Coefficient& k : coefficients(model, kHeld, Transport::staged, model.shape(0)))
    for (const Share& share : placement.tables[0].shares)
      q[k.quantity] += k.value * share.rows * model.features_of(0, share.cls)[k.feature];
  for (const Direction way : {Direction::in, Direction::out})
    for (const auto& [all, dirty, clean] : {std::tuple(Flow::rows, Flow::dirty_rows, Flow::clean_rows),
                                            {Flow::gradients, Flow::dirty_gradients, Flow::clean_gradients}})
      for (int stage : {1, 2}) {
        const auto at = [&](Flow kind) { return q[model.quantities().flow(kind, stage, 2, way)]; };
        CHECK(at(dirty) > 0);
        CHECK(at(dirty) + at(clean) == Approx(at(all)));
      }
}

TEST_CASE("Rows that are not held by first use are elsewhere as if by chance; copies and pooled bags move as ever") {
  Example e;
  const double looked_up = e.over_rows(24, [](double q, const auto& bin) { return q * bin.distinct[1]; });
  CHECK(e.cost(kFetched, Transport::staged).sent_by_stage[1].rows == Approx(looked_up * 64 / 2));
  CHECK(e.cost(kHeld, Transport::direct).sent_mean.rows ==
        Approx(e.over_rows(24, [](double q, const auto& bin) { return q * bin.into[1] * 0.75; }) * 64));
  const Cost replicated = e.cost(kReplicated, Transport::staged), pooled = e.cost(kHeld, Transport::pooled);
  Example arithmetic = e;
  arithmetic.load.locality.first_use = false;  // measured so: its factors are those of all rows
  const double into = e.over_rows(24, [](double q, const auto& bin) { return q * bin.into[1]; });
  CHECK(arithmetic.cost(kFetched, Transport::staged).sent_by_stage[1].rows == Approx(into * 64 / 2));
  e.load.locality = {};
  CHECK(e.cost(kReplicated, Transport::staged).seconds == replicated.seconds);
  CHECK(e.cost(kReplicated, Transport::staged).sent_mean.total() == replicated.sent_mean.total());
  CHECK(e.cost(kHeld, Transport::pooled).sent_mean.total() == pooled.sent_mean.total());
}

TEST_CASE("A plan by first use is even but for the busiest rank, as it was measured") {
  Example e;
  e.load.locality.busiest = 1.1;
  const CostModel model(e.topology, e.load);
  const Placement placement{{kHeld}, {{Transport::direct, {{0, 0, 40}, {1, 0, 200}, {2, 0, 1000}}}}};
  const Plan plan = to_plan(model, placement, "held");
  CHECK(plan.assignment.local);
  CHECK(plan.tables[0].holders.first_use);
  const Cost even = evaluate(model, placement), dealt = evaluate(model, plan);
  CHECK(dealt.even_seconds == Approx(even.seconds));
  CHECK(dealt.sent_mean.rows == Approx(even.sent_mean.rows));
  CHECK(dealt.sent_max.rows == Approx(1.1 * even.sent_max.rows));
  CHECK(dealt.seconds > even.seconds);
  CHECK(dealt.seconds <= 1.1 * even.seconds);
  CHECK(dealt.stores[1].used_bytes == Approx(even.stores[1].used_bytes));
}

TEST_CASE("Samples go from the reader of a batch to all others, in turn") {
  Example e;
  e.load.locality.sample_bytes = 10;
  e.load.locality.new_holder_bytes = 6;
  const Cost cost = e.cost(kHeld, Transport::staged);
  // Of 96 samples a reader keeps 24; 24 go to its sibling, 48 to the other node. One of four ranks reads.
  CHECK(cost.sent_mean.samples == Approx((72 * 10 + 3 * 6) / 4.0));
  CHECK(cost.sent_by_stage[0].samples == Approx((48 * 10 + 2 * 6) / 4.0));
  CHECK(cost.sent_by_stage[1].samples == Approx((24 * 10 + 6) / 4.0));

  // A server reads no batch and gets no samples, but hears of new holders.
  Topology star{"star", {domain("all", -1, 1, {})}};
  for (const double weight : {0.0, 1.0}) {
    star.domains.push_back(
        domain(weight > 0 ? "client" : "server", 0, weight > 0 ? 3 : 1, {port(1e6)}, {memory("device", 1 << 20)}));
    star.domains.back().batch_weight = weight;
  }
  const CostModel model(
      star, e.load = [&] {
        Workload load = e.load;
        load.locality.tables.clear();
        return load;
      }());
  const auto sent = [&](int rank, Direction way) {
    return model.base()[model.quantities().flow(Flow::samples, 1, rank, way)];
  };
  CHECK(sent(1, Direction::out) == 0);
  CHECK(sent(1, Direction::in) == Approx(6));
  CHECK(sent(2, Direction::out) == Approx((64 * 10 + 3 * 6) / 3.0));
  CHECK(sent(2, Direction::in) == Approx(2 * (32 * 10 + 6) / 3.0));
  // A third of a batch leaves each of three clients, and a part of one reaches each.
  CHECK(model.time().samples_seconds == Approx((32 * 10 + 6) / 1e6));
  CHECK(model.time().samples_resource == "all/client link in");
}

TEST_CASE("Samples load the links of their reader but while ranks compute, and wait for the assigner") {
  TimeModel time;
  time.compute_seconds = 2;
  CHECK(time.with_samples(5) == 5);
  time.samples_seconds = 1;
  CHECK(time.with_samples(2) == 2);  // nothing but computation
  CHECK(time.with_samples(4) == Approx(4.5));
  CHECK(time.with_samples(200) == Approx(200.99));
  time.samples_seconds = 10;
  CHECK(time.with_samples(4) == Approx(12));
  time.shared_seconds = 0.5;
  CHECK(time.with_samples(4) == Approx(12.5));
  time.assign_seconds = 15;
  CHECK(time.with_samples(4) == 15);
  for (const double samples : {0.5, 1.0, 10.0}) {
    time.samples_seconds = samples;
    time.assign_seconds = 3;
    double before = 0;
    for (double seconds = 2; seconds < 50; seconds *= 1.1) {
      CHECK(time.with_samples(seconds) >= before);
      before = time.with_samples(seconds);
    }
  }
}

TEST_CASE("The delay of an assignment is the iterations that it takes, at most the ranks") {
  Example e;
  e.load.locality.seconds_per_sample = 1e-3 / 96;
  const CostModel model(e.topology, e.load);
  CHECK(delay_of(model, 2e-3) == 1);
  CHECK(delay_of(model, 0.9e-3) == 2);
  CHECK(delay_of(model, 0.3e-3) == 4);
  CHECK(delay_of(model, 1e-6) == 4);
  SolveOptions alone;
  alone.compare_strategies = false;
  const Solution solution = solve(e.topology, e.load, alone);
  CHECK(solution.plan.assignment == SampleAssignment{true, 4});
  CHECK(solution.cost.seconds >= 1e-3 / 4);
  CHECK(solution.bound >= 1e-3 / 4);
}

TEST_CASE("Where links bound an iteration, samples that go to their rows make it faster") {
  std::vector<Table> tables;
  for (int t = 0; t < 4; ++t) tables.push_back(table(fmt::format("t{}", t), from_law(parse_law("zipf:1.05"), 50000)));
  Workload w = workload(tables, 4096);
  w.dense_bytes = 1e4;
  const Topology topology = flat(4, static_cast<int64_t>(bytes_needed(w) / 3), 1e7);
  const Solution contiguous = solve(topology, w);
  w.locality.local = w.locality.first_use = true;
  w.locality.tables.assign(4, {bin(0.1, {0.1}, {0.7}), bin(4, {0.4}, {0.8}), bin(100, {1}, {1})});
  w.locality.sample_bytes = 4;
  const Solution assigned = solve(topology, w);
  CHECK(assigned.plan.assignment.local);
  CHECK(assigned.cost.seconds < 0.6 * contiguous.cost.seconds);
  CHECK(assigned.bound <= assigned.cost.seconds);
  CHECK(assigned.gap < 0.01);
  for (size_t i = 0; i < assigned.strategies.size(); ++i)  // as they are run elsewhere
    if (assigned.strategies[i].cost.infeasible.empty())
      CHECK(assigned.strategies[i].cost.seconds == contiguous.strategies[i].cost.seconds);
}
