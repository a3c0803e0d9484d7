// Exact counts of each row's lookups: what positions are made from, and histograms (histogram.hpp).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

/// counts[t][id], 8 bytes a row.
using Counts = std::vector<std::vector<int64_t>>;

Counts zero_counts(const TableShapes& shapes);

/// Adds the lookups of samples `range` to `counts` (of zero_counts). Parts counted apart may be added up.
void count_ids(const Dataset& data, SampleRange range, const TableShapes& shapes, Counts& counts);

/// Writes every table_t.npy and histogram_t.npy (histogram.hpp) into `folder`, made if absent.
void save_counts(const std::string& folder, const Counts& counts);
void save_histograms(const std::string& folder, const Counts& counts);  ///< the histograms alone

/// Reads them back. Throws Error if a file is missing, has not rows[t] numbers, or holds a negative one.
Counts load_counts(const std::string& folder, const std::vector<int64_t>& rows);

}  // namespace sparrow
