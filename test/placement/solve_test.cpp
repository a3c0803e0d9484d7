// The optimiser: against brute force, against its own certified bound over many machines, and its promises.
#include <catch2/catch.hpp>
#include <cmath>

#include "base/error.hpp"
#include "support.hpp"

using namespace sparrow::placement;
using Catch::Matchers::Contains;

namespace {

bool fits(const CostModel& model, const Placement& placement) {
  const auto fullest = fullest_instances(to_plan(model, placement, "brute"), model.tree(), model.workload());
  for (int d = 0; d < model.tree().size(); ++d)
    for (size_t s = 0; s < fullest[d].size(); ++s)
      if (static_cast<double>(fullest[d][s]) > model.capacity({d, static_cast<int>(s)})) return false;
  return true;
}

/// Every option of every level, sites and reduction, listed here on its own.
std::vector<Option> all_options(const Tree& tree, bool dense) {
  std::vector<Option> options;
  for (int level = 0; level <= tree.depth(); ++level) {
    std::vector<std::vector<Site>> choices = {{}};
    for (int d : tree.at_level(level)) {
      std::vector<std::vector<Site>> longer;
      for (const auto& sites : choices)
        for (Site site : tree.sites_in(d)) {
          longer.push_back(sites);
          longer.back().push_back(site);
        }
      choices = longer;
    }
    for (const auto& sites : choices) {
      options.push_back({level, Reduction::sparse, sites});
      const bool device = std::all_of(sites.begin(), sites.end(), [&](Site s) { return tree.is_device(s); });
      if (dense && level > 0 && device) options.push_back({level, Reduction::dense, sites});
    }
  }
  return options;
}

/// The least time over every option of every row, and staged or pooled transport of every table with bags.
double brute_force(const CostModel& model) {
  const std::vector<Option> options = all_options(model.tree(), true);
  struct Row {
    size_t table;
    int32_t cls;
  };
  std::vector<Row> rows;
  for (int t = 0; t < model.tables(); ++t)
    for (size_t c = 0; c < model.table(t).access.classes(); ++c)
      for (int64_t i = 0; i < model.table(t).access.rows[c]; ++i)
        rows.push_back({static_cast<size_t>(t), static_cast<int32_t>(c)});
  double best = kInfinity;
  unsigned bags = 0;
  for (int t = 0; t < model.tables(); ++t) bags |= model.table(t).lookups > 1 ? 1u << t : 0;
  for (unsigned pooled = 0; pooled < 1u << model.tables(); ++pooled) {
    if ((pooled & ~bags) != 0) continue;
    Placement placement;
    placement.options = options;
    for (int t = 0; t < model.tables(); ++t)
      placement.tables.push_back({(pooled >> t & 1) != 0 ? Transport::pooled : Transport::staged, {}});
    for (Row row : rows) placement.tables[row.table].shares.push_back({row.cls, 0, 1});
    const auto share = [&](size_t i) -> Share& {  // shares lie table by table, in the order of the rows
      size_t before = 0;
      for (size_t j = 0; j < i; ++j) before += rows[j].table == rows[i].table;
      return placement.tables[rows[i].table].shares[before];
    };
    for (bool more = true; more;) {
      const double seconds = evaluate(model, placement).seconds;
      if (seconds < best && fits(model, placement)) best = seconds;
      size_t i = 0;
      while (i < rows.size() && ++share(i).option == static_cast<int32_t>(options.size())) share(i++).option = 0;
      more = i < rows.size();
    }
  }
  return best;
}

Topology small_machine(std::mt19937_64& random, int kind) {
  Topology topology = kind < 2 ? flat(2, 32 * integer(random, 3, 8), 1e8) : two_level(2, 2, 32 * integer(random, 2, 6));
  if (kind == 0) {  // host memory behind each rank
    topology.domains[1].ports[0].latency_s = random() % 2 == 0 ? 1e-7 : 0;
    topology.domains[1].stores.push_back(
        memory("host", 32 * integer(random, 2, 8), uniform(random, 2e7, 1e9), random() % 2 == 0 ? 1e-7 : 0));
  } else if (kind == 1) {  // ranks that differ
    topology.domains.push_back(topology.domains[1]);
    topology.domains[1].count = topology.domains[2].count = 1;
    topology.domains[2].ports[0] = port(uniform(random, 2e7, 5e8), random() % 2 == 0 ? 1e-7 : 0);
    topology.domains[2].stores[0].capacity_bytes = 32 * integer(random, 2, 6);
    topology.domains[2].batch_weight = uniform(random, 0.3, 3);
  } else {
    topology.domains[1].ports[0] = port(uniform(random, 5e7, 1e9), random() % 2 == 0 ? 1e-7 : 0, 1e-8);
  }
  return topology;
}

/// Minimises a convex function of one number in [0, most] by golden section: to 1e-11 of most, after which the
/// function (slopes below 1e4 times its value, see below) is known to 1e-7 of it.
template <class Function>
double least_value(double most, const Function& at) {
  constexpr double kRatio = 0.6180339887498949;
  double low = 0, high = most, left = high - kRatio * (high - low), right = low + kRatio * (high - low);
  double at_left = at(left), at_right = at(right), best = std::min(at_left, at_right);
  for (int i = 0; i < 53; ++i) {
    if (at_left <= at_right) {
      high = right, right = left, at_right = at_left;
      left = high - kRatio * (high - low);
      at_left = at(left);
    } else {
      low = left, left = right, at_left = at_right;
      right = low + kRatio * (high - low);
      at_right = at(right);
    }
    best = std::min({best, at_left, at_right});
  }
  return best;
}

/// The optimum before rounding by exhaustive search: every set of at most three ways to place the rows of the classes
/// (class, option), shares by golden sections within one another. With the set in use fixed, so is what pays latency,
/// and T is convex; stores that overflow cost a steep price instead.
class ContinuousSearch {
 public:
  ContinuousSearch(const CostModel& model, std::vector<Option> options) : model_(model) {
    placement_.options = std::move(options);
    placement_.tables.resize(model.tables());
  }
  double run() {
    place(0);
    return best_;
  }

