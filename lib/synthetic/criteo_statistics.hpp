// What is known about Criteo's two public data sets, as numbers to generate from and to compare with, and for the built-in
// table sets of `sparrow plan`. No rows of either set are here.
//
// Sources. Measured on 10,000 rows of the head of Criteo Terabyte's day_0 and on a uniform 0.3 % sample (137,139 rows) of
// the Kaggle Display Advertising training file. Heads of the rank laws are kept at ranks 1 to 32 and then at every ninth
// per cent. Integer knots and label weights (an L2-regularised logistic regression of clicks on log(1 + x) and missing
// values) were fitted to the Kaggle sample and to the first 5,000 of the Terabyte rows. Rows: the numbers of different
// values that Criteo's users publish, 882,774,559 in all for Terabyte (facebookresearch/dlrm, HugoZHL/CAFE, NVIDIA
// DeepLearningExamples) and 33,762,577 for Kaggle (facebookresearch/dlrm). Bag sizes: the multi-hot variant of MLPerf's
// DLRM-DCNv2 (facebookresearch/dlrm, torchrec_dlrm/README.MD).
//
// Columns are named as everywhere: I1..I13 integers, C1..C26 categories.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "data/criteo.hpp"

namespace sparrow {

struct HeadKnot {
  int rank;            ///< from 1
  double probability;  ///< of the category with this rank; between knots log-log interpolated
};

/// How often the category of rank r (1 = most frequent) is drawn: the knots up to the last knot's rank, head_mass in
/// total; then c r^-s1 up to rank r1 and c' r^-s2 up to rank n, continuous at r1, with the rest of the mass. Missing
/// values are not counted. n is the fit's: beyond the published rows where a sample shows more rare values than those.
struct RankLaw {
  std::span<const HeadKnot> head;
  double head_mass;
  double s1, s2;
  int64_t r1, n;
};

struct IntegerKnot {
  double cumulative;  ///< share of values <= value
  int64_t value;
};

/// Distribution of an integer column where it is present. Values between two knots are spread evenly in log(1 + x).
struct IntegerLaw {
  int64_t lowest;  ///< the least value
  std::span<const IntegerKnot> knots;
  double label_weight;  ///< of log(1 + max(x, 0)) in the logit
};

/// Columns that are missing in the same samples.
struct MissingGroup {
  std::string_view columns;  ///< "I3 I13"
  double rate;
  std::string_view follows;  ///< "latent", the first column of an earlier group, or "" for nothing
  double weight;             ///< probability of following
  double label_weight;       ///< in the logit, when missing
};

/// A column whose category is drawn, not derived from another column's.
struct RootColumn {
  std::string_view column;
  std::string_view follows;  ///< "latent", an earlier root column, "missing" (its own missing group), or "" for nothing
  double weight;             ///< probability of following
};

/// The coarse column is a function of the fine one: without exception in generated data. backwards: the coarse one is
/// known first (it is a function of a third column too) and the fine one is drawn among the categories that have this
/// coarse one.
struct ColumnFunction {
  std::string_view fine, coarse;
  bool backwards = false;
  double exceptions = 0;  ///< share of the samples measured that contradict
};

/// A column's share of the variance of the categorical part of the logit (relative to the sum of all shares).
struct ColumnSignal {
  std::string_view column;
  double share;
};

/// What was measured, for comparison. "Distinct over total": distinct (column, category) pairs in 2,048 successive
/// samples over 26 * 2,048, a missing category being one category. "Top shares": the pairs most frequent in the even
/// samples, and their share of the odd samples.
struct MeasuredFigures {
  int64_t rows;
  double distinct_over_total;
  double hits_in_previous;           ///< share of a batch's accesses to pairs that the batch before used
  std::array<double, 3> top_shares;  ///< top 100, 1,000, 10,000; 0 = not measured
  std::array<std::array<double, 8>, kCriteoDense> quantiles;  ///< of present integers, at kQuantileLevels
  const double (*spearman)[kCriteoDense];                     ///< rank correlations of integers, both present
};
constexpr std::array<double, 8> kQuantileLevels{0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99};

struct CriteoStatistics {
  std::string_view name;
  std::span<const RankLaw, kCriteoTables> columns;
  std::array<int64_t, kCriteoTables> rows;  ///< different values, as published
  std::span<const int> bag_sizes;           ///< of the multi-hot variant; empty: there is none
  std::span<const RootColumn> roots;
  std::span<const ColumnFunction> functions;  ///< in an order in which what each needs is known
  std::span<const MissingGroup> missing;
  std::array<IntegerLaw, kCriteoDense> integers;
  const double (*correlation)[kCriteoDense];  ///< of the normal variables behind the integers; gives the rank
                                              ///< correlations measured
  std::span<const ColumnSignal> signals;
  double logit_deviation;  ///< standard deviation of the logit
  double integer_share;    ///< of the logit's variance
  double clicks;           ///< click rate to generate
  MeasuredFigures measured;
};

const CriteoStatistics& terabyte_statistics();
const CriteoStatistics& kaggle_statistics();
/// By name, "terabyte" or "kaggle". Throws Error for another name.
const CriteoStatistics& criteo_statistics(std::string_view name);

/// Probabilities of ranks 1 to the last knot's, interpolated and scaled to head_mass.
std::vector<double> head_probabilities(const RankLaw& law);

/// The names in "I3 I13".
std::vector<std::string_view> words_of(std::string_view text);
/// Share of the samples without a value in column "C4" or "I4".
double missing_rate(const CriteoStatistics& statistics, std::string_view column);

/// 3 for "C4" or "I4". Throws Error for a name of no column.
int column_index(std::string_view name);

}  // namespace sparrow
