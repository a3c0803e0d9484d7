// Where rows are, as whoever assigns samples needs to know it: for every rank alike, whichever rank asks (a directory
// knows its own rank's view, and changes while rows move).
#pragma once

#include <cstdint>
#include <vector>

#include "assign/assigner.hpp"
#include "layout/hierarchy.hpp"
#include "layout/holder_map.hpp"
#include "layout/resolved_plan.hpp"
#include "layout/tables.hpp"

namespace sparrow {

/// Constant after construction.
class RowPlaces {
 public:
  enum class Kind : uint8_t {
    free,    ///< it costs nothing where its samples go: it has several copies, or is summed by its holders
    placed,  ///< with one rank, by arithmetic
    mapped,  ///< with the rank that a map names (layout/holder_map.hpp), or with nobody
  };
  struct Place {
    Kind kind = Kind::free;
    int16_t holder = AssignerBatch::kNobody;  ///< of a placed row
    int64_t turn = 0;                         ///< in its domains, its proxy is ring[turn mod its size]
  };

  /// first_use: whether there is a map; without one, rows that it would hold are placed by arithmetic. Refers to
  /// nothing that is passed.
  RowPlaces(const ResolvedPlan& plan, const Tables& tables, bool first_use);

  Place of(int table, int64_t position) const;

 private:
  struct Interval {
    int64_t last;  ///< position behind it
    Kind kind;
    HolderRule rule;
    int option;
  };
  std::vector<std::vector<Interval>> tables_;  ///< [table]: ascending
  std::vector<std::vector<int>> rings_;        ///< [option]: holders of rows with one copy; empty for others
};

/// The system as an assigner sees it.
AssignerTree assigner_tree(const Hierarchy& hierarchy);

}  // namespace sparrow