 private:
  struct Class {
    size_t table;
    int32_t cls;
    double rows;
    std::vector<int32_t> options;  // in use
  };

  /// Sets of options for class number `i` of all, then the next.
  void place(size_t i) {
    if (i == 0) {
      classes_.clear();
      for (int t = 0; t < model_.tables(); ++t)
        for (size_t c = 0; c < model_.table(t).access.classes(); ++c)
          classes_.push_back({static_cast<size_t>(t),
                              static_cast<int32_t>(c),
                              static_cast<double>(model_.table(t).access.rows[c]),
                              {}});
    }
    if (i == classes_.size()) {
      shares_.assign(classes_.size(), {});
      best_ = std::min(best_, divide(0, 0, classes_[0].rows));
      return;
    }
    for (unsigned set = 1; set < 1u << placement_.options.size(); ++set) {
      classes_[i].options.clear();
      for (size_t o = 0; o < placement_.options.size(); ++o)
        if ((set >> o & 1) != 0) classes_[i].options.push_back(static_cast<int32_t>(o));
      place(i + 1);
    }
  }

  /// Least time when classes before c, and options before the n-th of class c, have their shares, `left` rows of c
  /// none.
  double divide(size_t c, size_t n, double left) {
    if (c == classes_.size()) return seconds();
    if (n + 1 == classes_[c].options.size()) {
      shares_[c].resize(n);
      shares_[c].push_back(left);
      return divide(c + 1, 0, c + 1 < classes_.size() ? classes_[c + 1].rows : 0);
    }
    return least_value(left, [&](double rows) {
      shares_[c].resize(n);
      shares_[c].push_back(rows);
      return divide(c, n + 1, left - rows);
    });
  }

