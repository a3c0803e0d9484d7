// One sample as a pure function of (data set, scale, seed, sample number): the statistical model behind `sparrow
// generate`.
//
// A sample has a latent class, a number in (0, 1) that columns and missing groups follow: one that follows has, with
// the probability that is its weight, the same number with kBlocks equal blocks of (0, 1) exchanged by a fixed
// permutation, else an independent one. Every number stays uniform in (0, 1), so coupling changes no column's
// distribution; a frequent category has an interval of numbers, so what follows it has few categories beside it. Coarse
// columns are functions of fine ones (generator_map.hpp). Integers are a Gaussian copula. The label is drawn with a
// logit that is a weighted sum of log(1 + integer), missing values, and an effect per category that fades with rarity:
// p / (p + kRare). Offset and scale of the logit are set from kCalibration samples of a fixed seed so that it has the
// standard deviation asked for and clicks have their rate.
//
// What it leaves out: drift over time, and integers that depend on categories (both depend on the click only).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/criteo.hpp"
#include "synthetic/criteo_statistics.hpp"
#include "synthetic/generator_law.hpp"
#include "synthetic/generator_map.hpp"

namespace sparrow {

struct CriteoSample {
  int label = 0;
  double click_probability = 0;                  ///< that the label was drawn with
  uint32_t missing_integers = 0;                 ///< bit i: I(i+1) is missing
  std::array<int64_t, kCriteoDense> integers{};  ///< where present
  std::array<uint32_t, kCriteoTables> ranks{};   ///< category by frequency, 1 = most frequent; 0 = missing
};

/// The value of the category of `rank` in a column (0-based): a bijection of 0 .. 2^31 - 1 that takes 0 (missing) to 0,
/// different for every column, whose values modulo any number are spread evenly. criteo_rank is its inverse. Because
/// values are below 2^31, they are the same in TSV (8 hex digits) and in npy (int32), and so are the ids they give.
uint32_t criteo_value(int column, uint32_t rank);
uint32_t criteo_rank(int column, uint32_t value);

/// Constant after construction (some 0.2 s and 20 MB); any number of threads may call sample().
class SampleModel {
 public:
  static constexpr int kBlocks = 8;
  static constexpr double kRare = 5e-4;
  static constexpr int kCalibration = 20000;

  SampleModel(const CriteoStatistics& statistics, double scale, uint64_t seed);
  SampleModel(const SampleModel&) = delete;  // its maps point to its samplers
  SampleModel& operator=(const SampleModel&) = delete;

  void sample(int64_t number, CriteoSample& out) const;

  const RankSampler& column(int c) const { return samplers_[c]; }

 private:
  static constexpr int kLatent = -1, kNothing = -2;
  /// A number in (0, 1) per sample: of a missing group, or of a root column.
  struct Number {
    int follows = kNothing;  ///< kLatent, or index of an earlier number
    double weight = 0;
    std::array<uint8_t, kBlocks> permutation{};
  };
  struct Group {
    double rate = 0, label_weight = 0;
    bool same = false;  ///< has the very number of what it follows, so that one group's samples lie within the other's
    uint32_t integers = 0;
    std::vector<int> columns;
  };
  struct Function {
    int fine = 0, coarse = 0;
    bool backwards = false;
    RankMap map;
    RankChooser chooser;
  };
  /// Values lowest .. highest of an integer, for normal numbers from z0 to z.
  struct IntegerStep {
    float z;
    float slope;     ///< of log(1 + value) per z; 0: one value
    float z0, log0;  ///< where the step begins
    int64_t lowest, highest;
  };
  struct Scores {
    double integers = 0, categories = 0;
  };
  struct Logit {
    double offset = 0, integers = 0, categories = 0;  ///< logit = offset + integers * score + categories * score
  };
  static constexpr int kMostWords = 128;
  using Words = std::array<uint32_t, kMostWords>;

  void add_groups();
  void add_roots();
  void add_functions();
  void add_integers();
  void add_effects();
  void calibrate();
  Number number_following(int follows, double weight) const;
  /// Everything but the label.
  Scores draw(uint64_t seed, int64_t number, CriteoSample& out, double& label_uniform) const;
  void draw_categories(const Words& words, CriteoSample& out, double& score) const;
  double draw_integers(const uint32_t* words, CriteoSample& out) const;
  double probability(const Scores& scores) const;

  const CriteoStatistics& statistics_;
  uint64_t seed_;
  std::array<RankSampler, kCriteoTables> samplers_;
  std::vector<Number> numbers_;  ///< of groups_, then of roots_
  std::vector<Group> groups_;
  std::vector<int> roots_;  ///< columns
  std::vector<Function> functions_;
  std::array<std::vector<IntegerStep>, kCriteoDense> integers_;
  std::array<std::array<float, kCriteoDense>, kCriteoDense>
      factor_{};  ///< lower triangle: normals with the correlation
  std::array<float, kCriteoDense> integer_weights_{};
  std::array<std::vector<float>, kCriteoTables> effects_;  ///< by rank, 0 = missing; empty: no signal
  Logit logit_;
};

}  // namespace sparrow
