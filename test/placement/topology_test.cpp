// Topologies: what is refused, and what follows from a valid one.
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "support.hpp"

using namespace sparrow::placement;
using Catch::Matchers::Contains;

TEST_CASE("A faulty topology is refused, naming the domain and the key") {
  const auto refuse = [](auto change, const std::string& words) {
    Topology t = two_level(2, 2, 100);
    change(t);
    CHECK_THROWS_WITH(validate(t), Contains(words));
  };
  refuse([](Topology& t) { t.domains.clear(); }, "no domains");
  refuse([](Topology& t) { t.domains.resize(1); }, "zero ranks");
  refuse([](Topology& t) { t.domains[1].parent = 2; }, "domains[1] (node).parent: 2");
  refuse([](Topology& t) { t.domains[2].parent = 2; }, "cycle");
  refuse([](Topology& t) { t.domains[2].parent = -1; }, "second root");
  refuse([](Topology& t) { t.domains[2].count = 0; }, "all/node/gpu.count: 0");
  refuse([](Topology& t) { t.domains[1].count = -3; }, "all/node.count: -3");
  refuse([](Topology& t) { t.domains[1].ports[0].in_bytes_per_s = -1; }, "all/node.ports[0] (link).in_bytes_per_s: -1");
  refuse([](Topology& t) { t.domains[1].ports[0].out_bytes_per_s = 0; }, "out_bytes_per_s");
  refuse([](Topology& t) { t.domains[1].ports[0].latency_s = -1e-6; }, "latency_s");
  refuse([](Topology& t) { t.domains[1].ports[0].out_bytes_per_s = std::nan(""); }, "out_bytes_per_s");
  refuse([](Topology& t) { t.domains[1].ports.clear(); }, "cannot be reached");
  refuse([](Topology& t) { t.domains[1].ports[0].first_stage = 2; }, "stages 2 to 0");
  refuse([](Topology& t) { t.domains[2].stores.clear(); }, "device memory");
  refuse([](Topology& t) { t.domains[2].stores[0].capacity_bytes = -1; }, "capacity_bytes: -1");
  refuse([](Topology& t) { t.domains[2].stores[0].granule_bytes = 0; }, "granule_bytes");
  refuse([](Topology& t) { t.domains[2].batch_weight = 0; }, "no rank has samples");
  refuse([](Topology& t) { t.domains.push_back(domain("stray", 0, 1, {port(1)}, {memory("device", 1)})); },
         "at depth 1");
  refuse(
      [](Topology& t) {
        t.domains[1].count = int64_t{1} << 39;
        t.domains[2].count = int64_t{1} << 39;
      },
      "can be planned for");
}

TEST_CASE("A tree knows its levels, numbers of instances and shares") {
  const Topology topology = unequal_three_level(100);
  const Tree tree(topology);
  CHECK(tree.depth() == 3);
  CHECK(tree.ranks() == 4 + 1 + 2 + 12);
  CHECK(tree.instances(9) == 12);
  CHECK(tree.instances_in(9, 2) == 6);
  CHECK(tree.ancestor(9, 1) == 2);
  CHECK(tree.inside(8, 1));
  CHECK_FALSE(tree.inside(8, 2));
  CHECK(tree.peers(1) == 2);
  CHECK(tree.peers(8) == 2);
  CHECK(tree.path(8) == "all/podA/nodeB/gpuB2");
  CHECK(tree.batch_share(0) == Approx(1));
  CHECK(tree.batch_share(7) == Approx(2.0 / 19));
  CHECK(tree.sigma(1) == Approx(7.0 / 19));
  double sum = 0;
  for (int e : tree.at_level(3)) sum += tree.rho(e, 0) * static_cast<double>(tree.instances(e));
  CHECK(sum == Approx(1));
  CHECK(tree.sites_in(2) == std::vector<Site>{{5, 0}, {9, 0}});
  CHECK(tree.site_name({5, 0}) == "all/podB/nodeC:host");
}

TEST_CASE("A rank that does not hold for others keeps its memory to itself") {
  Topology topology = flat(10, 100);
  topology.domains.push_back(domain("server", 0, 1, {port(1e9)}, {memory("device", 1000)}));
  topology.domains[2].batch_weight = 0;
  topology.domains[1].holds = false;
  const Tree tree(topology);
  CHECK(tree.sites_in(0) == std::vector<Site>{{2, 0}});
  CHECK(tree.sites_in(1) == std::vector<Site>{{1, 0}});
  CHECK(tree.sigma(1) == 0);
  CHECK(tree.sigma(2) == 1);
  CHECK(tree.batch_share(2) == 0);
}
