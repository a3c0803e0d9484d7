// How often the categories of Criteo's two public data sets are used: what the generator draws from and what the
// built-in table sets of `sparrow plan` are made of. No rows of either set are here.
//
// Sources. Laws and missing rates: fitted to 10,000 rows of the head of Criteo Terabyte's day_0 and to a uniform 0.3 %
// sample (137,139 rows) of the Kaggle Display Advertising training file; heads are kept at ranks 1 to 32 and then at
// every ninth per cent. Rows: the numbers of different values that Criteo's users publish, 882,774,559 in all for
// Terabyte (facebookresearch/dlrm, HugoZHL/CAFE, NVIDIA DeepLearningExamples) and 33,762,577 for Kaggle
// (facebookresearch/dlrm). Bag sizes: the multi-hot variant of MLPerf's DLRM-DCNv2 (facebookresearch/dlrm,
// torchrec_dlrm/README.MD).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/criteo.hpp"

namespace sparrow {

constexpr int kCriteoCategories = 26;  ///< C1 .. C26

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

extern const std::array<RankLaw, kCriteoCategories> kTerabyteLaws;
extern const std::array<int64_t, kCriteoCategories> kTerabyteRows;    ///< published
extern const std::array<double, kCriteoCategories> kTerabyteMissing;  ///< share of samples without a value
extern const std::array<int, kCriteoCategories> kTerabyteBagSizes;    ///< of the multi-hot variant

extern const std::array<RankLaw, kCriteoCategories> kKaggleLaws;
extern const std::array<int64_t, kCriteoCategories> kKaggleRows;
extern const std::array<double, kCriteoCategories> kKaggleMissing;

/// Probabilities of ranks 1 to the last knot's, interpolated and scaled to head_mass.
std::vector<double> head_probabilities(const RankLaw& law);

}  // namespace sparrow
