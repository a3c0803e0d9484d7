// Rows have two names: ids, as in the data, and positions, by falling access count within their table. This is the
// permutation between them: 4 bytes a row, or nothing where it is the identity.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/npy.hpp"

namespace sparrow {

/// A permutation per table, id -> position; or, from inverse(), position -> id.
class PositionMap {
 public:
  /// The identity for tables of these sizes.
  explicit PositionMap(std::vector<int64_t> rows);
  PositionMap(PositionMap&&) = default;
  PositionMap& operator=(PositionMap&&) = default;
  /// By falling count, equal counts by rising id. counts[t][id]. Example: counts {5, 9, 5} -> ids 0, 1, 2 have
  /// positions 1, 0, 2.
  static PositionMap by_count(const std::vector<std::vector<int64_t>>& counts);
  /// The positions of ids 0, 1, ... of each table: [tables][rows], permutations.
  static PositionMap of(std::vector<std::vector<int32_t>> positions);
  /// Maps what save() wrote; the ranks of a node that load the same folder share one copy in memory. Throws Error if a
  /// file is missing, has not rows[t] numbers, or is no permutation.
  static PositionMap load(const std::string& folder, const std::vector<int64_t>& rows);
  /// Writes positions_00.npy ... (int32) into `folder`, made if absent; an empty array for a table with the identity.
  void save(const std::string& folder) const;

  int tables() const { return static_cast<int>(rows_.size()); }
  int64_t rows(int table) const { return rows_[table]; }
  bool is_identity(int table) const { return view(table).empty(); }
  /// id must be in 0 .. rows(table) - 1.
  int64_t position(int table, int64_t id) const {
    const std::span<const int32_t> map = view(table);
    return map.empty() ? id : map[id];
  }
  /// The table's permutation, [rows(table)]; empty: identity. Valid as long as this object.
  std::span<const int32_t> view(int table) const { return views_[table]; }
  /// The same tables the other way round, in memory of its own. O(rows).
  PositionMap inverse() const;

 private:
  std::vector<int64_t> rows_;
  std::vector<std::vector<int32_t>>
      owned_;  ///< what the views look at: [tables] of one of the two; moving keeps views valid
  std::vector<NpyFile> files_;
  std::vector<std::span<const int32_t>> views_;
};

}  // namespace sparrow
