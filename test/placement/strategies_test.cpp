// The named strategies against figures worked out by hand for a flat machine.
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "support.hpp"

using sparrow::Phase;
using namespace sparrow::placement;

namespace {

constexpr double kRanks = 4, kBatch = 32, kWidth = 64;

Workload two_tables(double lookups = 1) {
  return workload({table("a", from_law(parse_law("zipf:1"), 300), lookups),
                   table("b", from_law(parse_law("zipf:1"), 700), lookups)},
                  128);
}

}  // namespace

TEST_CASE("Table-wise sends b w per table and rank each way, every lookup's id, and a byte per bag") {
  const Topology topology = flat(4, 1 << 20);
  const Workload w = two_tables(3);
  const CostModel model(topology, w);
  const StrategyResult result = evaluate_strategy(model, Strategy::table_wise);
  const double others = 1 - 1 / kRanks;
  CHECK(result.cost.infeasible.empty());
  CHECK(result.cost.sent_mean.rows == Approx(2 * kBatch * kWidth * others));
  CHECK(result.cost.sent_mean.gradients == Approx(2 * kBatch * kWidth * others));
  CHECK(result.cost.sent_mean.ids == Approx(2 * kBatch * (3 * 8 + 1) * others));
  CHECK(result.cost.stores[0].used_bytes == Approx((300 * 68 + 700 * 68) / 4.0));
  // One table each on two of the ranks: a holder answers three others.
  CHECK(result.cost.seconds_by_phase[static_cast<int>(Phase::rows)] == Approx(3 * kBatch * kWidth / 1e9));
  REQUIRE(result.plan);
  CHECK_NOTHROW(check(*result.plan, topology, w));
  CHECK(result.plan->tables[0].transport == Transport::pooled);
  CHECK(result.plan->tables[0].holders.fixed != result.plan->tables[1].holders.fixed);
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
  CHECK(result.cost.seconds == Approx(2 / 1.5 * result.cost.even_seconds));
  const StrategyResult row_wise = evaluate_strategy(model, Strategy::row_wise);
  CHECK(row_wise.cost.seconds_by_phase[static_cast<int>(Phase::rows)] == Approx(6 * 3 * kBatch * kWidth / 1e9));
}

TEST_CASE("Whole tables whose distinct rows alone travel: a run waits for the node that sends most") {
  // Slots 0 .. 3 on nodes {0 1} {2 3}. A node looks up 32 samples: of each table 1000 (1 - (1 - 1/1000)^32) or, of the
  // smallest, 4 (1 - (3/4)^32) distinct rows.
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
  const double large = 1000 * (1 - std::pow(0.999, 32));
  int compared = 0;
  for (const StageCost& stage : evaluate(model, plan).stages) {
    if (stage.level != 1 || (stage.phase != Phase::rows && stage.phase != Phase::gradients)) continue;
    CHECK(stage.seconds - stage.latency_seconds == Approx(2 * large * kWidth / 1e9));
    ++compared;
  }
  CHECK(compared == 2);
}

TEST_CASE("Tables are dealt by what they make their rank send, not by their bytes") {
  // 8 tables of one size; the bags of two are ten times as long, and their lookups all travel.
  std::vector<Table> tables;
  for (int t = 0; t < 8; ++t)
    tables.push_back(table(fmt::format("t{}", t), from_law(parse_law("uniform"), 1000 + t), t < 2 ? 200 : 1));
  const Topology topology = flat(4, 1 << 20);
  const Workload w = workload(std::move(tables), 128);
  const CostModel model(topology, w);
  const Plan plan = *evaluate_strategy(model, Strategy::table_wise).plan;
  CHECK(plan.tables[0].holders.fixed != plan.tables[1].holders.fixed);
  for (size_t t = 2; t < 8; ++t) {
    CHECK(plan.tables[t].holders.fixed != plan.tables[0].holders.fixed);
    CHECK(plan.tables[t].holders.fixed != plan.tables[1].holders.fixed);
  }
}

TEST_CASE(
    "Deduplicated, a strategy moves distinct rows, combined where levels are; fetched rows can be moved as read") {
  const Workload w = two_tables(3);
  const Topology topology = two_level(2, 2, 1 << 20, 1 << 20);
  const CostModel model(topology, w);
  const auto transport = [&](Strategy strategy, StrategyOptions options) {
    return evaluate_strategy(model, strategy, options).plan.value().tables[0].transport;
  };
  CHECK(transport(Strategy::held, {}) == Transport::direct);
  CHECK(transport(Strategy::held, {false, true}) == Transport::direct);
  CHECK(transport(Strategy::held, {true, true}) == Transport::staged);
  CHECK(transport(Strategy::row_wise, {}) == Transport::partial_sums);
  CHECK(transport(Strategy::row_wise, {true, false}) == Transport::direct);
  CHECK(transport(Strategy::hot_cold, {true, true}) == Transport::staged);
  CHECK(transport(Strategy::fetched, {}) == Transport::pooled);
  CHECK(transport(Strategy::fetched, {true, false}) == Transport::direct);
  const auto all = evaluate_strategies(model);
  CHECK(all.back().name == "fetched, undeduplicated");
  CHECK(all.back().cost.seconds > all[static_cast<size_t>(Strategy::fetched)].cost.seconds);
}

TEST_CASE("Row-wise reduce-scatters (N - 1) b w per table and rank, and gathers as much") {
  const Topology topology = flat(4, 1 << 20);
  const Workload w = two_tables();
  const CostModel model(topology, w);
  const StrategyResult result = evaluate_strategy(model, Strategy::row_wise);
  CHECK(result.cost.sent_mean.rows == Approx(2 * (kRanks - 1) * kBatch * kWidth));
  CHECK(result.cost.sent_mean.gradients == Approx(2 * (kRanks - 1) * kBatch * kWidth));
}

TEST_CASE("On two levels, row-wise sends a vector of every bag from every rank: nothing is summed inside a node") {
  const Topology topology = two_level(4, 2, 1 << 20);
  const Workload w = workload({table("a", from_law(parse_law("zipf:1"), 300))}, 128);
  const CostModel model(topology, w);
  const StrategyResult result = evaluate_strategy(model, Strategy::row_wise);
  CHECK(result.cost.sent_mean.rows == Approx(7 * 16 * kWidth));
  double leaves = 0;
  for (const ResourceCost& resource : result.cost.resources)
    if (resource.name == "all/node link out") leaves = resource.amount;
  // Of the 96 samples of others from each of 2 ranks, and as many gradients back to 6 ranks; ids and lengths of bags
  // (those held elsewhere: 3 of 4 lookups, more for the node with fewest hot rows).
  const double vectors = (2 * 96 + 6 * 32) * kWidth + 6 * 32;
  CHECK(leaves > vectors + 32 * 8 * 0.75);
  CHECK(leaves < vectors + 32 * 8);
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
  CHECK(result.cost.seconds_by_phase[static_cast<size_t>(Phase::store)] > 0);
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
  for (const Strategy strategy : all_strategies()) CHECK(parse_strategy(strategy_name(strategy)) == strategy);
  CHECK(parse_strategy("held") == Strategy::held);
  CHECK(parse_strategy("table_wise") == Strategy::table_wise);
  CHECK(parse_strategy("row_wise") == Strategy::row_wise);
  CHECK(parse_strategy("replicated") == Strategy::replicated);
  CHECK(parse_strategy("fetched") == Strategy::fetched);
  CHECK(parse_strategy("hot_cold") == Strategy::hot_cold);
  CHECK_FALSE(parse_strategy("optimal"));
}
