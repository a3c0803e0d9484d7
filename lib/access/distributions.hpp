// What makes a table's distribution of accesses (placement/model/distribution.hpp): laws, histograms of counts, counts
// of a sample, counts by access group.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "access/histogram.hpp"
#include "placement/model/distribution.hpp"

namespace sparrow {

/// Classes from exact counts: one per bin. Rows never used get p = 0.
placement::TableDistribution from_histogram(const Histogram& histogram);

/// Classes from counts over a SAMPLE of the lookups of a table of total_rows rows. Rows seen r times get the
/// Good-Turing probability (r + 1) N_{r+1} / N_r / n, with N smoothed log-linearly (Gale and Sampson, 1995) and
/// monotone; rows never seen share the mass N_1 / n equally: a whole is always kept for them, because the next day
/// brings them. A bin of count 0 is ignored. Throws when more rows were seen than there are.
placement::TableDistribution from_sample(Histogram histogram, int64_t total_rows);

/// Classes where ranks see different data: one per bin, in the order of the bins (so that class boundaries stay
/// boundaries of positions), p of each group from its own counts alone.
///
/// sampled: counts are of a sample, and a row that group g has not seen may still come. The mass of such rows is
/// Good-Turing's N_1 / n of the group, kept apart by how often the *other* groups saw the row (0, 1, 2, 3-4, 5-8, ...
/// lookups): N_1 of a stratum are the group's rows seen once there, so what clients share is told from what they do
/// not. Example: of 100 rows that g saw once, others know 90; then 90 % of g's unseen mass goes to rows that others
/// saw.
///
/// ratio: of counts that are alike within a bin, at most. Counts of 1 must have bins of their own in every group. A
/// group without lookups draws as all together do. Throws Error for bins without rows, negative counts or different
/// numbers of groups.
placement::TableDistribution from_group_counts(std::span<const GroupCountBin> bins, bool sampled, double ratio = 1);

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
placement::TableDistribution from_law(const Law& law, int64_t n, double ratio = 1.05);

}  // namespace sparrow
