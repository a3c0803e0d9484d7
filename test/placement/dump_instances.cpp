// Random instances and what the optimiser found for them, as JSON lines, for compare_highs.py: N instances from seed S.
// Nothing of the cost model is in it: topology, tables and probabilities, the bound and the optimum before rounding.
#include <cstdlib>
#include <iostream>

#include "base/error.hpp"
#include "support.hpp"

using namespace sparrow::placement;

namespace {

std::string number(double value) {
  return std::isinf(value) ? std::string("null") : fmt::format("{:.17g}", value);
}

template <class Range, class Text>
std::string list(const Range& range, Text text) {
  std::string result;
  for (const auto& each : range) result += (result.empty() ? "" : ", ") + text(each);
  return "[" + result + "]";
}

std::string domain_text(const Domain& d) {
  const auto port_text = [](const Port& p) {
    return fmt::format(R"({{"in": {}, "out": {}, "latency": {}, "overhead": {}}})", number(p.in_bytes_per_s),
                       number(p.out_bytes_per_s), number(p.latency_s), number(p.overhead_s));
  };
  const auto store_text = [](const Store& s) {
    return fmt::format(R"({{"capacity": {}, "rate": {}, "latency": {}, "granule": {}}})", s.capacity_bytes,
                       number(s.bytes_per_s), number(s.latency_s), s.granule_bytes);
  };
  return fmt::format(
      R"({{"parent": {}, "count": {}, "ports": {}, "stores": {}, "batch_weight": {}, "flops": {}, "hash": {}, "gather": {},
 "pack": {}, "update": {}, "lists": {}}})",
      d.parent, d.count, list(d.ports, port_text), list(d.stores, store_text), number(d.batch_weight),
      number(d.flops_per_s), number(d.work.hash_ids_per_s), number(d.work.gather_bytes_per_s),
      number(d.work.pack_bytes_per_s), number(d.work.update_bytes_per_s), number(d.work.list_ids_per_s));
}

std::string table_text(const Table& t) {
  return fmt::format(R"({{"rows": {}, "p": {}, "row_bytes": {}, "state_bytes": {}, "wire_bytes": {}, "lookups": {}}})",
                     list(t.access.rows, [](int64_t n) { return fmt::format("{}", n); }), list(t.access.p[0], number),
                     t.row_bytes, t.state_bytes, t.wire_bytes, number(t.lookups));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: dump_instances COUNT SEED\n";
    return 2;
  }
  std::mt19937_64 random(std::strtoull(argv[2], nullptr, 10));
  for (long i = std::strtol(argv[1], nullptr, 10); i > 0; --i) {
    Workload w = random_workload(random, static_cast<int>(integer(random, 1, 30)));
    w.overlapped = i % 2 == 1;
    const Topology topology = random_topology(random, bytes_needed(w));
    SolveOptions options;
    options.compare_strategies = false;
    options.target_gap = 1e-8;
    options.direct = i % 3 == 0;
    Solution solution;
    try {
      solution = solve(topology, w, options);
    } catch (const sparrow::Error& error) {  // a table of one row, and no rank with room for it
      std::cerr << error.what() << '\n';
      continue;
    }
    std::string text = fmt::format(
        R"({{"overlapped": {}, "direct": {}, "batch": {}, "id_bytes": {}, "dense_bytes": {}, "flops_per_sample": {},
 "domains": {}, "tables": {}, "relaxed": {:.17g}, "bound": {:.17g}, "seconds": {:.17g}}})",
        w.overlapped, options.direct, w.global_batch, w.id_bytes, number(w.dense_bytes), number(w.flops_per_sample),
        list(topology.domains, domain_text), list(w.tables, table_text), solution.relaxed_seconds, solution.bound,
        solution.cost.seconds);
    std::erase(text, '\n');
    std::cout << text << '\n';
  }
  return 0;
}
