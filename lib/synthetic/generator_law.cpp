#include "synthetic/generator_law.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace sparrow {
namespace {

/// Integral of x^-s from a to b; s is never exactly 1 in a fitted law, but the limit is right there too.
double power_integral(double a, double b, double s) {
  if (b <= a) return 0;
  if (std::abs(1 - s) < 1e-9) return std::log(b / a);
  return (std::pow(b, 1 - s) - std::pow(a, 1 - s)) / (1 - s);
}

/// The x with power_integral(a, x, s) = t * power_integral(a, b, s).
double power_quantile(double a, double b, double s, double t) {
  if (std::abs(1 - s) < 1e-9) return a * std::pow(b / a, t);
  const double first = std::pow(a, 1 - s);
  return std::pow(first + t * (std::pow(b, 1 - s) - first), 1 / (1 - s));
}

}  // namespace

DiscreteTable::DiscreteTable(const std::vector<double>& weights) : cumulative_(weights.size()) {
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) cumulative_[i] = sum += weights[i];
  SPARROW_CHECK(sum > 0 && weights.size() < (uint64_t{1} << 32), "sum {}, {} weights", sum, weights.size());
  cells_per_unit_ = static_cast<double>(weights.size()) / sum;
  guide_.resize(weights.size() + 1);
  uint32_t i = 0;
  for (size_t cell = 0; cell <= weights.size(); ++cell) {
    while (i + 1 < weights.size() && cumulative_[i] <= static_cast<double>(cell) / cells_per_unit_) ++i;
    guide_[cell] = i;
  }
}

int64_t DiscreteTable::find(double x) const {
  const size_t cell = std::min(static_cast<size_t>(x * cells_per_unit_), guide_.size() - 2);
  // One entry more on either side: the products above and below may round differently at a cell's edge.
  const auto first = cumulative_.begin() + (guide_[cell] > 0 ? guide_[cell] - 1 : 0);
  const auto last = cumulative_.begin() + std::min<int64_t>(guide_[cell + 1] + 2, std::ssize(cumulative_));
  auto found = std::upper_bound(first, last, x);
  if (found == cumulative_.end()) found = std::lower_bound(cumulative_.begin(), cumulative_.end(), cumulative_.back());
  return found - cumulative_.begin();
}

RankSampler::RankSampler(const RankLaw& law, double scale) {
  const auto scaled = static_cast<int64_t>(std::llround(static_cast<double>(law.n) * scale));
  ranks_ = std::max(scaled, std::min(law.n, kLeast));
  probabilities_ = head_probabilities(law);
  const auto head = std::ssize(probabilities_);

  // The tail's constants come from the whole law; only then is it cut at ranks_.
  const double bend = static_cast<double>(std::max(law.r1, head)), end = static_cast<double>(law.n);
  const double steep = std::pow(bend, law.s2 - law.s1);  // makes the second power continue the first
  auto density = [&](double r) { return r <= bend ? std::pow(r, -law.s1) : steep * std::pow(r, -law.s2); };
  auto mass = [&](double a, double b) {
    return power_integral(std::min(a, bend) + 0.5, std::min(b, bend) + 0.5, law.s1) +
           steep * power_integral(std::max(a, bend) + 0.5, std::max(b, bend) + 0.5, law.s2);
  };
  const int64_t stored = std::min(law.n, kExplicit);
  double unscaled = mass(static_cast<double>(std::max(head, stored)), end);
  for (int64_t r = head + 1; r <= stored; ++r) unscaled += density(static_cast<double>(r));
  const double factor = unscaled > 0 ? (1 - law.head_mass) / unscaled : 0;
  for (int64_t r = head + 1; r <= stored; ++r) probabilities_.push_back(factor * density(static_cast<double>(r)));

  probabilities_.resize(std::min(ranks_, stored));
  const double from = static_cast<double>(stored), to = static_cast<double>(std::max(ranks_, stored));
  tail_mass_ = factor * mass(from, to);
  double total = tail_mass_;
  for (const double p : probabilities_) total += p;
  for (double& p : probabilities_) p /= total;
  tail_mass_ /= total;
  table_ = DiscreteTable(probabilities_);

  const double split = std::clamp(bend, from, to), whole = mass(from, to);
  if (whole > 0) {
    pieces_[0] = {from, split, law.s1, mass(from, split) / whole};
    pieces_[1] = {split, to, law.s2, mass(split, to) / whole};
  }
}

int64_t RankSampler::rank(double u) const {
  if (u < table_.total() || tail_mass_ <= 0) return 1 + table_.find(u);
  return tail_rank((u - table_.total()) / tail_mass_);
}

int64_t RankSampler::tail_rank(double t) const {
  const bool second = pieces_[1].share > 0 && t >= pieces_[0].share;
  const Piece& piece = pieces_[second];
  const double inside = std::clamp((t - (second ? pieces_[0].share : 0)) / piece.share, 0.0, 1.0);
  const double x = power_quantile(piece.from + 0.5, piece.to + 0.5, piece.s, inside);
  return static_cast<int64_t>(std::clamp(std::floor(x + 0.5), piece.from + 1, piece.to));
}

double RankSampler::tail_share(int64_t rank) const {
  const double x = static_cast<double>(rank);
  const Piece& piece = pieces_[x > pieces_[0].to];
  const double before = x > pieces_[0].to ? pieces_[0].share : 0;
  return before + piece.share * power_integral(piece.from + 0.5, x, piece.s) /
                      power_integral(piece.from + 0.5, piece.to + 0.5, piece.s);
}

}  // namespace sparrow
