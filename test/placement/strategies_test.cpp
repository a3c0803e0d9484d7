// The named strategies against figures worked out by hand for a flat machine.
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "support.hpp"

using namespace sparrow::placement;

namespace {

constexpr double kRanks = 4, kBatch = 32, kWidth = 64;

Workload two_tables(double lookups = 1) {
  return workload({table("a", from_law(parse_law("zipf:1"), 300), lookups),
                   table("b", from_law(parse_law("zipf:1"), 700), lookups)},
                  128);
}

}  // namespace

TEST_CASE("Table-wise sends b w per table and rank each way, and every lookup's id to every slice of columns") {
  const Topology topology = flat(4, 1 << 20);
  const Workload w = two_tables(3);
  const CostModel model(topology, w);
  const StrategyResult result = evaluate_strategy(model, Strategy::table_wise);
  const double others = 1 - 1 / kRanks;
  CHECK(result.cost.infeasible.empty());
  CHECK(result.cost.sent_mean.rows == Approx(2 * kBatch * kWidth * others));
  CHECK(result.cost.sent_mean.gradients == Approx(2 * kBatch * kWidth * others));
  // 4 ranks, tables of 30 and 70 % of the rows: cut into 2 and 3 slices.
  CHECK(result.cost.sent_mean.ids == Approx((2 + 3) * kBatch * 3 * 8 * others));
  CHECK(result.cost.stores[0].used_bytes == Approx((300 * (64 + 2 * 4) + 700 * (64 + 3 * 4)) / 4.0));
  REQUIRE(result.plan);
  CHECK_NOTHROW(check(*result.plan, topology, w));
  CHECK(result.plan->tables[0].transport == Transport::pooled);
}

TEST_CASE("Of 6 whole tables on 4 ranks two are on some, and a run waits for these") {
  const Topology topology = flat(4, 1 << 20);
  std::vector<Table> tables;
  for (const char* name : {"a", "b", "c", "d", "e", "f"})
    tables.push_back(table(name, from_law(parse_law("zipf:1"), 100)));
  const Workload w = workload(std::move(tables), 128);
  const CostModel model(topology, w);
  const StrategyResult result = evaluate_strategy(model, Strategy::table_wise);
  REQUIRE(result.plan);
  const auto moving = [](const Cost& cost) {
    return cost.seconds_by_phase[static_cast<int>(Phase::forward)] +
           cost.seconds_by_phase[static_cast<int>(Phase::backward)];
  };
  const Cost dealt = cost_as_dealt(model, *result.plan, result.cost);
  CHECK(moving(dealt) == Approx(2 / 1.5 * moving(result.cost)));
  CHECK(dealt.seconds - result.cost.seconds == Approx(moving(dealt) - moving(result.cost)));
  CHECK(dealt.sent_mean.rows == result.cost.sent_mean.rows);
  const StrategyResult row_wise = evaluate_strategy(model, Strategy::row_wise);
  CHECK(cost_as_dealt(model, *row_wise.plan, row_wise.cost).seconds == row_wise.cost.seconds);
}

TEST_CASE("Whole tables whose distinct rows alone travel: a run waits for the rank, and the node, that sends most") {
  // Slots 0 .. 3 on nodes {0 1} {2 3}. A rank looks up 16 samples: of each table 1000 (1 - (1 - 1/1000)^16) or, of the
  // smallest, 4 (1 - (3/4)^16) distinct rows.
  const Topology topology = two_level(2, 2, 1 << 20, 0);
  std::vector<Table> tables;
  for (const auto& [name, rows] : {std::pair{"a", 1000}, {"b", 1000}, {"c", 1000}, {"d", 4}})
    tables.push_back(table(name, from_law(parse_law("uniform"), rows)));
  const Workload w = workload(std::move(tables), 64);
  const CostModel model(topology, w);
  Plan plan = *evaluate_strategy(model, Strategy::table_wise).plan;
  for (size_t t = 0; t < plan.tables.size(); ++t) {
    plan.tables[t].transport = Transport::staged;
    plan.tables[t].holders.fixed = static_cast<int64_t>(t);
  }
  const Cost fair = evaluate(model, to_placement(plan, w));
  const Cost dealt = cost_as_dealt(model, plan, fair);
  const double large = 1000 * (1 - std::pow(0.999, 16)), small = 4 * (1 - std::pow(0.75, 16));
  const double of_ranks = large / ((3 * large + small) / 4), of_nodes = 2 * large / ((3 * large + small) / 2);
  REQUIRE(dealt.stages.size() == fair.stages.size());
  int compared = 0;
  for (size_t i = 0; i < fair.stages.size(); ++i) {
    const StageCost &before = fair.stages[i], &after = dealt.stages[i];
    if (before.seconds <= before.latency_seconds) continue;
    const bool moves = before.phase == Phase::forward || before.phase == Phase::backward;
    CAPTURE(before.name, before.level);
    const double uneven = !moves ? 1 : before.level == 1 ? of_nodes : of_ranks;
    CHECK(after.seconds - after.latency_seconds == Approx(uneven * (before.seconds - before.latency_seconds)));
    compared += moves;
  }
  CHECK(compared >= 4);
}

