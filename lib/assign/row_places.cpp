#include "assign/row_places.hpp"

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "layout/mapped_rows.hpp"

namespace sparrow {

RowPlaces::RowPlaces(const ResolvedPlan& plan, const Tables& tables, bool first_use) {
  for (const ResolvedOption& option : plan.options)
    rings_.push_back(option.level == 0 ? option.rings.at(0) : std::vector<int>());
  SPARROW_CHECK(static_cast<int>(plan.tables.size()) == tables.count());
  for (const ResolvedTable& table : plan.tables) {
    std::vector<Interval>& intervals = tables_.emplace_back();
    for (const ResolvedInterval& interval : table.intervals) {
      const ResolvedOption& option = plan.options.at(interval.option);
      const TableRule& rule = table.rules.at(interval.rule);
      Kind kind = Kind::placed;
      if (option.level != 0 || is_pooled(rule.transport))
        kind = Kind::free;
      else if (first_use && is_mapped(option, rule))
        kind = Kind::mapped;
      intervals.push_back({interval.last, kind, rule.holders, interval.option});
    }
    SPARROW_CHECK(!intervals.empty());
  }
}

RowPlaces::Place RowPlaces::of(int table, int64_t position) const {
  const std::vector<Interval>& intervals = tables_[table];
  const auto found = std::partition_point(intervals.begin(), intervals.end() - 1,
                                          [&](const Interval& interval) { return interval.last <= position; });
  if (found->kind == Kind::free) return {};
  Place place{found->kind, AssignerBatch::kNobody, position + found->rule.offset};
  if (found->kind == Kind::placed)
    place.holder = static_cast<int16_t>(Holders(found->rule, rings_[found->option]).rank(position));
  return place;
}

AssignerTree assigner_tree(const Hierarchy& hierarchy) {
  SPARROW_CHECK(hierarchy.ranks() <= std::numeric_limits<int16_t>::max());
  if (hierarchy.depth() < 2) return AssignerTree::flat(hierarchy.ranks());
  AssignerTree tree;
  for (int level = 0; level <= hierarchy.depth(); ++level) {
    std::vector<int>& domains = tree.domain_of.emplace_back();
    for (int rank = 0; rank < hierarchy.ranks(); ++rank) domains.push_back(hierarchy.domain(level, rank));
  }
  for (int level = 1; level < hierarchy.depth(); ++level) {
    auto& rings = tree.rings.emplace_back();
    for (int domain = 0; domain < hierarchy.domains(level); ++domain) rings.push_back(hierarchy.ring(level, domain));
  }
  return tree;
}

}  // namespace sparrow