  double seconds() {
    for (auto& table : placement_.tables) table.shares.clear();
    for (size_t c = 0; c < classes_.size(); ++c)
      for (size_t n = 0; n < shares_[c].size(); ++n)
        placement_.tables[classes_[c].table].shares.push_back({classes_[c].cls, classes_[c].options[n], shares_[c][n]});
    const Cost cost = evaluate(model_, placement_);
    double over = 0;
    for (const StoreCost& store : cost.stores)
      over = std::max(over, store.used_bytes / std::max(1.0, store.capacity_bytes - store.reserved_bytes) - 1);
    return cost.seconds * (1 + 1e4 * std::max(0.0, over));
  }

  const CostModel& model_;
  Placement placement_;
  std::vector<Class> classes_;
  std::vector<std::vector<double>> shares_;
  double best_ = kInfinity;
};

}  // namespace

TEST_CASE("No placement of whole rows is below the bound, nor is the plan better than the best of them") {
  std::mt19937_64 random(11), of_locality(111);
  int exact = 0, instances = 0;
  for (int i = 0; i < 150; ++i) {
    std::vector<Table> tables;
    const double bag = (i / 6) % 3 == 0 ? 1.0 : (i / 6) % 3 == 1 ? 2.0 : 20.0;
    for (int t = 0; t < 2; ++t) {
      const int64_t rare = t == 0 ? integer(random, 1, 2) : 1;
      TableDistribution access{{1, rare}, {{0.6, 0}}, 0};
      access.p[0][1] = uniform(random, 0.05, 0.4 / static_cast<double>(rare));
      tables.push_back(table(fmt::format("t{}", t), access, t == 0 || i % 4 == 0 ? bag : 1, 32, 0));
    }
    Workload w = workload(tables, integer(random, 2, 40));
    w.overlapped = i / 3 % 2 == 0;
    if (i % 5 == 0) w.dense_bytes = 100;
    const Topology topology = small_machine(random, i % 3);
    if (i % 7 < 3) w.locality = random_locality(of_locality, 2, Tree(topology).depth());
    const CostModel model(topology, w);
    const double brute = brute_force(model);
    if (std::isinf(brute)) {
      CHECK_THROWS(solve(topology, w));
      continue;
    }
    SolveOptions options;
    options.compare_strategies = false;
    options.direct = false;  // the brute force has none
    Solution solution;
    try {
      solution = solve(topology, w, options);
    } catch (const sparrow::Error&) {  // whole rows fit in few ways only
      continue;
    }
    CAPTURE(i, bag, brute, solution.cost.seconds, solution.bound);
    CHECK_NOTHROW(check(solution.plan, topology, w));
    CHECK(solution.bound <= brute * (1 + 1e-9));
    CHECK(solution.even_seconds >= brute * (1 - 1e-9));
    CHECK(solution.cost.seconds >= solution.even_seconds * (1 - 1e-9));
    CHECK(solution.cost.seconds <= brute * (1 + solution.gap) * (1 + 1e-9));
    exact += solution.even_seconds <= brute * (1 + 1e-9);
    ++instances;
  }
  CAPTURE(exact, instances);
  CHECK(instances >= 140);
  CHECK(exact >= instances / 2);  // rounding a handful of rows is not always the best of all roundings
}

