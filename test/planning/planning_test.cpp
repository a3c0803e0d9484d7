// From topologies and plans to the ranks of a run.
#include "planning/planning.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "access/distributions.hpp"
#include "base/error.hpp"
#include "layout/launch_topology.hpp"
#include "placement/cost/cost_model.hpp"
#include "planning/rank_types.hpp"
#include "test/support/thread_comm.hpp"
#include "test/train/training_case.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

placement::Domain rank_domain(const char* name, int parent, int64_t count, int64_t memory) {
  placement::Domain rank;
  rank.name = name;
  rank.parent = parent;
  rank.count = count;
  rank.stores = {{"ram", memory, placement::kInfinity, 0, 1}};
  rank.ports = {{"mem", 5e9, 5e9, 5e-6, 1e-6}};
  rank.flops_per_s = 1e10;
  rank.work = {5e7, 5e9, 5e9, 3e9};
  return rank;
}

placement::Domain node_domain(const char* name, int parent, int64_t count) {
  placement::Domain node;
  node.name = name;
  node.parent = parent;
  node.count = count;
  node.ports = {{"net", 1e8, 1e8, 5e-5, 5e-6}};
  return node;
}

std::vector<placement::Topology> topologies(int64_t memory) {
  placement::Domain root;
  root.name = "system";
  return {{"flat 3", {root, rank_domain("rank", 0, 3, memory)}},
          {"2 x 2", {root, node_domain("node", 0, 2), rank_domain("rank", 1, 2, memory)}},
          {"2 x 2 x 2", {root, node_domain("pod", 0, 2), node_domain("node", 1, 2), rank_domain("rank", 2, 2, memory)}},
          {"3 + 1",
           {root, node_domain("big", 0, 1), node_domain("small", 0, 1), rank_domain("rank", 1, 3, memory),
            rank_domain("single", 2, 1, memory)}}};
}

/// The workload of a training case whose rows are used like 1 / (position + 1).
placement::Workload workload_of(const TrainingCase& problem) {
  placement::Workload workload;
  for (size_t t = 0; t < problem.rows.size(); ++t) {
    placement::Table table;
    table.name = fmt::format("T{}", t);
    table.access = from_law(parse_law("zipf:1"), problem.rows[t]);
    table.row_bytes = table.wire_bytes = 4 * problem.model.embedding_dim;
    table.state_bytes = 0;
    workload.tables.push_back(table);
  }
  workload.global_batch = problem.global_batch;
  workload.id_bytes = 4;
  workload.dense_bytes = 4000;
  workload.flops_per_sample = 1e5;
  return workload;
}

}  // namespace

TEST_CASE("EveryStrategyTrainsTheSameOnEveryTopology") {
  TrainingCase problem = with_sgd({}, 0.1);
  const Trained expected = train(problem, 1, 2);
  const placement::Workload workload = workload_of(problem);
  int64_t bytes = 0;
  for (const int64_t n : problem.rows) bytes += n * problem.model.embedding_dim * 4;
  for (const int64_t memory : {bytes / 2, 2 * bytes})  // some rows cannot be everywhere; all can
    for (const placement::Topology& topology : topologies(memory)) {
      const int ranks = static_cast<int>(placement::Tree(topology).ranks());
      const SystemShape shape = shape_of(topology, ranks);
      problem.hierarchy = shape.hierarchy;
      std::vector<placement::Plan> plans{placement::solve(topology, workload).plan};
      const placement::CostModel model(topology, workload);
      for (placement::StrategyResult& result : placement::evaluate_strategies(model))
        if (result.plan) plans.push_back(std::move(*result.plan));
      CHECK(plans.size() >= 3);
      for (const placement::Plan& plan : plans) {
        INFO(topology.name << ", " << plan.strategy << ", memory " << memory);
        problem.plan = resolve(plan, shape);
        const std::vector<double> losses = train(problem, ranks, 2).losses;
        for (size_t k = 0; k < 2; ++k) CHECK(std::abs(losses[k] - expected.losses[k]) <= 1e-6);
      }
    }
}

