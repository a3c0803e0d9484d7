#include "embedding/copy_plan.hpp"

#include <algorithm>

namespace sparrow {

bool CopyOption::any_fetched() const {
  return std::find(stores.begin(), stores.end(), CopyStore::fetched) != stores.end();
}

CopyOption option_at_level(const Hierarchy& hierarchy, int level, CopyReduction reduction) {
  CopyOption option{level, reduction, {}, {}};
  for (int d = 0; d < hierarchy.domains(level); ++d) option.rings.push_back(hierarchy.ring(level, d));
  return option;
}

CopyPlan CopyPlan::uniform(const Tables& tables, const Hierarchy& hierarchy, int level, CopyReduction reduction) {
  CopyPlan plan;
  plan.options.push_back(option_at_level(hierarchy, level, reduction));
  for (int t = 0; t < tables.count(); ++t) plan.tables.push_back({CopyTransport::staged, t, -1, {{0, 0}}});
  return plan;
}

}  // namespace sparrow
