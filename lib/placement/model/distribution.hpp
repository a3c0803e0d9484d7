// How often the rows of one table are used: classes of rows with (nearly) equal probability, by falling probability, so
// that class boundaries are boundaries of positions. All that planning knows of the data.
//
// p is the probability that one lookup in the table hits one given row; the sum of rows * p over the classes is 1 (or
// less, when part of the lookups goes nowhere). A class of a law or of merged counts has the mean p of its rows, so
// every sum of p is exact; what is approximate is a concave function of p, such as 1 - (1 - p)^b. grouping_error bounds
// its relative error for every b.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
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

/// One line of a histogram of counts: `rows` rows were each used `count` times.
struct CountBin {
  int64_t count = 0;
  int64_t rows = 0;
};

/// Classes from exact counts: one per bin with rows > 0. Rows never used get p = 0. Bins in any order; equal counts are
/// added up.
TableDistribution from_histogram(std::span<const CountBin> bins);

/// The histogram of a stream of counts by row, in memory proportional to the number of different counts, not of rows.
class CountHistogram {
 public:
  void add(std::span<const int64_t> counts);  ///< throws Error naming the row when one is negative
  std::vector<CountBin> bins() const;         ///< by falling count
  int64_t rows() const { return rows_; }

 private:
  std::vector<int64_t> small_;  ///< rows by count, for counts below 2^16, in several parts
  std::vector<int64_t> large_;  ///< the other counts, one per row (few: each needs 2^16 lookups)
  int64_t rows_ = 0;
};

/// Classes from counts over a SAMPLE of the lookups of a table of total_rows rows. Rows seen r times get the
/// Good-Turing probability (r + 1) N_{r+1} / N_r / n, with N smoothed log-linearly (Gale and Sampson, 1995) and
/// monotone; rows never seen share the mass N_1 / n equally: a whole is always kept for them, because the next day
/// brings them. bins may hold a bin of count 0 (ignored). Throws when more rows were seen than there are.
TableDistribution from_sample(std::span<const CountBin> bins, int64_t total_rows);

/// Rows whose counts are alike in every access group, and their lookups by group, all of these rows together.
struct GroupCountBin {
  int64_t rows = 0;
  std::vector<int64_t> lookups;
};

/// Classes where ranks see different data: one per bin, in the order of the bins (so that class boundaries stay
/// boundaries of positions), p of each group from its own counts alone.
///
/// sampled: counts are of a sample, and a row that group g has not seen may still come. The mass of such rows is
/// Good-Turing's N_1 / n of the group, kept apart by how often the *other* groups saw the row (0, 1, 2, 3-4, 5-8, ...
/// lookups): N_1 of a stratum are the group's rows seen once there, so what clients share is told from what they do
/// not. Example: of 100 rows that g saw once, others know 90; then 90 % of g's unseen mass goes to rows that others
/// saw.
///
/// Counts of 1 must have bins of their own in every group. A group without lookups draws as all together do. Throws
/// Error for bins without rows, negative counts or different numbers of groups.
TableDistribution from_group_counts(std::span<const GroupCountBin> bins, bool sampled);

/// A parametric law over ranks r = 1..n: an explicit head, then a tail of one or two slopes that carries the rest of
/// the mass.
///   p_r = head[r-1]                                          for r <= head.size()
///   p_r ~ (r + shift)^-s1 to r = r1, then C (r + shift)^-s2  (continuous at r1)
struct Law {
  std::vector<double> head;  ///< probabilities, falling; sum <= 1
  double s1 = 0;             ///< 0: uniform
  double shift = 0;
  int64_t r1 = 0;  ///< where the second slope begins; 0: never
  double s2 = 0;
};

/// "uniform" | "zipf:S" | "zipf:S+SHIFT" | "two:S1,R1,S2". Throws Error naming the text.
Law parse_law(std::string_view text);

/// Classes of a law over n rows. The first 64 rows are classes of their own; later classes span a ratio of
/// probabilities of at most `ratio`. Sums over classes by Euler-Maclaurin: milliseconds for n = 3e8. A head that is
/// longer than the table is cut and rescaled.
TableDistribution from_law(const Law& law, int64_t n, double ratio = 1.05);

/// One distribution of several access groups from one per group: rows[g][i] is the probability of row i in group g, for
/// small tables (phones). Rows are ordered by the mean over groups weighted with `weights`; rows with equal vectors
/// form a class.
TableDistribution from_groups(std::span<const std::vector<double>> rows, std::span<const double> weights);

/// Merges neighbouring classes whose probabilities (in every group) lie within `ratio`; n, and sums of n p, are kept.
TableDistribution merged(const TableDistribution& distribution, double ratio);

/// sup over x of the relative error of replacing values of 1 - exp(-x) by the value at their mean, when values differ
/// by `ratio`.
double grouping_error_of(double ratio);

}  // namespace sparrow::placement
