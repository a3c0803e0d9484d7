// Plans: holder rule and intervals, and that the checker finds every kind of fault.
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "support.hpp"

using sparrow::Phase;
using namespace sparrow::placement;
using Catch::Matchers::Contains;

namespace {

/// 2 nodes of 2 ranks of 1000 bytes and a host of 5000; one table of 30 rows of 10 bytes: 5 replicated, 15 held, 10
/// fetched from the host.
struct Example {
  Topology topology = two_level(2, 2, 200, 5000);
  Workload load = workload({table("t", {{5, 15, 10}, {{0.1, 0.03, 0.005}}, 0}, 1, 8, 2)}, 16);
  Plan plan;
  Example() {
    plan.options = {
        {2, Reduction::dense, {{2, 0}}}, {0, Reduction::sparse, {{2, 0}}}, {0, Reduction::sparse, {{1, 0}}}};
    TablePlan t;
    t.name = "t";
    t.rows = 30;
    t.holders.offset = 1;
    t.intervals = {{0, 5, 0}, {5, 7, 1}, {7, 8, 2}, {8, 20, 1}, {20, 25, 2}, {25, 26, 1}, {26, 30, 2}};
    plan.tables = {t};
  }
};

}  // namespace

TEST_CASE("Every position has exactly one option, and the holder rule one slot") {
  Example e;
  const TablePlan& t = e.plan.tables[0];
  CHECK(option_at(t, 0) == 0);
  CHECK(option_at(t, 4) == 0);
  CHECK(option_at(t, 5) == 1);
  CHECK(option_at(t, 7) == 2);
  CHECK(option_at(t, 25) == 1);
  CHECK(option_at(t, 29) == 2);
  CHECK_THROWS(option_at(t, 30));
  CHECK(t.holders.holder(0, 4) == 1);
  CHECK(t.holders.holder(3, 4) == 0);
}

TEST_CASE("The fullest instance is counted row by row through the holder rule") {
  Example e;
  const Tree tree(e.topology);
  const auto fullest = fullest_instances(e.plan, tree, e.load);
  std::vector<int64_t> device(4, 50), host(2, 0);  // 5 replicated rows of 10 bytes
  for (int64_t i = 5; i < 30; ++i) {
    const int option = option_at(e.plan.tables[0], i);
    if (option == 1) device[(i + 1) % 4] += 10;
    if (option == 2) host[(i + 1) % 2] += 10;
  }
  CHECK(fullest[2][0] == *std::max_element(device.begin(), device.end()));
  CHECK(fullest[1][0] == *std::max_element(host.begin(), host.end()));
}

TEST_CASE("The checker accepts a right plan and names what is wrong with others") {
  Example right;
  CHECK_NOTHROW(check(right.plan, right.topology, right.load));
  const auto refuse = [](auto change, const std::string& words) {
    Example e;
    change(e);
    CHECK_THROWS_WITH(check(e.plan, e.topology, e.load), Contains(words));
  };
  refuse([](Example& e) { e.plan.version = 2; }, "version 2");
  refuse([](Example& e) { e.plan.tables.clear(); }, "0 tables");
  refuse([](Example& e) { e.plan.tables[0].rows = 31; }, "table t has 31 rows");
  refuse([](Example& e) { e.plan.tables[0].intervals[1].first = 6; }, "positions 6 to 7 do not follow on 5");
  refuse([](Example& e) { e.plan.tables[0].intervals[1].first = 4; }, "do not follow");
  refuse([](Example& e) { e.plan.tables[0].intervals.pop_back(); }, "end at 26 of 30");
  refuse([](Example& e) { e.plan.tables[0].intervals[2].option = 3; }, "take option 3");
  refuse([](Example& e) { e.plan.tables[0].intervals[1].option = -1; }, "option -1");
  refuse([](Example& e) { e.plan.options[0].level = 3; }, "level 3");
  refuse([](Example& e) { e.plan.options[0].sites.clear(); }, "0 sites");
  refuse([](Example& e) { e.plan.options[2].sites[0].store = 1; }, "no store 1");
  refuse(
      [](Example& e) {
        e.plan.options[0].sites[0] = {1, 0};
      },
      "all/node:host does not hold copies for all/node/gpu");
  refuse([](Example& e) { e.topology.domains[2].stores[0].capacity_bytes = 89; },
         "all/node/gpu:device needs 100 bytes");
  refuse([](Example& e) { e.topology.domains[1].stores[0].capacity_bytes = 40; }, "all/node:host needs");
}

TEST_CASE("A plan survives the way through classes and back") {
  Example e;
  const CostModel model(e.topology, e.load);
  const Placement placement = to_placement(e.plan, e.load);
  const Plan again = to_plan(model, placement, "optimal");
  CHECK(again.tables[0].intervals == e.plan.tables[0].intervals);
  CHECK(again.options == e.plan.options);
}

TEST_CASE("Rows are costed by what their class takes") {
  Example moved, hotter;
  hotter.plan.tables[0].intervals = {{0, 5, 0}, {5, 20, 1}, {20, 30, 2}};
  const CostModel model(moved.topology, moved.load);
  const Placement placed = to_placement(moved.plan, moved.load);
  double by_option[3] = {0, 0, 0};
  for (const Share& share : placed.tables[0].shares) by_option[share.option] += share.rows;
  CHECK(by_option[0] == 5);
  CHECK(by_option[1] == 15);
  CHECK(by_option[2] == 10);
  // Position 7 is hotter than position 25, and the host is slower.
  CHECK(evaluate(model, placed).seconds_by_phase[static_cast<size_t>(Phase::store)] >
        evaluate(model, to_placement(hotter.plan, hotter.load)).seconds_by_phase[static_cast<size_t>(Phase::store)]);
}

TEST_CASE("Offsets keep the hottest rows of many tables off one rank") {
  std::vector<Table> tables;
  for (int t = 0; t < 26; ++t) tables.push_back(table(fmt::format("t{}", t), from_law(parse_law("zipf:1.05"), 100000)));
  for (int64_t ranks : {4, 8, 16}) {
    const Topology topology = flat(ranks, int64_t{1} << 40);
    const Workload w = workload(tables, 64);
    const CostModel model(topology, w);
    const Solution solution = solve(topology, w);
    std::vector<double> load(ranks, 0), naive = load;
    double total = 0;
    for (int t = 0; t < 26; ++t)
      for (int64_t i = 0; i < 64; ++i) {
        const double q = model.features_of(t, i)[Features::v(1)];
        load[solution.plan.tables[t].holders.holder(i, ranks)] += q;
        naive[i % ranks] += q;
        total += q;
      }
    const double mean = total / static_cast<double>(ranks);
    CHECK(*std::max_element(load.begin(), load.end()) < 1.15 * mean);
    CHECK(*std::max_element(naive.begin(), naive.end()) > 1.2 * mean);
  }
}
