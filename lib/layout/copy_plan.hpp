// What a run needs to know of a placement plan: for every row, at which level it has copies and which ranks hold them.
#pragma once

#include <cstdint>
#include <vector>

#include "layout/hierarchy.hpp"
#include "layout/tables.hpp"

namespace sparrow {

/// How the copies of a row are kept equal, where it has several: gradients of all rows of an interval are all-reduced
/// (dense), or those of the rows that some rank touched are sent with their keys (sparse).
enum class CopyReduction : uint8_t { dense, sparse };

/// Where a copy is at the rank that holds it: in device memory, or in the slower store beyond it (offloaded_rows.hpp).
enum class CopyStore : uint8_t { device, offloaded };

/// Rows with a copy in every domain of `level`. In domain d position p of table t is held by rings[d][(p + offset_t)
/// mod ring size], or by rings[d][holder_slot mod ring size] where the table has a fixed holder.
struct CopyOption {
  int level = 0;
  CopyReduction reduction = CopyReduction::sparse;
  std::vector<std::vector<int>> rings;  ///< by domain of the level: ranks, in slot order
  std::vector<CopyStore> stores;        ///< by domain of the level; empty: device memory everywhere

  bool operator==(const CopyOption&) const = default;
  CopyStore store(int domain) const { return stores.empty() ? CopyStore::device : stores[domain]; }
  bool any_offloaded() const;
};

/// Positions from `first` to the next interval's take options[option], under one of the table's rules.
struct CopyInterval {
  int64_t first = 0;
  int option = 0;
  int rule = 0;
  bool operator==(const CopyInterval&) const = default;
};

/// How the rows of a table that are not at the rank itself reach its samples.
enum class CopyTransport : uint8_t {
  staged,        ///< distinct rows, deduplicated at every level of the hierarchy
  direct,        ///< distinct rows of the rank, from their holders without proxies
  pooled,        ///< the holder adds up the rows of a bag that it holds: one vector per (bag, holder) that has any; no
                 ///< deduplication
  partial_sums,  ///< likewise from every holder, zeros where it has none: the reduce-scatter of row-wise sharding
};

/// Which slot of a ring has a row, and how the row travels.
struct CopyRule {
  CopyTransport transport = CopyTransport::staged;
  int64_t offset = 0;
  int64_t holder_slot = -1;  ///< >= 0: all rows are held by that slot
  bool operator==(const CopyRule&) const = default;
};

struct CopyTable {
  CopyTransport transport = CopyTransport::staged;
  int64_t offset = 0;
  int64_t holder_slot = -1;             ///< >= 0: the whole table is held by that slot
  std::vector<CopyInterval> intervals;  ///< ascending, the first at position 0
  /// Rules 1, 2, ...; rule 0 is the table's own, above. A plan has more than one only while rows move to another plan.
  std::vector<CopyRule> more_rules = {};

  CopyRule rule(int i) const {
    return i == 0 ? CopyRule{transport, offset, holder_slot} : more_rules[static_cast<size_t>(i) - 1];
  }
  int rules() const { return 1 + static_cast<int>(more_rules.size()); }
};

struct CopyPlan {
  std::vector<CopyOption> options;
  std::vector<CopyTable> tables;
  std::vector<int> coming = {};  ///< options that no row may have yet, but some will while rows move

  /// By option: whether some row has it, or will (`coming`).
  std::vector<char> options_in_use() const;
  /// Whether some table, under any of its rules, travels like this.
  bool any_transport(CopyTransport transport) const;

  /// Every row at one level on the hierarchy's own rings; offsets spread so that the tables' hottest rows (position 0)
  /// take turns.
  static CopyPlan uniform(const Tables& tables, const Hierarchy& hierarchy, int level,
                          CopyReduction reduction = CopyReduction::sparse);
};

/// The option with copies in every domain of `level` on the hierarchy's own rings.
CopyOption option_at_level(const Hierarchy& hierarchy, int level, CopyReduction reduction);

}  // namespace sparrow
