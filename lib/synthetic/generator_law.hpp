// Drawing ranks: a table of probabilities, and the law of one column's categories, which may have hundreds of millions
// of ranks.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "synthetic/criteo_statistics.hpp"

namespace sparrow {

/// Inverse of a cumulative distribution over 0 .. n-1, with a guide table: nearly constant time for any distribution.
class DiscreteTable {
 public:
  DiscreteTable() = default;
  /// Weights not negative; at least one positive.
  explicit DiscreteTable(const std::vector<double>& weights);

  double total() const { return cumulative_.empty() ? 0 : cumulative_.back(); }
  /// The least i with x < weights[0] + ... + weights[i]; the last one of positive weight for x >= total().
  int64_t find(double x) const;

 private:
  std::vector<double> cumulative_;
  std::vector<uint32_t> guide_;
  double cells_per_unit_ = 0;
};

/// A RankLaw cut at `ranks` and normalised. Ranks up to kExplicit have stored probabilities; the tail beyond them is
/// integrated, with pieces of one power each, so memory does not depend on the number of ranks.
class RankSampler {
 public:
  static constexpr int64_t kExplicit = 16384;
  static constexpr int64_t kLeast = 1000;

  RankSampler() = default;
  /// The number of ranks is law.n * scale, rounded, but not less than the smaller of law.n and
  /// kLeast: cutting middle-sized columns further would spoil the shape and save no memory.
  RankSampler(const RankLaw& law, double scale);

  int64_t ranks() const { return ranks_; }
  /// Probabilities of ranks 1, 2, ... as far as stored; their sum is 1 - tail_mass().
  const std::vector<double>& probabilities() const { return probabilities_; }
  double tail_mass() const { return tail_mass_; }

  /// The rank at u in (0, 1): increasing, and rank r has an interval as long as its probability.
  int64_t rank(double u) const;
  /// The rank beyond the stored ones at share t in [0, 1] of the tail's mass, and the inverse.
  int64_t tail_rank(double t) const;
  double tail_share(int64_t rank) const;

 private:
  /// Ranks from + 1/2 to to + 1/2, probability proportional to r^-s.
  struct Piece {
    double from = 0, to = 0, s = 0, share = 0;  ///< share of the tail's mass
  };
  int64_t ranks_ = 0;
  std::vector<double> probabilities_;
  DiscreteTable table_;
  double tail_mass_ = 0;
  std::array<Piece, 2> pieces_;
};

}  // namespace sparrow
