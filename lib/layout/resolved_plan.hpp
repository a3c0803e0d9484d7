// A placement plan in terms of a run's ranks: sites have become lists of ranks (rings), by domain of the hierarchy.
// Positions, intervals, transports, reductions and the holder rule are the plan's own (placement/model/plan.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "layout/hierarchy.hpp"
#include "layout/holders.hpp"
#include "layout/tables.hpp"
#include "placement/model/plan.hpp"

namespace sparrow {

using placement::Reduction;
using placement::Transport;

/// Rows with a copy in every domain of `level`: in domain d, on the ranks of rings[d], in device memory or in the
/// slower store beyond it (offloaded_rows.hpp).
struct ResolvedOption {
  int level = 0;
  Reduction reduction = Reduction::sparse;
  std::vector<std::vector<int>> rings;  ///< by domain of the level: ranks by number of the holder
  std::vector<char> offloaded;          ///< by domain of the level; empty: nowhere

  bool operator==(const ResolvedOption&) const = default;
  bool offloaded_in(int domain) const { return !offloaded.empty() && offloaded[domain]; }
  bool any_offloaded() const;
};

/// Who holds rows of a table, and how they travel.
struct TableRule {
  Transport transport = Transport::staged;
  HolderRule holders;
  bool operator==(const TableRule&) const = default;
};

/// Positions under one of the table's rules.
struct ResolvedInterval : placement::Interval {
  int rule = 0;
  bool operator==(const ResolvedInterval&) const = default;
};

struct ResolvedTable {
  std::vector<TableRule> rules;             ///< more than one only while rows move to another plan
  std::vector<ResolvedInterval> intervals;  ///< ascending, without gaps, covering all rows

  /// Whether rows travel like this under any of the rules.
  bool travels(Transport transport) const;
};

struct ResolvedPlan {
  std::vector<ResolvedOption> options;
  std::vector<ResolvedTable> tables;
  std::vector<int> coming = {};  ///< options that no row may have yet, but some will while rows move

  /// By option: whether some row has it, or will (`coming`).
  std::vector<char> options_in_use() const;
  bool any_travels(Transport transport) const;

  /// Every row at one level on the hierarchy's own rings; offsets spread so that the tables' hottest rows (position 0)
  /// take turns.
  static ResolvedPlan uniform(const Tables& tables, const Hierarchy& hierarchy, int level,
                              Reduction reduction = Reduction::sparse);
};

/// The option with copies in every domain of `level` on the hierarchy's own rings.
ResolvedOption option_at_level(const Hierarchy& hierarchy, int level, Reduction reduction);

/// Whether holders sum rows of a bag instead of sending them.
inline bool is_pooled(Transport transport) {
  return transport == Transport::pooled || transport == Transport::partial_sums;
}

struct SystemShape;
/// The plan on this system (system_shape.hpp). A rank has one slower store: all of the topology's that it reads and
/// writes, its own and those of the domains above it, are one here.
ResolvedPlan resolve(const placement::Plan& plan, const SystemShape& shape);

}  // namespace sparrow
