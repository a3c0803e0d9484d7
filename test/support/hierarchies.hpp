// Shapes of systems that tests run on, and random copy plans for them.
#pragma once

#include <algorithm>
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

/// Flat systems of 1 to 8 ranks, 2 x 2, 2 x 2 x 2, 3 + 1, ranks of a node that are not neighbours, ranks that
/// only ask.
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
  list.push_back({"two proxies of 3", Hierarchy({{0, 0, 0}, {0, 1, 2}}, {1, 0, 1})});
  list.push_back({"server and clients", Hierarchy({{0, 0, 0, 0}, {0, 1, 2, 3}}, {1, 0, 0, 0})});
  return list;
}

/// Random intervals of random options: every level up to max_level, both reductions, and, if asked for, copies in the
/// slower store of some domains or all; some tables with a fixed holder.
inline ResolvedPlan random_plan(const Tables& tables, const Hierarchy& hierarchy, int max_level, std::mt19937& random,
                                bool offloaded = false) {
  ResolvedPlan plan;
  for (int level = 0; level <= max_level; ++level)
    for (const Reduction reduction : {Reduction::sparse, Reduction::dense}) {
      plan.options.push_back(option_at_level(hierarchy, level, reduction));
      if (!offloaded) continue;
      plan.options.push_back(plan.options.back());
      for (int d = 0; d < hierarchy.domains(level); ++d)
        plan.options.back().offloaded.push_back(d == 0 || random() % 2 == 0);
    }
  for (int t = 0; t < tables.count(); ++t) {
    TableRule rule;
    rule.holders.offset = static_cast<int64_t>(random() % 100);
    rule.transport = static_cast<Transport>(random() % 4);
    if (random() % 4 == 0) rule.holders.fixed = static_cast<int64_t>(random() % 3);
    ResolvedTable table{{rule}, {}};
    for (int64_t first = 0; first < tables.rows(t);) {
      const int option = static_cast<int>(random() % plan.options.size());
      const int64_t last = std::min(tables.rows(t), first + 1 + static_cast<int64_t>(random() % 40));
      table.intervals.push_back({{first, last, option}});
      first = last;
    }
    plan.tables.push_back(table);
  }
  return plan;
}

}  // namespace sparrow::test
