#include "synthetic/generator_map.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/random.hpp"

namespace sparrow {
namespace {

constexpr double kSameProbability = 0.05;  // relative difference at which a free coarse category counts as "the same"

double uniform_of_hash(uint64_t x, uint64_t salt) {
  const uint64_t bits = mix64(x ^ mix64(salt));
  return uniform_double(static_cast<uint32_t>(bits >> 32), static_cast<uint32_t>(bits));
}

/// Coarse categories by unfilled probability.
class Bins {
 public:
  explicit Bins(const std::vector<double>& capacity) : unfilled_(capacity) {
    for (size_t i = 0; i < capacity.size(); ++i) free_.emplace_hint(free_.begin(), capacity[i], i);
    open_ = free_;
  }

  /// Puts p into the bin chosen by RankMap's rule and returns it.
  size_t put(double p) {
    auto place = free_.lower_bound({p * (1 - kSameProbability), 0});
    if (place == free_.end() || place->first > p * (1 + kSameProbability)) {
      place = open_.lower_bound({p, 0});
      if (place == open_.end()) --place;  // larger than everything unfilled: the least overfull
    }
    const size_t bin = place->second;
    free_.erase({unfilled_[bin], bin});
    open_.erase({unfilled_[bin], bin});
    unfilled_[bin] -= p;
    open_.emplace(unfilled_[bin], bin);
    return bin;
  }

  const std::vector<double>& unfilled() const { return unfilled_; }

 private:
  std::vector<double> unfilled_;
  std::set<std::pair<double, size_t>> free_, open_;  // free: still empty; open: all
};

}  // namespace

RankMap::RankMap(const RankSampler& fine, const RankSampler& coarse, uint64_t salt, bool onto)
    : fine_(&fine), coarse_(&coarse), salt_(salt) {
  Bins bins(coarse.probabilities());
  for (const double p : fine.probabilities()) stored_.push_back(static_cast<uint32_t>(bins.put(p) + 1));
  if (onto) fill_empty(fine.probabilities(), coarse.probabilities().size());

  std::vector<double> unfilled = bins.unfilled();
  double sum = 0;
  for (double& w : unfilled) sum += w = std::max(w, 0.0);
  unfilled_ = DiscreteTable(sum > 0 ? unfilled : coarse.probabilities());
  if (coarse.tail_mass() > 0) merge_ = sum / (sum + coarse.tail_mass());
}

int64_t RankMap::coarse_of_tail(int64_t fine) const {
  const double u = uniform_of_hash(static_cast<uint64_t>(fine), salt_);
  if (u < merge_) return 1 + unfilled_.find(u / merge_ * unfilled_.total());
  return coarse_->tail_rank(fine_->tail_share(fine));
}

void RankMap::fill_empty(const std::vector<double>& fine, size_t coarse_ranks) {
  SPARROW_CHECK(fine.size() >= coarse_ranks, "{} fine ranks cannot cover {}", fine.size(), coarse_ranks);
  std::vector<uint32_t> members(coarse_ranks + 1);
  for (const uint32_t c : stored_) ++members[c];
  size_t donor = stored_.size();
  for (uint32_t c = 1; c <= coarse_ranks; ++c) {
    if (members[c] > 0) continue;
    do --donor;
    while (members[stored_[donor]] < 2);  // the rarest fine rank that is not alone
    --members[stored_[donor]];
    stored_[donor] = c;
    members[c] = 1;
  }
}

RankChooser::RankChooser(const RankMap& map, const RankSampler& fine, const RankSampler& coarse) {
  SPARROW_CHECK(fine.tail_mass() <= 0 && coarse.tail_mass() <= 0);
  begin_.resize(coarse.probabilities().size() + 2);
  for (const uint32_t c : map.stored()) ++begin_[c + 1];
  for (size_t c = 1; c < begin_.size(); ++c) begin_[c] += begin_[c - 1];
  members_.resize(map.stored().size());
  cumulative_.resize(map.stored().size());
  std::vector<uint32_t> next(begin_.begin(), begin_.end());
  for (size_t i = 0; i < map.stored().size(); ++i) {
    const uint32_t c = map.stored()[i], at = next[c]++;
    members_[at] = static_cast<uint32_t>(i + 1);
    cumulative_[at] = fine.probabilities()[i] + (at > begin_[c] ? cumulative_[at - 1] : 0);
  }
}

int64_t RankChooser::fine(int64_t coarse, double u) const {
  const auto first = begin_[coarse], last = begin_[coarse + 1];
  const double x = u * cumulative_[last - 1];
  const auto found = std::upper_bound(cumulative_.begin() + first, cumulative_.begin() + last - 1, x);
  return members_[found - cumulative_.begin()];
}

}  // namespace sparrow
