// A column that is a function of another: which coarse category belongs to which fine one.
#pragma once

#include <cstdint>
#include <vector>

#include "synthetic/generator_law.hpp"

namespace sparrow {

/// A function from fine ranks to coarse ranks under which drawing the fine rank from its law gives the coarse rank
/// (nearly) its own.
///
/// Stored fine ranks, hottest first, each take the free coarse category of about their probability if there is one,
/// else the one whose unfilled probability fits best: hot categories correspond one to one, and rarer ones merge into
/// hotter ones where the coarse law has fewer of them. A fine rank of the tail is merged into what is still unfilled,
/// or corresponds to the coarse rank at the same share of the tail, as a hash of the rank decides.
class RankMap {
 public:
  RankMap() = default;
  /// onto: every stored coarse rank gets a fine one (possible only if there are as many). The samplers must outlive the
  /// map.
  RankMap(const RankSampler& fine, const RankSampler& coarse, uint64_t salt, bool onto = false);

  int64_t coarse(int64_t fine) const { return fine <= std::ssize(stored_) ? stored_[fine - 1] : coarse_of_tail(fine); }
  /// Coarse ranks of the stored fine ranks 1, 2, ...
  const std::vector<uint32_t>& stored() const { return stored_; }

 private:
  int64_t coarse_of_tail(int64_t fine) const;
  void fill_empty(const std::vector<double>& fine, size_t coarse_ranks);

  const RankSampler* fine_ = nullptr;
  const RankSampler* coarse_ = nullptr;
  uint64_t salt_ = 0;
  std::vector<uint32_t> stored_;
  double merge_ = 1;        ///< probability that a fine rank of the tail is merged
  DiscreteTable unfilled_;  ///< over stored coarse ranks
};

/// The other direction: draws a fine rank among those that a map sends to one coarse rank.
class RankChooser {
 public:
  RankChooser() = default;
  /// All fine ranks must be stored ones.
  RankChooser(const RankMap& map, const RankSampler& fine, const RankSampler& coarse);
  /// The fine rank at u in (0, 1) among those of `coarse`, each as likely as its own law says.
  int64_t fine(int64_t coarse, double u) const;

 private:
  std::vector<uint32_t> begin_;     ///< of each coarse rank's members; one more at the end
  std::vector<uint32_t> members_;   ///< fine ranks, hottest first
  std::vector<double> cumulative_;  ///< probability up to and with this member, within its coarse rank
};

}  // namespace sparrow
