// Shapes of systems that tests run on, and random copy plans for them.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "layout/directory.hpp"
#include "layout/hierarchy.hpp"

namespace sparrow::test {

struct NamedHierarchy {
  std::string name;
  Hierarchy hierarchy;
};

/// Flat systems of 1 to 8 ranks, 2 x 2, 2 x 2 x 2, 3 + 1, ranks of a node that are not neighbours, unequal shares, a
/// pure asker.
inline std::vector<NamedHierarchy> hierarchies() {
  std::vector<NamedHierarchy> list;
  for (const int n : {1, 2, 3, 4, 7}) list.push_back({"flat " + std::to_string(n), Hierarchy::flat(n)});
  list.push_back({"2 x 2", Hierarchy({{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 2, 3}})});
  list.push_back(
      {"2 x 2 x 2",
       Hierarchy(
           {{0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 1, 1, 1, 1}, {0, 0, 1, 1, 2, 2, 3, 3}, {0, 1, 2, 3, 4, 5, 6, 7}})});
  list.push_back({"3 + 1", Hierarchy({{0, 0, 0, 0}, {0, 0, 0, 1}, {0, 1, 2, 3}})});
  list.push_back({"2 x 2 interleaved", Hierarchy({{0, 0, 0, 0}, {0, 1, 0, 1}, {0, 1, 2, 3}})});
  list.push_back({"weights 1 3 2", Hierarchy({{0, 0, 0}, {0, 1, 2}}, {1, 3, 2})});
  list.push_back({"server and clients", Hierarchy({{0, 0, 0, 0}, {0, 1, 2, 3}}, {1, 0, 0, 0})});
  return list;
}

/// Random intervals of random options: every level up to max_level, both reductions, and, if asked for, copies in the
/// slower store of some domains or all; some tables with a fixed holder.
inline CopyPlan random_plan(const Tables& tables, const Hierarchy& hierarchy, int max_level, std::mt19937& random,
                            bool offloaded = false) {
  CopyPlan plan;
  for (int level = 0; level <= max_level; ++level)
    for (const CopyReduction reduction : {CopyReduction::sparse, CopyReduction::dense}) {
      plan.options.push_back(option_at_level(hierarchy, level, reduction));
      if (!offloaded) continue;
      plan.options.push_back(plan.options.back());
      for (int d = 0; d < hierarchy.domains(level); ++d)
        plan.options.back().stores.push_back(d == 0 || random() % 2 == 0 ? CopyStore::offloaded : CopyStore::device);
    }
  for (int t = 0; t < tables.count(); ++t) {
    CopyTable table;
    table.offset = static_cast<int64_t>(random() % 100);
    table.transport = static_cast<CopyTransport>(random() % 4);
    if (random() % 4 == 0) table.holder_slot = 0;
    int64_t first = 0;
    while (first < tables.rows(t)) {
      table.intervals.push_back({first, static_cast<int>(random() % plan.options.size())});
      first += 1 + static_cast<int64_t>(random() % 40);
    }
    plan.tables.push_back(table);
  }
  return plan;
}

}  // namespace sparrow::test
