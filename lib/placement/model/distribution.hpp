// How often the rows of one table are used: classes of rows with (nearly) equal probability, by falling probability, so
// that class boundaries are boundaries of positions. All that planning knows of the data; what makes it, from laws and
// from counts, is in lib/access.
//
// p is the probability that one lookup in the table hits one given row; the sum of rows * p over the classes is 1 (or
// less, when part of the lookups goes nowhere). A class of a law or of merged counts has the mean p of its rows, so
// every sum of p is exact; what is approximate is a concave function of p, such as 1 - (1 - p)^b. grouping_error bounds
// its relative error for every b.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sparrow::placement {

struct TableDistribution {
  std::vector<int64_t> rows;           ///< n_c > 0
  std::vector<std::vector<double>> p;  ///< [access group][class]; one group unless ranks see different data
  double grouping_error = 0;           ///< sup over b of the relative error of a class's expected distinct rows

  size_t classes() const { return rows.size(); }
  int64_t total_rows() const;
};

/// Throws Error naming `what` unless rows are positive, probabilities are in [0, 1] and sum (with rows) to at most 1 +
/// 1e-6, and every group has one per class.
void validate(const TableDistribution& distribution, const std::string& what);

/// sup over x of the relative error of replacing values of 1 - exp(-x) by the value at their mean, when values differ
/// by `ratio`.
double grouping_error_of(double ratio);

}  // namespace sparrow::placement
