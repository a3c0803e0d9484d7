// How often rows are looked up now, by position: what plans are made from once a run has counted for a while. Positions
// stay what they were when the run began, so a row that became hot or cold since then is out of its order.
//
// A table is divided into **cells**: ranges of positions whose rows are taken to be equally likely, as neighbours in
// the old order are, and single rows whose own count says otherwise: below half or above twice the mean of their range,
// and by more than chance explains (kDeviations standard deviations of a Poisson count). Without that test every row's
// noise would look like drift, and a plan would chase it.
//
// Where ranks see different data all of this is by access group: a cell has a probability for each, and a row is a cell
// of its own if it deviates in any. Positions then begin with the classes that were counted at the start
// (access/group_counts.hpp), whose borders are borders of cells.
//
// Sorted by probability, cells are the classes that the planner knows (placement/model/distribution.hpp).
//
// Example: 8 positions, counts 40 38 41 0 | 3 2 4 39. Cells: {0 1 2}, {3}, {4 5 6}, {7}; classes by probability:
// {0 1 2 7}, {4 5 6}, {3}.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "access/access_counter.hpp"
#include "placement/model/distribution.hpp"

namespace sparrow {

/// Positions first .. end - 1, each with probability p[g] per lookup of access group g.
struct AccessCell {
  int64_t first = 0, end = 0;
  std::vector<double> p;
  bool operator==(const AccessCell&) const = default;
};

/// One table: the cells by position, without gaps, and which of them make up each class.
struct AccessProfile {
  std::vector<AccessCell> cells;
  std::vector<std::vector<int>> cells_of_class;  ///< by who uses them, then by falling p; cells by position
  placement::TableDistribution distribution;     ///< of the classes
};

constexpr double kDeviations = 6;       ///< of 10^9 rows in their order, one or so looks as if it were not
constexpr int kMostSingleCells = 4096;  ///< of a table: those that deviate by most lookups

/// The profile of table `table`; `rows` of it. groups[g]: the counts of access group g. cuts: positions, rising, that
/// no cell of the exactly counted rows reaches across, for what lies before and behind is not alike.
AccessProfile make_profile(std::span<const AccessCounter> groups, int table, int64_t rows,
                           std::span<const int64_t> cuts = {});

}  // namespace sparrow
