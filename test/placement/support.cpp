#include "support.hpp"

#include <cmath>

#include "base/error.hpp"

namespace sparrow::placement {

Port port(double bytes_per_s, double latency_s, double overhead_s) {
  Port result;
  result.in_bytes_per_s = result.out_bytes_per_s = bytes_per_s;
  result.latency_s = latency_s;
  result.overhead_s = overhead_s;
  return result;
}

Store memory(const std::string& name, int64_t capacity, double bytes_per_s, double latency_s, int64_t granule) {
  return {name, capacity, bytes_per_s, latency_s, granule};
}

Domain domain(const std::string& name, int parent, int64_t count, std::vector<Port> ports, std::vector<Store> stores) {
  Domain result;
  result.name = name;
  result.parent = parent;
  result.count = count;
  result.ports = std::move(ports);
  result.stores = std::move(stores);
  return result;
}

Topology flat(int64_t ranks, int64_t capacity, double bandwidth) {
  return {"flat",
          {domain("all", -1, 1, {}), domain("rank", 0, ranks, {port(bandwidth)}, {memory("device", capacity)})}};
}

Topology two_level(int64_t nodes, int64_t ranks, int64_t capacity, int64_t host_capacity) {
  Topology result{"two_level",
                  {domain("all", -1, 1, {}), domain("node", 0, nodes, {port(1e9, 5e-6)}),
                   domain("gpu", 1, ranks, {port(5e9, 1e-6)}, {memory("device", capacity)})}};
  if (host_capacity > 0) result.domains[1].stores.push_back(memory("host", host_capacity, 2e9, 2e-6));
  return result;
}

Topology unequal_three_level(int64_t capacity) {
  Topology t{"unequal",
             {domain("all", -1, 1, {}), domain("podA", 0, 1, {port(2e9)}), domain("podB", 0, 2, {port(1e9)}),
              domain("nodeA", 1, 2, {port(1e9)}), domain("nodeB", 1, 1, {port(5e8)}),
              domain("nodeC", 2, 2, {port(1e9)}), domain("gpuA", 3, 2, {port(4e9)}, {memory("device", capacity)}),
              domain("gpuB", 4, 1, {port(4e9)}, {memory("device", 2 * capacity)}),
              domain("gpuB2", 4, 2, {port(4e9)}, {memory("device", capacity)}),
              domain("gpuC", 5, 3, {port(4e9)}, {memory("device", capacity)})}};
  t.domains[7].batch_weight = 2;
  t.domains[8].batch_weight = 0.5;
  t.domains[5].stores.push_back(memory("host", 4 * capacity, 2e9));
  return t;
}

double uniform(std::mt19937_64& random, double low, double high) {
  return low + (high - low) * static_cast<double>(random() >> 11) * 0x1p-53;
}

int64_t integer(std::mt19937_64& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

Topology random_topology(std::mt19937_64& random, double needed) {
  const int depth = static_cast<int>(integer(random, 1, 4));
  const bool latencies = random() % 2 == 0, work = random() % 2 == 0;
  const auto rate = [&](double low, double high) { return std::exp(uniform(random, std::log(low), std::log(high))); };
  Topology topology{"random", {domain("all", -1, 1, {})}};
  std::vector<int> level = {0};
  for (int l = 1; l <= depth; ++l) {
    std::vector<int> next;
    for (int parent : level) {
      const int64_t types = integer(random, 1, topology.domains.size() < 6 ? 2 : 1);
      for (int64_t i = 0; i < types; ++i) {
        Port p = port(rate(1e8, 1e10), latencies ? rate(1e-7, 1e-5) : 0,
                      latencies && random() % 2 == 0 ? rate(1e-8, 1e-6) : 0);
        p.out_bytes_per_s = rate(1e8, 1e10);
        next.push_back(static_cast<int>(topology.domains.size()));
        topology.domains.push_back(
            domain(fmt::format("d{}", topology.domains.size()), parent, integer(random, 1, 3), {p}));
      }
    }
    level = next;
  }
  for (int rank : level) {
    Domain& r = topology.domains[rank];
    r.batch_weight = uniform(random, 0.2, 2);
    r.stores.push_back(memory("device", 1));
    if (work) r.work = {rate(1e7, 1e9), rate(1e9, 1e11), rate(1e9, 1e11), rate(1e9, 1e11)};
    if (work) r.work.list_ids_per_s = r.work.hash_ids_per_s / 3;
  }
  if (random() % 2 == 0) {
    const auto at = static_cast<size_t>(integer(random, 0, static_cast<int64_t>(topology.domains.size()) - 1));
    topology.domains[at].stores.push_back(memory("slow", static_cast<int64_t>(needed * uniform(random, 0.3, 2)),
                                                 rate(1e8, 1e10), latencies ? rate(1e-7, 1e-5) : 0,
                                                 random() % 2 == 0 ? 1 : 512));
  }
  // Budgets from "barely fits" to "all fits": device memory of all ranks is a multiple of what one copy needs.
  const Tree tree(topology);
  const double multiple = std::exp(uniform(random, std::log(1.05), std::log(1.5 * static_cast<double>(tree.ranks()))));
  double weight = 0;
  std::vector<double> share;
  for (int rank : level) {
    share.push_back(uniform(random, 0.5, 2));
    weight += share.back() * static_cast<double>(tree.instances(rank));
  }
  for (size_t i = 0; i < level.size(); ++i)
    topology.domains[level[i]].stores[0].capacity_bytes =
        static_cast<int64_t>(needed * multiple * share[i] / weight) + 1;
  return topology;
}

Table table(const std::string& name, TableDistribution access, double lookups, int64_t row_bytes, int64_t state_bytes) {
  return {name, std::move(access), lookups, row_bytes, state_bytes, row_bytes};
}

Workload workload(std::vector<Table> tables, int64_t batch) {
  Workload result;
  result.tables = std::move(tables);
  result.global_batch = batch;
  return result;
}

Workload random_workload(std::mt19937_64& random, int tables) {
  Workload result;
  result.global_batch = integer(random, 16, 4096);
  if (random() % 2 == 0) result.dense_bytes = uniform(random, 0, 1e5);
  result.flops_per_sample = 1;
  for (int t = 0; t < tables; ++t) {
    TableDistribution access;
    access.p.resize(1);
    const int64_t classes = integer(random, 1, 6);
    std::vector<double> mass;
    double total = 0, fall = 1;
    for (int64_t c = 0; c < classes; ++c) {
      access.rows.push_back(integer(random, 1, 1 + (int64_t{1} << integer(random, 0, 14))));
      fall *= uniform(random, 0.05, 0.8);
      mass.push_back(fall);
      total += fall * static_cast<double>(access.rows.back());
    }
    for (double m : mass) access.p[0].push_back(m / total);
    result.tables.push_back(table(fmt::format("t{}", t), access, 1, 4 * integer(random, 4, 128), 4));
  }
  return result;
}

Locality random_locality(std::mt19937_64& random, int tables, int levels) {
  Locality locality;
  locality.local = true;
  locality.first_use = random() % 3 != 0;
  locality.busiest = uniform(random, 1, 1.2);
  locality.sample_bytes = uniform(random, 0, 50);
  locality.new_holder_bytes = uniform(random, 0, 100);
  locality.seconds_per_sample = random() % 2 == 0 ? 0 : std::exp(uniform(random, std::log(1e-11), std::log(1e-7)));
  for (int t = 0; t < tables; ++t) {
    double lookups = uniform(random, 0.01, 2);
    locality.tables.emplace_back();
    for (int64_t bins = integer(random, 0, 4); bins > 0; --bins, lookups *= uniform(random, 1.5, 20)) {
      Locality::Bin bin{lookups, {}, {}};
      for (int l = 0; l < levels; ++l) {
        bin.distinct.push_back(uniform(random, 0.5, 1));
        bin.into.push_back(bin.distinct.back() * uniform(random, 0, 1));
      }
      locality.tables.back().push_back(std::move(bin));
    }
  }
  return locality;
}

double mass_of(const TableDistribution& access) {
  double sum = 0;
  for (size_t c = 0; c < access.classes(); ++c) sum += static_cast<double>(access.rows[c]) * access.p[0][c];
  return sum;
}

double distinct_of(const TableDistribution& access, double draws) {
  double sum = 0;
  for (size_t c = 0; c < access.classes(); ++c)
    sum += static_cast<double>(access.rows[c]) * touched(access.p[0][c], draws);
  return sum;
}

double bytes_needed(const Workload& workload) {
  double sum = 0;
  for (const Table& t : workload.tables)
    sum += static_cast<double>(t.access.total_rows() * (t.row_bytes + t.state_bytes));
  return sum;
}

}  // namespace sparrow::placement
