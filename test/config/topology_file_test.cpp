// Topology files: what is read, what is refused and in which words, and that written files read back.
#include "config/topology_file.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "base/error.hpp"
#include "test/support/error_of.hpp"

namespace sparrow {
namespace {

using placement::Topology;
using placement::Tree;

const std::string kValid = R"(name: two-nodes
links:
  nic: {bandwidth: 200Gbit/s, latency: 5us, overhead: 1us}
  nvlink: {in: 450GB/s, out: 400GB/s, stages: [2, 2]}
stores:
  hbm: {capacity: 64GiB}
  host: {capacity: 1TiB, bandwidth: 100GB/s, latency: 10us, granule: 4KiB}
domains:
  - {name: gpu, parent: node, count: 8, links: [nvlink], stores: [hbm], flops: 60Tflop/s, work: {hash: 2G/s, gather: 1TB/s}}
  - {name: cluster}
  - {name: node, parent: cluster, count: 2, links: [nic], stores: [host]}
)";

/// kValid with `from` replaced by `to`.
std::string with(const std::string& from, const std::string& to) {
  std::string text = kValid;
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string error_in(const std::string& text) {
  return test::error_of([&] { parse_topology(text, "net.yaml"); });
}

void check_equal(const Topology& a, const Topology& b) {
  REQUIRE(a.domains.size() == b.domains.size());
  CHECK(a.name == b.name);
  CHECK(a.rank_of_leaf == b.rank_of_leaf);
  for (size_t d = 0; d < a.domains.size(); ++d) {
    const auto &x = a.domains[d], &y = b.domains[d];
    INFO(x.name);
    CHECK(x.name == y.name);
    CHECK(x.parent == y.parent);
    CHECK(x.count == y.count);
    CHECK(x.proxy_weight == y.proxy_weight);
    CHECK(x.batch_weight == y.batch_weight);
    CHECK(x.flops_per_s == y.flops_per_s);
    CHECK(x.work.hash_ids_per_s == y.work.hash_ids_per_s);
    CHECK(x.work.gather_bytes_per_s == y.work.gather_bytes_per_s);
    CHECK(x.work.pack_bytes_per_s == y.work.pack_bytes_per_s);
    CHECK(x.work.update_bytes_per_s == y.work.update_bytes_per_s);
    CHECK(x.work.list_ids_per_s == y.work.list_ids_per_s);
    CHECK(x.holds == y.holds);
    CHECK(x.access_group == y.access_group);
    REQUIRE(x.ports.size() == y.ports.size());
    for (size_t i = 0; i < x.ports.size(); ++i) {
      CHECK(x.ports[i].name == y.ports[i].name);
      CHECK(x.ports[i].in_bytes_per_s == y.ports[i].in_bytes_per_s);
      CHECK(x.ports[i].out_bytes_per_s == y.ports[i].out_bytes_per_s);
      CHECK(x.ports[i].latency_s == y.ports[i].latency_s);
      CHECK(x.ports[i].overhead_s == y.ports[i].overhead_s);
      CHECK(x.ports[i].first_stage == y.ports[i].first_stage);
      CHECK(x.ports[i].last_stage == y.ports[i].last_stage);
    }
    REQUIRE(x.stores.size() == y.stores.size());
    for (size_t i = 0; i < x.stores.size(); ++i) {
      CHECK(x.stores[i].name == y.stores[i].name);
      CHECK(x.stores[i].capacity_bytes == y.stores[i].capacity_bytes);
      CHECK(x.stores[i].bytes_per_s == y.stores[i].bytes_per_s);
      CHECK(x.stores[i].latency_s == y.stores[i].latency_s);
      CHECK(x.stores[i].granule_bytes == y.stores[i].granule_bytes);
    }
  }
}

}  // namespace

TEST_CASE("A topology file says what the planner needs, its domains in any order") {
  const Topology topology = parse_topology(kValid, "net.yaml");
  const Tree tree(topology);
  CHECK(topology.name == "two-nodes");
  CHECK(tree.ranks() == 16);
  CHECK(tree.path(2) == "cluster/node/gpu");
  CHECK(topology.domains[1].ports[0].in_bytes_per_s == 25e9);
  CHECK(topology.domains[1].ports[0].latency_s == Approx(5e-6));
  CHECK(topology.domains[1].stores[0].granule_bytes == 4096);
  CHECK(topology.domains[2].ports[0].out_bytes_per_s == 400e9);
  CHECK(topology.domains[2].ports[0].first_stage == 2);
  CHECK(topology.domains[2].stores[0].capacity_bytes == int64_t{64} << 30);
  CHECK(topology.domains[2].flops_per_s == 60e12);
  CHECK(topology.domains[2].work.hash_ids_per_s == 2e9);
  CHECK(topology.domains[2].work.pack_bytes_per_s == placement::kInfinity);
}

TEST_CASE("Faults are named with file, line and key") {
  struct Case {
    std::string text;
    std::vector<std::string> said;
  };
  const std::vector<Case> cases = {
      {with("{name: cluster}", "{name: cluster, parent: gpu}"),
       {"net.yaml:", "domains[", "].parent", "cycle", "cluster -> gpu -> node"}},
      {with("bandwidth: 200Gbit/s", "bandwidth: -200Gbit/s"), {"net.yaml:3", "links.nic.bandwidth", "negative"}},
      {with("bandwidth: 200Gbit/s", "bandwidth: 0Gbit/s"), {"net.yaml:3", "links.nic.bandwidth", "above 0"}},
      {with("bandwidth: 200Gbit/s", "bandwidth: 200Gbits"), {"net.yaml:3", "links.nic.bandwidth", "not a bandwidth"}},
      {with("bandwidth: 200Gbit/s", "in: 1GB/s"), {"net.yaml:3", "links.nic", "both in and out"}},
      {with("latency: 5us", "latency: -5us"), {"net.yaml:3", "links.nic.latency", "negative"}},
      {with("stores: [hbm]", "stores: [hbn]"), {"net.yaml:9", "domains[0].stores[0]", "unknown store 'hbn'", "hbm"}},
      {with("links: [nic]", "links: [nik]"), {"net.yaml:11", "domains[2].links[0]", "unknown link 'nik'"}},
      {with("stores: [hbm],", ""), {"net.yaml:9", "domains[0]", "no stores"}},
      {with("count: 8", "count: 0"), {"net.yaml:9", "domains[0].count"}},
      {with("count: 2", "count: -2"), {"net.yaml:11", "domains[2].count"}},
      {with("parent: node", "parent: nodes"), {"net.yaml:9", "domains[0].parent", "nodes"}},
      {with("parent: node, ", ""), {"net.yaml:", "no parent", "root"}},
      {with("name: gpu", "name: node"), {"net.yaml:11", "second domain named 'node'"}},
      {with("stages: [2, 2]", "stages: [2, 3]"), {"net.yaml:9", "domains[0].links", "stages up to 3"}},
      {with("capacity: 64GiB", "capacity: -1"), {"net.yaml:6", "stores.hbm.capacity", "negative"}},
      {with("capacity: 64GiB", "size: 64GiB"), {"net.yaml:6", "stores.hbm"}},
      {with("granule: 4KiB", "granule: 0"), {"net.yaml:7", "stores.host.granule"}},
      {with("stores: [host]", "stores: [host], flops: 1Tflop/s"), {"net.yaml:11", "domains[2].flops", "only ranks"}},
      {with("work: {hash: 2G/s", "work: {hsh: 2G/s"), {"net.yaml:9", "hsh", "unknown key", "hash"}},
      {with("flops: 60Tflop/s", "batch_weight: 0"), {"net.yaml:", "no rank has samples"}},
      {with("flops: 60Tflop/s", "batch_weight: nan"), {"net.yaml:9", "domains[0].batch_weight"}},
      {with("name: two-nodes\n", "name: two-nodes\nranks: [0, 1]\n"), {"net.yaml", "ranks", "no permutation"}},
      {with("name: two-nodes\n", "name: two-nodes\nranks: [0, -1]\n"), {"net.yaml:2", "ranks[1]"}},
      {"name: x\ndomains: []\n", {"net.yaml:2", "zero ranks"}},
      {"name: x\ndomains:\n  - {name: alone}\n", {"net.yaml:3", "zero ranks"}},
      {"name: x\n", {"net.yaml:1", "domains"}},
      {"", {"net.yaml"}},
      {kValid + "  - {name: odd, parent: cluster, links: [nic], stores: [hbm]}\n",
       {"net.yaml:12", "'odd'", "level 1", "level 2"}},
  };
  for (const Case& c : cases) {
    const std::string error = error_in(c.text);
    INFO(c.text << "\nsays: " << error);
    CHECK_FALSE(error.empty());
    for (const std::string& part : c.said) CHECK(error.find(part) != std::string::npos);
  }
}

TEST_CASE("Written topologies read back as they were") {
  std::vector<Topology> all = {parse_topology(kValid, "net.yaml")};
  for (const auto& entry : std::filesystem::directory_iterator(SPARROW_TOPOLOGIES))
    all.push_back(load_topology(entry.path().string()));
  CHECK(all.size() >= 9);
  for (const Topology& topology : all) {
    const std::string text = write_topology(topology, "two lines\nof comment");
    INFO(text);
    check_equal(parse_topology(text, "again.yaml"), topology);
    CHECK(write_topology(topology, "two lines\nof comment") == text);
  }
}

TEST_CASE("Equal names with different contents are told apart in the file") {
  Topology topology = parse_topology(kValid, "net.yaml");
  topology.domains.push_back(topology.domains[1]);  // a second kind of node with a slower adapter
  topology.domains[3].ports[0].in_bytes_per_s = 1e9;
  topology.domains.push_back(topology.domains[2]);
  topology.domains[4].parent = 3;
  const Topology again = parse_topology(write_topology(topology), "again.yaml");
  CHECK(Tree(again).ranks() == 32);
  const auto slow =
      std::find_if(again.domains.begin(), again.domains.end(), [](const auto& d) { return d.name == "node_2"; });
  REQUIRE(slow != again.domains.end());
  CHECK(slow->ports[0].in_bytes_per_s == 1e9);
}

TEST_CASE("The systems of configs/topologies are what their names say") {
  const auto ranks = [](const std::string& name) {
    const Topology topology = load_topology(std::string(SPARROW_TOPOLOGIES) + "/" + name + ".yaml");
    return Tree(topology).ranks();
  };
  CHECK(ranks("workstation-2gpu") == 2);
  CHECK(ranks("dgx-h100") == 8);
  CHECK(ranks("dgx-h100-x16") == 128);
  CHECK(ranks("warehouse-2048") == 2048 * 8);
  CHECK(ranks("ethernet-16") == 16);
  CHECK(ranks("phones-100") == 101);  // and the server
  CHECK(ranks("unequal-ranks") == 32);
  CHECK(ranks("unequal-domains") == 28);
}

}  // namespace sparrow