TEST_CASE("HeldRowsTravelInStagesOnlyWhereTheyAreCombined") {
  const SystemShape shape = shape_of(launch_topology({0, 0, 1, 1}, MachineRates{}), 4);
  TableShapes shapes;
  shapes.rows = {1000, 50};
  AccessCounts counts;
  counts.tables = {from_histogram({{3, 1000}}), from_histogram({{60, 50}})};
  RunOptions options;
  options.model.embedding_dim = 8;
  options.train.global_batch = 256;
  for (const auto strategy : {placement::Strategy::held, placement::Strategy::table_wise}) {
    options.placement.strategy = strategy;
    std::vector<double> between_nodes;
    for (const bool combine : {true, false}) {
      options.placement.combine = combine;
      run_ranks(4, [&](Comm& comm) {
        const PlannedRun planned = plan_run(comm, shape, {options, shapes, counts});
        if (comm.rank() != 0) return;
        for (const placement::TablePlan& table : planned.plan.tables) {
          CHECK(table.transport == (combine ? placement::Transport::staged : placement::Transport::direct));
        }
        between_nodes.push_back(planned.predicted.sent_by_stage.at(0).rows);
      });
    }
    CHECK(between_nodes[0] < 0.9 * between_nodes[1]);
  }
}

TEST_CASE("RanksOfInterleavedNodesFindTheirNode") {
  const placement::Topology topology = launch_topology({0, 1, 0, 1}, MachineRates{});
  const SystemShape shape = shape_of(topology, 4);
  CHECK(shape.hierarchy.depth() == 2);
  CHECK(shape.hierarchy.domain(1, 0) == shape.hierarchy.domain(1, 2));
  CHECK(shape.hierarchy.domain(1, 1) == shape.hierarchy.domain(1, 3));
  CHECK(shape.hierarchy.domain(1, 0) != shape.hierarchy.domain(1, 1));
}

TEST_CASE("NodesOfDifferentSizesAreTypesOfTheirOwn") {
  const placement::Topology topology = launch_topology({0, 0, 0, 1}, MachineRates{});
  const SystemShape shape = shape_of(topology, 4);
  CHECK(topology.domains.size() == 5);
  CHECK(shape.hierarchy.domains(1) == 2);
  CHECK(shape.rank_type[0] == shape.rank_type[2]);
  CHECK(shape.rank_type[0] != shape.rank_type[3]);
}

TEST_CASE("OneRankAloneHasNothingToExchange") {
  const placement::Topology topology = launch_topology({0}, MachineRates{});
  CHECK(shape_of(topology, 1).hierarchy.depth() == 0);
}

TEST_CASE("ATopologyOfAnotherSizeIsRefused") {
  const placement::Topology topology = launch_topology({0, 0}, MachineRates{});
  CHECK_THROWS_WITH(shape_of(topology, 3), Catch::Contains("has 2 ranks, this run 3"));
}

namespace {

std::vector<std::pair<std::string, int64_t>> names_and_counts(const placement::Topology& topology) {
  std::vector<std::pair<std::string, int64_t>> list;
  for (const placement::Domain& domain : topology.domains) list.emplace_back(domain.name, domain.count);
  return list;
}

}  // namespace

TEST_CASE("RanksOfOneTypeThatDifferBecomeTypesOfTheirOwn") {
  const placement::Topology topology = topologies(1 << 20)[1];  // 2 x 2
  const SystemShape shape = shape_of(topology, 4);
  CHECK(names_and_counts(with_rank_types(shape, std::vector<RankType>(4))) == names_and_counts(topology));
  // Ranks 1 and 2 see other data: the nodes are alike, but each has two kinds of ranks, and rank 2 is behind rank 3.
  const std::vector<RankType> crossed = {{1, 0}, {1, 1}, {1, 1}, {1, 0}};
  const placement::Topology split = with_rank_types(shape, crossed);
  const std::vector<std::pair<std::string, int64_t>> expected = {
      {"system", 1}, {"node", 2}, {"rank-1", 1}, {"rank-2", 1}};
  CHECK(names_and_counts(split) == expected);
  CHECK(split.rank_of_leaf == std::vector<int>{0, 1, 3, 2});
  CHECK(rank_types(shape_of(split, 4)) == crossed);
  // Only rank 3 has another part of the batch: the nodes differ.
  const std::vector<RankType> one = {{1, 0}, {1, 0}, {1, 0}, {0.5, 0}};
  const placement::Topology unequal = with_rank_types(shape, one);
  const std::vector<std::pair<std::string, int64_t>> of_nodes = {{"system", 1}, {"node-1", 1}, {"rank-1", 2},
                                                                 {"node-2", 1}, {"rank-2", 1}, {"rank-3", 1}};
  CHECK(names_and_counts(unequal) == of_nodes);
  CHECK(unequal.rank_of_leaf.empty());
  CHECK(rank_types(shape_of(unequal, 4)) == one);
  // What is split already stays so.
  CHECK(names_and_counts(with_rank_types(shape_of(split, 4), crossed)) == names_and_counts(split));
}