TEST_CASE("The optimum before rounding equals that of an exhaustive search over shares") {
  std::mt19937_64 random(12);
  for (int i = 0; i < 60; ++i) {
    // One class of three options, or two of two: at most two shares to choose.
    const bool two_classes = i % 3 == 0;
    Topology topology = flat(two_classes ? 3 : 2, 0, 1e8);
    topology.domains[1].ports[0].latency_s = i % 2 == 0 ? 2e-7 : 0;
    SolveOptions options;
    options.compare_strategies = options.direct = options.dense_reduction = false;
    options.target_gap = 1e-9;
    if (i % 3 == 1) {
      topology = two_level(2, 2, 0);
      topology.domains[1].ports[0].out_bytes_per_s = uniform(random, 1e7, 1e9);
    } else if (i % 3 == 2) {
      topology = small_machine(random, 1);
    }
    TableDistribution access{{integer(random, 20, 400)}, {{0}}, 0};
    if (two_classes) access.rows.insert(access.rows.begin(), integer(random, 2, 30)), access.p[0].push_back(0);
    for (size_t c = 0; c < access.p[0].size(); ++c)
      access.p[0][c] = uniform(random, 0.2, 0.5) / static_cast<double>(access.rows[c]);
    std::sort(access.p[0].rbegin(), access.p[0].rend());
    Workload w = workload({table("t", access, 1, 64, 0)}, integer(random, 8, 300));
    w.overlapped = i / 3 % 2 == 0;
    if (i % 4 == 0) w.dense_bytes = 2000;
    const Tree tree(topology);
    const double one_copy = bytes_needed(w) / static_cast<double>(tree.ranks());
    for (int rank : tree.at_level(tree.depth())) {
      auto& domain = topology.domains[rank];
      domain.stores[0].capacity_bytes = static_cast<int64_t>(one_copy * uniform(random, 1.1, 2.5)) + 1;
      domain.work.pack_bytes_per_s = uniform(random, 5e7, 1e9);
    }
    const CostModel model(topology, w);
    const double searched = ContinuousSearch(model, all_options(model.tree(), false)).run();
    const Solution solution = solve(topology, w, options);
    CAPTURE(i, searched, solution.relaxed_seconds, solution.bound);
    CHECK(solution.relaxed_seconds == Approx(searched).epsilon(1e-6));
    CHECK(solution.bound == Approx(searched).epsilon(1e-6));
  }
}

TEST_CASE("Random machines: the programme is solved to its bound, and whole rows cost little more") {
  std::mt19937_64 random(5), of_locality(15);
  for (int i = 0; i < 120; ++i) {
    Workload w = random_workload(random, static_cast<int>(integer(random, 1, 12)));
    w.overlapped = i % 2 == 1;
    const Topology topology = random_topology(random, bytes_needed(w));
    if (i % 3 == 2)
      w.locality = random_locality(of_locality, static_cast<int>(w.tables.size()), Tree(topology).depth());
    CAPTURE(i);
    SolveOptions alone;
    alone.compare_strategies = false;
    alone.target_gap = 1e-8;
    const Solution solution = solve(topology, w);
    Solution family;
    try {
      family = solve(topology, w, alone);
    } catch (const sparrow::Error&) {  // memory for a handful of rows, without a slot for each
      CHECK(bytes_needed(w) < 20 * 512);
      continue;
    }
    CHECK_NOTHROW(check(solution.plan, topology, w));
    CHECK(solution.bound <= solution.cost.seconds * (1 + 1e-9));
    CHECK(family.relaxed_seconds <= family.bound * (1 + 1e-6));
    for (const StrategyResult& result : solution.strategies)
      if (result.cost.infeasible.empty() && !w.locality.in_turn())
        CHECK(solution.cost.seconds <= result.cost.seconds * (1 + 1e-12));
    const CostModel model(topology, w);
    CHECK(evaluate(model, family.plan).seconds == Approx(family.cost.seconds).epsilon(1e-9));
    CHECK(evaluate(model, to_placement(family.plan, w)).seconds == Approx(family.even_seconds).epsilon(1e-9));
  }
}

