#include "layout/copy_plan.hpp"

#include <algorithm>

namespace sparrow {

bool CopyOption::any_offloaded() const {
  return std::find(stores.begin(), stores.end(), CopyStore::offloaded) != stores.end();
}

CopyOption option_at_level(const Hierarchy& hierarchy, int level, CopyReduction reduction) {
  CopyOption option{level, reduction, {}, {}};
  for (int d = 0; d < hierarchy.domains(level); ++d) option.rings.push_back(hierarchy.ring(level, d));
  return option;
}

std::vector<char> CopyPlan::options_in_use() const {
  std::vector<char> used(options.size(), 0);
  for (const int option : coming) used[option] = 1;
  for (const CopyTable& table : tables)
    for (const CopyInterval& interval : table.intervals) used[interval.option] = 1;
  return used;
}

bool CopyPlan::any_transport(CopyTransport transport) const {
  for (const CopyTable& table : tables)
    for (int rule = 0; rule < table.rules(); ++rule)
      if (table.rule(rule).transport == transport) return true;
  return false;
}

CopyPlan CopyPlan::uniform(const Tables& tables, const Hierarchy& hierarchy, int level, CopyReduction reduction) {
  CopyPlan plan;
  plan.options.push_back(option_at_level(hierarchy, level, reduction));
  for (int t = 0; t < tables.count(); ++t) plan.tables.push_back({CopyTransport::staged, t, -1, {{0, 0}}, {}});
  return plan;
}

}  // namespace sparrow
