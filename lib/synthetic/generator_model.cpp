#include "synthetic/generator_model.hpp"

#include <algorithm>
#include <cmath>

#include "base/random.hpp"

namespace sparrow {
namespace {

constexpr uint32_t kSampleStream = 0x63726974;  // "crit": apart from the streams of models and shuffles
constexpr uint32_t kMask31 = 0x7fffffff;

uint32_t column_multiplier(int column) {
  return static_cast<uint32_t>(mix64(static_cast<uint64_t>(column) + 1)) | 1u;
}

/// The inverse of an odd number modulo 2^32, by Newton's iteration: each step doubles the number of right bits, from 3.
uint32_t inverse_multiplier(uint32_t odd) {
  uint32_t x = odd;
  for (int i = 0; i < 4; ++i) x *= 2 - odd * x;
  return x;
}

/// 12 bits that decide, 52 that are the number.
struct Uniform {
  double value;
  double coin;
};
Uniform uniform_of(const uint32_t* words) {
  const uint64_t bits = uint64_t{words[0]} << 32 | words[1];
  return {(static_cast<double>(bits >> 12) + 0.5) * 0x1p-52, static_cast<double>(bits & 0xfff) * 0x1p-12};
}

}  // namespace

uint32_t criteo_value(int column, uint32_t rank) {
  uint32_t x = rank;
  x ^= x >> 16;
  x = x * column_multiplier(column) & kMask31;
  x ^= x >> 16;
  x = x * column_multiplier(column + kCriteoTables) & kMask31;
  return x ^ x >> 16;
}

uint32_t criteo_rank(int column, uint32_t value) {
  uint32_t x = value;  // x ^ x >> 16 is its own inverse for 31 bits: 16 > 31 / 2
  x ^= x >> 16;
  x = x * inverse_multiplier(column_multiplier(column + kCriteoTables)) & kMask31;
  x ^= x >> 16;
  x = x * inverse_multiplier(column_multiplier(column)) & kMask31;
  return x ^ x >> 16;
}

void SampleModel::sample(int64_t number, CriteoSample& out) const {
  double label_uniform;
  out.click_probability = probability(draw(seed_, number, out, label_uniform));
  out.label = label_uniform < out.click_probability;
}

double SampleModel::probability(const Scores& scores) const {
  const double logit = logit_.offset + logit_.integers * scores.integers + logit_.categories * scores.categories;
  return 1 / (1 + std::exp(-logit));
}

SampleModel::Scores SampleModel::draw(uint64_t seed, int64_t number, CriteoSample& out, double& label_uniform) const {
  // Two words per number and backward function, two for the latent class, two for the label, and those of the normals.
  Words words;
  const size_t normals = 2 * (numbers_.size() + functions_.size() + 2), count = normals + kCriteoDense + 1;
  for (size_t i = 0; i < count; i += 4) {
    const Philox4 four = random_words(seed, kSampleStream, static_cast<uint64_t>(number), static_cast<uint32_t>(i / 4));
    std::copy(four.v, four.v + 4, words.begin() + static_cast<std::ptrdiff_t>(i));
  }
  label_uniform = uniform_of(&words[normals - 2]).value;
  Scores scores;
  draw_categories(words, out, scores.categories);
  scores.integers = draw_integers(&words[normals], out);
  for (const Group& group : groups_)
    if ((out.missing_integers & group.integers) != 0) scores.integers += group.label_weight;
  return scores;
}

void SampleModel::draw_categories(const Words& words, CriteoSample& out, double& score) const {
  std::array<double, kMostWords / 2> numbers;
  const uint32_t* word = words.data();
  const double latent = uniform_of(word).value;
  uint32_t missing_columns = 0;
  out.missing_integers = 0;

  for (size_t i = 0; i < numbers_.size(); ++i) {
    const Number& self = numbers_[i];
    const auto [own, coin] = uniform_of(word += 2);
    double& value = numbers[i] = own;
    const Group* group = i < groups_.size() ? &groups_[i] : nullptr;
    if (coin < self.weight) {
      double leader = self.follows == kLatent ? latent : numbers[self.follows];
      if (group == nullptr && self.follows >= 0 && self.follows < std::ssize(groups_)) {
        const double rate = groups_[self.follows].rate;  // what is left once it is not missing
        leader = std::max(0.0, (leader - rate) / (1 - rate));
      }
      const double scaled = leader * kBlocks;
      const auto block = std::min(static_cast<size_t>(scaled), size_t{kBlocks - 1});
      value = group != nullptr && group->same
                  ? leader
                  : (self.permutation[block] + scaled - static_cast<double>(block)) / kBlocks;
    }
    if (group == nullptr) {
      const auto c = static_cast<size_t>(roots_[i - groups_.size()]);
      out.ranks[c] = static_cast<uint32_t>(samplers_[c].rank(value));
    } else if (value < group->rate) {
      out.missing_integers |= group->integers;
      for (const int c : group->columns) missing_columns |= 1u << c;
    }
  }
  for (const Function& f : functions_) {
    word += 2;
    uint32_t &fine = out.ranks[f.fine], &coarse = out.ranks[f.coarse];
    if (f.backwards) {
      fine = static_cast<uint32_t>(f.chooser.fine(coarse, uniform_of(word).value));
    } else {
      coarse = static_cast<uint32_t>(f.map.coarse(fine));
    }
  }
  score = 0;
  for (size_t c = 0; c < kCriteoTables; ++c) {
    if ((missing_columns >> c & 1) != 0) out.ranks[c] = 0;
    if (out.ranks[c] < effects_[c].size()) score += static_cast<double>(effects_[c][out.ranks[c]]);
  }
}

double SampleModel::draw_integers(const uint32_t* words, CriteoSample& out) const {
  std::array<float, kCriteoDense + 1> normal;
  for (size_t i = 0; i < kCriteoDense; i += 2) normal_pair(words[i], words[i + 1], normal[i], normal[i + 1]);
  double score = 0;
  for (size_t i = 0; i < kCriteoDense; ++i) {
    float z = 0;
    for (size_t j = 0; j <= i; ++j) z += factor_[i][j] * normal[j];
    if ((out.missing_integers >> i & 1) != 0) {
      out.integers[i] = 0;
      continue;
    }
    const auto& steps = integers_[i];
    const auto step = std::lower_bound(steps.begin(), steps.end() - 1, z,
                                       [](const IntegerStep& s, float value) { return s.z < value; });
    const float logarithm = step->log0 + step->slope * (z - step->z0);
    out.integers[i] = step->slope == 0 ? step->highest
                                       : std::clamp(static_cast<int64_t>(std::exp(static_cast<double>(logarithm)) - 1),
                                                    step->lowest, step->highest);
    score += static_cast<double>(integer_weights_[i] * logarithm);
  }
  return score;
}

}  // namespace sparrow
