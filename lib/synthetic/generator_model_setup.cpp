// Construction of the SampleModel: names to numbers, laws to tables, and the calibration of the label.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "base/random.hpp"
#include "synthetic/generator_model.hpp"

namespace sparrow {
namespace {

constexpr uint64_t kCalibrationSeed = 0x5eed;  // the calibration is the same for every seed of the user

/// A standard normal number by hash.
double standard_normal(uint64_t x) {
  float a, b;
  const uint64_t bits = mix64(x);
  normal_pair(static_cast<uint32_t>(bits >> 32), static_cast<uint32_t>(bits), a, b);
  return static_cast<double>(a);
}

/// z with P(standard normal <= z) = p.
float normal_quantile(double p) {
  double low = -6, high = 6;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle * M_SQRT1_2) < p ? low : high) = middle;
  }
  return static_cast<float>(low);
}

float log1p_of(int64_t x) {
  return static_cast<float>(std::log1p(static_cast<double>(std::max<int64_t>(x, 0))));
}

}  // namespace

SampleModel::SampleModel(const CriteoStatistics& statistics, double scale, uint64_t seed)
    : statistics_(statistics), seed_(seed) {
  for (size_t c = 0; c < kCriteoTables; ++c) samplers_[c] = RankSampler(statistics.columns[c], scale);
  add_groups();
  add_roots();
  add_functions();
  add_integers();
  add_effects();
  SPARROW_CHECK(2 * (numbers_.size() + functions_.size() + 2) + kCriteoDense + 4 <= kMostWords);
  calibrate();
}

SampleModel::Number SampleModel::number_following(int follows, double weight) const {
  Number number{follows, weight, {}};
  std::iota(number.permutation.begin(), number.permutation.end(), uint8_t{0});
  const uint64_t salt = mix64(numbers_.size() + 1000);
  std::sort(number.permutation.begin(), number.permutation.end(),
            [&](uint8_t a, uint8_t b) { return mix64(salt + a) < mix64(salt + b); });
  return number;
}

void SampleModel::add_groups() {
  for (const MissingGroup& described : statistics_.missing) {
    Group group{.rate = described.rate, .label_weight = described.label_weight, .columns = {}};
    for (const std::string_view name : words_of(described.columns)) {
      if (name[0] == 'I') group.integers |= 1u << column_index(name);
      if (name[0] == 'C') group.columns.push_back(column_index(name));
    }
    int follows = described.follows == "latent" ? kLatent : kNothing;
    for (size_t g = 0; g < groups_.size(); ++g)
      if (words_of(statistics_.missing[g].columns)[0] == described.follows) follows = static_cast<int>(g);
    group.same = follows >= 0;
    SPARROW_CHECK(described.follows.empty() == (follows == kNothing), "{} follows {}", described.columns,
                  described.follows);
    numbers_.push_back(number_following(follows, described.weight));
    groups_.push_back(std::move(group));
  }
}

void SampleModel::add_roots() {
  for (const RootColumn& described : statistics_.roots) {
    const int column = column_index(described.column);
    int follows = described.follows == "latent" ? kLatent : kNothing;
    if (described.follows == "missing") {
      for (size_t g = 0; g < groups_.size(); ++g)
        if (std::ranges::find(groups_[g].columns, column) != groups_[g].columns.end()) follows = static_cast<int>(g);
    }
    for (size_t r = 0; r < roots_.size(); ++r)
      if (statistics_.roots[r].column == described.follows) follows = static_cast<int>(groups_.size() + r);
    SPARROW_CHECK(described.follows.empty() == (follows == kNothing), "{} follows {}", described.column,
                  described.follows);
    numbers_.push_back(number_following(follows, described.weight));
    roots_.push_back(column);
  }
}

