#include "layout/resolved_plan.hpp"

#include <algorithm>

#include "layout/system_shape.hpp"

namespace sparrow {

bool ResolvedOption::any_offloaded() const {
  return std::find(offloaded.begin(), offloaded.end(), 1) != offloaded.end();
}

bool ResolvedTable::travels(Transport transport) const {
  return std::any_of(rules.begin(), rules.end(), [&](const TableRule& rule) { return rule.transport == transport; });
}

std::vector<char> ResolvedPlan::options_in_use() const {
  std::vector<char> used(options.size(), 0);
  for (const int option : coming) used[option] = 1;
  for (const ResolvedTable& table : tables)
    for (const ResolvedInterval& interval : table.intervals) used[interval.option] = 1;
  return used;
}

bool ResolvedPlan::any_travels(Transport transport) const {
  return std::any_of(tables.begin(), tables.end(), [&](const ResolvedTable& t) { return t.travels(transport); });
}

ResolvedPlan ResolvedPlan::uniform(const Tables& tables, const Hierarchy& hierarchy, int level, Reduction reduction) {
  ResolvedPlan plan;
  plan.options.push_back(option_at_level(hierarchy, level, reduction));
  for (int t = 0; t < tables.count(); ++t)
    plan.tables.push_back({{{Transport::staged, {t}}}, {{{0, tables.rows(t), 0}}}});
  return plan;
}

ResolvedOption option_at_level(const Hierarchy& hierarchy, int level, Reduction reduction) {
  ResolvedOption option{level, reduction, {}, {}};
  for (int d = 0; d < hierarchy.domains(level); ++d) option.rings.push_back(hierarchy.ring(level, d));
  return option;
}

namespace {

/// The ranks that serve the instances of a site inside one domain, in the order of the holder rule: instance by
/// instance, and where several ranks share one (a store above them), each in its turn. `instances`: the ranks below.
std::vector<int> serving_ranks(const std::vector<std::vector<int>>& instances) {
  std::vector<int> ring;
  for (size_t turn = 0; !instances.empty() && turn < instances[0].size(); ++turn)
    for (const std::vector<int>& ranks : instances) ring.push_back(ranks[turn]);
  return ring;
}

ResolvedOption resolve(const placement::Option& option, const placement::Tree& tree, const SystemShape& shape) {
  ResolvedOption result{shape.hierarchy_level[option.level], option.reduction, {}, {}};
  const int domains = shape.hierarchy.domains(result.level);
  result.rings.resize(domains);
  result.offloaded.resize(domains);
  const std::vector<int>& types = tree.at_level(option.level);
  for (size_t i = 0; i < types.size(); ++i) {
    const placement::Site site = option.sites[i];
    for (const std::vector<int>& inside : shape.instances[types[i]]) {
      std::vector<std::vector<int>> instances;
      for (const std::vector<int>& ranks : shape.instances[site.domain])
        if (std::find(inside.begin(), inside.end(), ranks[0]) != inside.end()) instances.push_back(ranks);
      const int domain = shape.hierarchy.domain(result.level, inside[0]);
      result.rings[domain] = serving_ranks(instances);
      result.offloaded[domain] = !tree.is_device(site);
    }
  }
  return result;
}

}  // namespace

ResolvedPlan resolve(const placement::Plan& plan, const SystemShape& shape) {
  const placement::Tree tree(shape.topology);
  ResolvedPlan result;
  for (const placement::Option& option : plan.options) result.options.push_back(resolve(option, tree, shape));
  for (const placement::TablePlan& table : plan.tables) {
    result.tables.push_back({{{table.transport, table.holders}}, {}});
    for (const placement::Interval& interval : table.intervals) result.tables.back().intervals.push_back({interval});
  }
  return result;
}

}  // namespace sparrow
