// Classes from a table's histogram: of exact counts, or of a sample with Good-Turing mass for the rows never seen.
#include <algorithm>

#include "access/distributions.hpp"
#include "access/good_turing.hpp"
#include "base/error.hpp"

namespace sparrow {

using placement::TableDistribution;

namespace {

double lookups_of(const Histogram& histogram) {
  double sum = 0;
  for (const CountBin& bin : histogram) sum += static_cast<double>(bin.count) * static_cast<double>(bin.rows);
  return sum;
}

}  // namespace

TableDistribution from_histogram(const Histogram& histogram) {
  if (histogram.empty()) fail("counts: no rows");
  const double lookups = lookups_of(histogram);
  TableDistribution result;
  result.p.resize(1);
  for (const CountBin& bin : histogram) {
    result.rows.push_back(bin.rows);
    result.p[0].push_back(lookups > 0 ? static_cast<double>(bin.count) / lookups : 0);
  }
  return result;
}

TableDistribution from_sample(Histogram histogram, int64_t total_rows) {
  if (!histogram.empty() && histogram.back().count == 0) histogram.pop_back();
  const int64_t seen = rows_of(histogram);
  if (total_rows < 1 || seen > total_rows) fail("counts: {} rows were seen in a table of {}", seen, total_rows);
  const int64_t unseen = total_rows - seen;
  TableDistribution result;
  result.p.resize(1);
  const double lookups = lookups_of(histogram);
  double unseen_mass = 0;
  if (unseen > 0) {  // N_1 / n, kept off 0 and 1 by half a lookup: a finite sample proves neither
    const double singles =
        !histogram.empty() && histogram.back().count == 1 ? static_cast<double>(histogram.back().rows) : 0;
    unseen_mass = seen == 0 ? 1 : std::clamp(singles / lookups, 0.5 / lookups, 1 - 0.5 / lookups);
  }
  const std::vector<double> adjusted = adjusted_counts(histogram);
  double sum = 0;
  for (size_t i = 0; i < histogram.size(); ++i) sum += adjusted[i] * static_cast<double>(histogram[i].rows);
  for (size_t i = 0; i < histogram.size(); ++i) {
    result.rows.push_back(histogram[i].rows);
    result.p[0].push_back((1 - unseen_mass) * adjusted[i] / sum);
  }
  if (unseen > 0) {
    result.rows.push_back(unseen);
    result.p[0].push_back(unseen_mass / static_cast<double>(unseen));
  }
  make_monotone(result.rows, result.p[0]);
  return result;
}

}  // namespace sparrow
