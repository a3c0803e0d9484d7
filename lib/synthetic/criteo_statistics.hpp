// What is known about Criteo's two public data sets, as numbers to generate from and to compare with. No rows of either
// set are here.
//
// Source: measured on 10,000 rows of the head of Criteo Terabyte's day_0 and on a uniform 0.3 % sample (137,139 rows)
// of the Kaggle Display Advertising training file, with the cardinalities that Criteo and MLPerf publish. Heads of the
// rank laws are kept at ranks 1 to 32 and then at every ninth per cent. Integer knots and label weights (an
// L2-regularised logistic regression of clicks on log(1 + x) and missing values) were fitted to the Kaggle sample and
// to the first 5,000 of the Terabyte rows.
//
// Columns are named as everywhere: I1..I13 integers, C1..C26 categories.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "data/batch.hpp"
#include "data/criteo.hpp"
#include "synthetic/criteo_marginals.hpp"

namespace sparrow {

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
  std::array<double, kCriteoTables> column_distinct;  ///< the same per column
  double hits_in_previous;           ///< share of a batch's accesses to pairs that the batch before used
  std::array<double, 3> top_shares;  ///< top 100, 1,000, 10,000; 0 = not measured
  double clicks;
  std::array<double, kCriteoDense> integer_missing;
  std::span<const double, kCriteoTables> column_missing;
  std::array<std::array<double, 8>, kCriteoDense> quantiles;  ///< of present integers, at kQuantileLevels
  const double (*spearman)[kCriteoDense];                     ///< rank correlations of integers, both present
};
constexpr std::array<double, 8> kQuantileLevels{0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99};

struct CriteoStatistics {
  std::string_view name;
  std::span<const RankLaw, kCriteoTables> columns;  ///< base/criteo_marginals.hpp
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

/// 3 for "C4" or "I4". Throws Error for a name of no column.
int column_index(std::string_view name);

}  // namespace sparrow
