// How often each row is looked up: what positions and plans are made from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

/// counts[t][id], 8 bytes a row.
using Counts = std::vector<std::vector<int64_t>>;

/// Rows with the same count.
struct CountGroup {
  int64_t count;
  int64_t rows;
  bool operator==(const CountGroup&) const = default;
};

Counts zero_counts(const TableShapes& shapes);

/// Adds the lookups of samples `range` to `counts` (of zero_counts). Parts counted apart may be added up.
void count_ids(const Dataset& data, SampleRange range, const TableShapes& shapes, Counts& counts);

/// The groups of one table by falling count, the last one for rows never seen, if any.
std::vector<CountGroup> count_histogram(const std::vector<int64_t>& counts);

/// Writes into `folder` (made if absent) for table t = 00, 01, ...: table_t.npy, int64 [rows], counts by id; and
/// histogram_t.npy, int64 (groups, 2), rows of (count, number of rows with it) by falling count.
void save_counts(const std::string& folder, const Counts& counts);
void save_histograms(const std::string& folder, const Counts& counts);  ///< the histograms alone

/// Read them back. Throw Error if a file is missing, has not rows[t] numbers (a histogram: counts not falling, or other
/// than rows[t] rows in all), or holds a negative one.
Counts load_counts(const std::string& folder, const std::vector<int64_t>& rows);
std::vector<std::vector<CountGroup>> load_histograms(const std::string& folder, const std::vector<int64_t>& rows);

}  // namespace sparrow