void SampleModel::add_functions() {
  functions_.reserve(statistics_.functions.size());
  for (const ColumnFunction& described : statistics_.functions) {
    Function& f = functions_.emplace_back();
    f.fine = column_index(described.fine);
    f.coarse = column_index(described.coarse);
    f.backwards = described.backwards;
    f.map = RankMap(column(f.fine), column(f.coarse), functions_.size(), f.backwards);
    if (f.backwards) f.chooser = RankChooser(f.map, column(f.fine), column(f.coarse));
  }
}

void SampleModel::add_integers() {
  for (size_t i = 0; i < kCriteoDense; ++i) {
    const IntegerLaw& law = statistics_.integers[i];
    integer_weights_[i] = static_cast<float>(law.label_weight);
    int64_t before = law.lowest - 1;
    float z0 = -4;  // beyond it, 1 in 30,000, everything has the extreme value
    for (const IntegerKnot& knot : law.knots) {
      const float z = std::min(normal_quantile(knot.cumulative), 4.0f);
      IntegerStep step{z, 0, z0, log1p_of(knot.value), before + 1, knot.value};
      if (step.lowest < step.highest) {
        step.log0 = log1p_of(step.lowest);
        step.slope = (log1p_of(step.highest + 1) - step.log0) / std::max(z - z0, 1e-6f);
      }
      integers_[i].push_back(step);
      before = knot.value;
      z0 = z;
    }
  }
  // Cholesky factor of the correlation.
  for (size_t i = 0; i < kCriteoDense; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = statistics_.correlation[i][j];
      for (size_t k = 0; k < j; ++k) sum -= static_cast<double>(factor_[i][k]) * static_cast<double>(factor_[j][k]);
      SPARROW_CHECK(i != j || sum > 0, "the correlation of the integers is not positive definite");
      factor_[i][j] = static_cast<float>(i == j ? std::sqrt(sum) : sum / static_cast<double>(factor_[j][j]));
    }
  }
}

void SampleModel::add_effects() {
  for (const ColumnSignal& signal : statistics_.signals) {
    const int c = column_index(signal.column);
    const std::vector<double>& p = column(c).probabilities();
    std::vector<double> effect(p.size());
    double mean = 0, square = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      effect[i] = p[i] / (p[i] + kRare) * standard_normal(static_cast<uint64_t>(c) << 32 | i);
      mean += p[i] * effect[i];
      square += p[i] * effect[i] * effect[i];
    }
    const double factor = std::sqrt(signal.share / std::max(square - mean * mean, 1e-12));
    std::vector<float>& table = effects_[c];
    table.push_back(0);
    for (const double e : effect) table.push_back(static_cast<float>(factor * (e - mean)));
  }
}

void SampleModel::calibrate() {
  std::vector<Scores> scores(kCalibration);
  CriteoSample sample;
  double unused;
  for (int i = 0; i < kCalibration; ++i) scores[i] = draw(kCalibrationSeed, i, sample, unused);
  auto deviation = [&](auto&& value) {
    double sum = 0, squares = 0;
    for (const Scores& s : scores) sum += value(s), squares += value(s) * value(s);
    return std::sqrt(squares / kCalibration - sum / kCalibration * (sum / kCalibration));
  };
  const double share = statistics_.integer_share;
  logit_.integers = std::sqrt(share) / deviation([](const Scores& s) { return s.integers; });
  logit_.categories = std::sqrt(1 - share) / deviation([](const Scores& s) { return s.categories; });
  auto combined = [&](const Scores& s) { return logit_.integers * s.integers + logit_.categories * s.categories; };
  const double factor = statistics_.logit_deviation / deviation(combined);
  logit_.integers *= factor;
  logit_.categories *= factor;

  double low = -30, high = 30;  // of the offset; the rate of clicks grows with it
  for (int i = 0; i < 60; ++i) {
    logit_.offset = (low + high) / 2;
    double clicks = 0;
    for (const Scores& s : scores) clicks += probability(s);
    (clicks / kCalibration < statistics_.clicks ? low : high) = logit_.offset;
  }
}

}  // namespace sparrow