TEST_CASE("Gap within 1 % from uniform to very skewed use, from barely fits to all fits") {
  for (const char* law : {"uniform", "zipf:0.5", "zipf:0.8", "zipf:1.05", "zipf:1.2", "zipf:1.4"})
    for (double copies : {1.02, 1.5, 4.0, 100.0})
      for (bool overlapped : {false, true}) {
        std::vector<Table> tables;
        for (int64_t rows : {3, 500, 20000, 3000000})
          tables.push_back(table(fmt::format("t{}", rows), from_law(parse_law(law), rows)));
        Workload w = workload(tables, 8192);
        w.overlapped = overlapped;
        w.dense_bytes = 1e6;
        const double needed = bytes_needed(w);
        for (int machine = 0; machine < 3; ++machine) {
          Topology topology;
          if (machine == 0) topology = flat(8, static_cast<int64_t>(needed * copies / 8));
          if (machine == 1)
            topology =
                two_level(4, 4, static_cast<int64_t>(needed * copies / 32), static_cast<int64_t>(needed * copies / 8));
          if (machine == 2) topology = unequal_three_level(static_cast<int64_t>(needed * copies / 20));
          CAPTURE(law, copies, overlapped, machine);
          const Solution solution = solve(topology, w);
          CHECK(std::min(solution.even_seconds, solution.cost.seconds) / solution.bound - 1 <= 0.01);
          CHECK(solution.gap >= -1e-9);
          CHECK_NOTHROW(check(solution.plan, topology, w));
        }
      }
}

TEST_CASE("What does not fit is refused, naming the stores and the bytes") {
  const Workload w = workload({table("t", from_law(parse_law("zipf:1"), 1000))}, 64);
  CHECK_THROWS_WITH(solve(flat(4, 16999), w), Contains("need 68000 bytes") && Contains("have 67996") &&
                                                  Contains("4 x all/rank:device has 16999"));
  CHECK_NOTHROW(solve(flat(4, 17000), w));
  Workload buffers = w;
  buffers.buffer_bytes_per_sample = 2000;
  CHECK_THROWS_WITH(solve(flat(4, 30000), buffers), Contains("all/rank:device needs 32000 bytes for buffers"));
}

TEST_CASE("The same input gives the same plan") {
  std::mt19937_64 random(3);
  const Workload w = random_workload(random, 8);
  const Topology topology = random_topology(random, bytes_needed(w));
  const Solution a = solve(topology, w), b = solve(topology, w);
  CHECK(a.cost.seconds == b.cost.seconds);
  CHECK(a.plan.options == b.plan.options);
  for (size_t t = 0; t < a.plan.tables.size(); ++t) {
    CHECK(a.plan.tables[t].intervals == b.plan.tables[t].intervals);
    CHECK(a.plan.tables[t].holders == b.plan.tables[t].holders);
  }
}

TEST_CASE("More memory never makes the bound worse, and its price says how much it helps at most") {
  const Workload w = workload(
      {table("a", from_law(parse_law("zipf:1.05"), 100000)), table("b", from_law(parse_law("zipf:0.8"), 30000))}, 2048);
  double before = kInfinity;
  const auto machine = [&](int64_t capacity) {
    Topology topology = two_level(2, 4, capacity, int64_t{1} << 30);
    topology.domains[1].stores[0].bytes_per_s = 2e8;
    topology.domains[2].work.pack_bytes_per_s = 1e9;
    return topology;
  };
  SolveOptions options;
  options.compare_strategies = false;
  for (int64_t capacity = 50000; capacity < 40000000; capacity *= 2) {
    const Solution now = solve(machine(capacity), w, options);
    CHECK(now.bound <= before * (1 + 1e-9));
    before = now.bound;
    double price = 0;
    for (const Price& p : now.prices)
      if (p.resource == "all/node/gpu:device" && p.kind == "memory") price = p.seconds_per_unit;
    const Solution more = solve(machine(capacity + 10000), w, options);
    // Convex in the memory: the tangent is an upper bound of what is saved. 1e-4: target gap of the classes.
    CHECK(now.bound - more.bound <= price * 10000 + 2e-4 * now.bound);
  }
}

