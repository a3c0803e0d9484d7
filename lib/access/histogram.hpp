// How many rows of a table were looked up how often: what plans are made from. Counts go through once, and through files
// of a counts folder, by table t = 00, 01, ...:
//   histogram_t.npy   int64 (bins, 2), rows of (count, number of rows with it) by falling count
//   table_t.npy       int64 [rows], counts by id (counts.hpp), of which a histogram can be made
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sparrow {

/// `rows` rows were each looked up `count` times.
struct CountBin {
  int64_t count = 0;
  int64_t rows = 0;
  bool operator==(const CountBin&) const = default;
};

/// Of one table: by falling count, each bin with rows; the last one of rows never looked up, if any.
using Histogram = std::vector<CountBin>;

/// Rows whose counts are alike in every access group, and their lookups by group, all of these rows together.
struct GroupCountBin {
  int64_t rows = 0;
  std::vector<int64_t> lookups;
  bool operator==(const GroupCountBin&) const = default;
};

int64_t rows_of(const Histogram& histogram);

/// The histogram of a stream of counts by row, in memory proportional to the number of different counts, not of rows.
class CountHistogram {
 public:
  void add(std::span<const int64_t> counts);  ///< throws Error naming the row when one is negative
  Histogram bins() const;
  int64_t rows() const { return rows_; }

 private:
  std::vector<int64_t> small_;  ///< rows by count, for counts below 2^16, in several parts
  std::vector<int64_t> large_;  ///< the other counts, one per row (few: each needs 2^16 lookups)
  int64_t rows_ = 0;
};

Histogram histogram_of(std::span<const int64_t> counts);

/// The path of `what`_t.npy.
std::string counts_file(const std::string& folder, const char* what, int64_t table);

void save_histogram(const std::string& folder, int64_t table, const Histogram& histogram);

/// From histogram_t.npy or, where that is absent, table_t.npy; nothing if neither is there. Throws Error for files that
/// are no histogram: counts that are negative or do not fall, bins without rows, no rows or more than 2^63.
std::optional<Histogram> load_histogram(const std::string& folder, int64_t table);

/// Those of tables of these sizes: also throws Error where one is absent or has not rows[t] rows.
std::vector<Histogram> load_histograms(const std::string& folder, const std::vector<int64_t>& rows);

}  // namespace sparrow