TEST_CASE("Row-wise reduce-scatters (N - 1) b w per table and rank, and gathers as much") {
  const Topology topology = flat(4, 1 << 20);
  const Workload w = two_tables();
  const CostModel model(topology, w);
  const StrategyResult result = evaluate_strategy(model, Strategy::row_wise);
  CHECK(result.cost.sent_mean.rows == Approx(2 * (kRanks - 1) * kBatch * kWidth));
  CHECK(result.cost.sent_mean.gradients == Approx(2 * (kRanks - 1) * kBatch * kWidth));
}

TEST_CASE("On two levels, row-wise sends (N - 1) b w in all, and only whole sums leave a node") {
  const Topology topology = two_level(4, 2, 1 << 20);
  const Workload w = workload({table("a", from_law(parse_law("zipf:1"), 300))}, 128);
  const CostModel model(topology, w);
  const StrategyResult result = evaluate_strategy(model, Strategy::row_wise);
  CHECK(result.cost.sent_mean.rows == Approx(7 * 16 * kWidth));
  double leaves = 0;
  for (const ResourceCost& resource : result.cost.resources)
    if (resource.name == "all/node link out") leaves = resource.amount;
  const double ids = 2 * 16 * 8 * (1 - 1.0 / 4) *
                     2;  // asked and answered from other nodes, both ways over the uplink's two directions
  CHECK(leaves == Approx(2 * 3 * 32 * kWidth + ids / 2 * 1.0).epsilon(1e-9));
}

TEST_CASE("Replicated takes the cheaper reduction, and says when it does not fit") {
  const Workload w = workload({table("a", from_law(parse_law("zipf:1.2"), 20000))}, 128);
  const Topology large = flat(4, 20000 * 68), small = flat(4, 20000 * 68 - 1);
  const CostModel fits(large, w), does_not(small, w);
  const StrategyResult result = evaluate_strategy(fits, Strategy::replicated);
  REQUIRE(result.plan);
  CHECK(result.plan->options[0].reduction == Reduction::sparse);  // 128 of 20,000 rows are touched
  CHECK(result.cost.sent_mean.allreduce < 20000 * kWidth);
  const StrategyResult refused = evaluate_strategy(does_not, Strategy::replicated);
  CHECK_FALSE(refused.plan);
  CHECK(refused.cost.infeasible.find("flat") == std::string::npos);
  CHECK(refused.cost.infeasible.find("all/rank:device needs 1360000 bytes") == 0);
}

TEST_CASE("Held spreads rows by memory where equal shares do not fit") {
  Topology topology = flat(2, 30 * 68);
  topology.domains.push_back(topology.domains[1]);
  topology.domains[2].name = "large";
  topology.domains[2].stores[0].capacity_bytes = 300 * 68;
  const Workload w = workload({table("a", from_law(parse_law("zipf:1"), 500))}, 64);
  const CostModel model(topology, w);
  const StrategyResult result = evaluate_strategy(model, Strategy::held);
  CHECK(result.cost.infeasible.empty());
  CHECK(result.cost.stores[0].used_bytes <= 30 * 68);
  CHECK(result.cost.stores[1].used_bytes == Approx(220 * 68).margin(8 * 68));
  REQUIRE(result.plan);
  CHECK_NOTHROW(check(*result.plan, topology, w));
}

TEST_CASE("Fetched needs a slower store or a pure server") {
  const Workload w = workload({table("a", from_law(parse_law("zipf:1"), 500))}, 64);
  const Topology none = flat(2, 1 << 20), with_host = two_level(2, 2, 1, 1 << 20);
  CHECK_FALSE(evaluate_strategy(CostModel(none, w), Strategy::fetched).cost.infeasible.empty());
  const CostModel model(with_host, w);
  const StrategyResult result = evaluate_strategy(model, Strategy::fetched);
  CHECK(result.cost.infeasible.empty());
  CHECK(result.cost.seconds_by_phase[static_cast<size_t>(Phase::fetch)] > 0);
  CHECK(result.cost.stores[0].used_bytes == Approx(250 * 68));
}

TEST_CASE("Hot-cold is never slower than table-wise, of which it is a refinement") {
  const Workload w = workload({table("a", from_law(parse_law("zipf:1.3"), 5000))}, 4096);
  const Topology topology = flat(4, 1 << 20);
  const CostModel model(topology, w);
  const double hot_cold = evaluate_strategy(model, Strategy::hot_cold).cost.seconds;
  CHECK(hot_cold < 0.9 * evaluate_strategy(model, Strategy::table_wise).cost.seconds);
}

TEST_CASE("Names of strategies are read back") {
  for (int i = 0; i < kStrategies; ++i)
    CHECK(parse_strategy(strategy_name(static_cast<Strategy>(i))) == static_cast<Strategy>(i));
  CHECK_FALSE(parse_strategy("optimal"));
}