TEST_CASE("Pooling: never worse than without, and not beyond 5 % of the bound") {
  for (const char* law : {"uniform", "zipf:0.8", "zipf:1.1"})
    for (double lookups : {4.0, 20.0, 100.0}) {
      const Workload w =
          workload({table("a", from_law(parse_law(law), 200000), lookups),
                    table("b", from_law(parse_law(law), 5000), lookups), table("c", from_law(parse_law(law), 300), 1)},
                   1024);
      const Topology topology = two_level(2, 4, int64_t{40} << 20);
      SolveOptions without;
      without.pooling = false;
      const Solution pooled = solve(topology, w), plain = solve(topology, w, without);
      CAPTURE(law, lookups, pooled.cost.seconds, pooled.bound);
      CHECK(pooled.cost.seconds <= plain.cost.seconds * (1 + 1e-9));
      CHECK(std::min(pooled.even_seconds, pooled.cost.seconds) / pooled.bound - 1 <= 0.05);
      CHECK(pooled.gap >= -1e-9);
    }
}

TEST_CASE("Explaining a row lists its option as the cheapest at the optimum's prices") {
  const Workload w = workload({table("a", from_law(parse_law("zipf:1.05"), 100000))}, 2048);
  Topology topology = two_level(2, 4, 500000, int64_t{1} << 30);
  SolveOptions options;
  options.compare_strategies = false;
  options.direct = false;
  const Solution solution = solve(topology, w, options);
  for (int64_t position : {0, 100, 5000, 99999}) {
    const auto explained = explain(topology, w, options, solution, 0, position);
    CAPTURE(position);
    const auto chosen = std::find_if(explained.begin(), explained.end(), [](const auto& e) { return e.chosen; });
    REQUIRE(chosen != explained.end());
    CHECK(chosen->seconds <= explained[0].seconds + 1e-3 * std::abs(explained[0].seconds) + 1e-15);
  }
  CHECK_THROWS(explain(topology, w, options, solution, 1, 0));
  CHECK_THROWS(explain(topology, w, options, solution, 0, 100000));
}

TEST_CASE("A free batch stops where buffers would push rows out") {
  Workload w = workload({table("a", from_law(parse_law("zipf:1.05"), 100000))}, 1);
  w.buffer_bytes_per_sample = 1000;
  w.sized_buffers = true;
  w.dense_bytes = 1e6;
  const Topology topology = flat(4, 4000000);
  const BatchChoice choice = optimize_batch(topology, w, 64, 1 << 20);
  CHECK(choice.global_batch >= 64);
  CHECK(choice.global_batch < 16000);  // 4 MB hold at most 4,000 samples' activations per rank
  for (int64_t other : {choice.global_batch / 2, choice.global_batch / 4}) {
    Workload smaller = w;
    smaller.global_batch = other;
    CHECK(solve(topology, smaller).cost.seconds / static_cast<double>(other) >= choice.seconds_per_sample);
  }
  Workload hopeless = w;
  hopeless.buffer_bytes_per_sample = 1e9;
  CHECK_THROWS_WITH(optimize_batch(topology, hopeless, 64, 128), Contains("buffers"));
}

TEST_CASE("A faster rank is given more samples") {
  Topology topology = flat(2, 1 << 24);
  topology.domains.push_back(topology.domains[1]);
  topology.domains[1].flops_per_s = 1e9;
  topology.domains[2].flops_per_s = 3e9;
  Workload w = workload({table("a", from_law(parse_law("zipf:1.05"), 10000))}, 1024);
  w.flops_per_sample = 1e5;
  const std::vector<double> weights = plan_batch_weights(topology, w);
  CHECK(weights[1] / weights[0] == Approx(3).epsilon(0.15));
  Topology planned = topology;
  planned.domains[1].batch_weight = weights[0];
  planned.domains[2].batch_weight = weights[1];
  CHECK(solve(planned, w).cost.seconds < 0.75 * solve(topology, w).cost.seconds);
}
