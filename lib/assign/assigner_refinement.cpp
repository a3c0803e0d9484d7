#include "assign/assigner_refinement.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.hpp"

namespace sparrow {

namespace {
constexpr int kLanes = 8;
constexpr int kWaiting = 8;
constexpr double kSlack = 0.01;  // of a quota, in the last pass
constexpr float kLeast = 1e-4f;  // a gain that is one
constexpr float kInfinite = std::numeric_limits<float>::infinity();
using Lanes = float __attribute__((vector_size(kLanes * 4)));
using Bits = int32_t __attribute__((vector_size(kLanes * 4)));
constexpr Bits kBit = {1, 2, 4, 8, 16, 32, 64, 128};

uint64_t bit(int child) {
  return uint64_t{1} << child;
}
}  // namespace

template <int kVectors>
struct Refinement::Gains {
  Lanes at[kVectors];

  void clear() {
    for (Lanes& lanes : at) lanes = Lanes{};
  }
  void add(uint64_t children, float weight) {
    const Lanes each = weight - Lanes{};
    for (int v = 0; v < kVectors; ++v) {
      const auto part = static_cast<int32_t>((children >> (v * kLanes)) & 255);
      at[v] += ((part + Bits{}) & kBit) != 0 ? each : Lanes{};
    }
  }
  /// Takes the prices off.
  void pay(const float* price) {
    for (int v = 0; v < kVectors; ++v) {
      Lanes prices;
      std::memcpy(&prices, price + v * kLanes, sizeof prices);
      at[v] -= prices;
    }
  }
  float operator[](int child) const { return at[child / kLanes][child % kLanes]; }
  float most() const {
    Lanes best = at[0];
    for (int v = 1; v < kVectors; ++v) best = at[v] > best ? at[v] : best;
    float most = best[0];
    for (int lane = 1; lane < kLanes; ++lane) most = std::max(most, best[lane]);
    return most;
  }
  int first(float value) const {
    int child = 0;
    while ((*this)[child] != value) ++child;
    return child;
  }
};

void Refinement::begin(int64_t samples, std::span<const int64_t> quota, std::span<int16_t> child) {
  samples_ = samples;
  children_ = static_cast<int>(quota.size());
  quota_ = quota;
  child_ = child;
  rows_.clear();
  counts_.clear();
  list_.clear();
  first_.assign(1, 0);
  split_.clear();
  load_.assign(children_, 0);
  for (const int16_t at : child) ++load_[at];
}

int32_t Refinement::add_row(float weight, int home, bool nobody) {
  rows_.push_back({0, 0, home < 0 ? 0 : bit(home), weight, nobody});
  counts_.resize(counts_.size() + children_, 0);
  return static_cast<int32_t>(rows_.size()) - 1;
}

void Refinement::add_lookup(int32_t row) {
  const int child = child_[first_.size() - 1];
  uint16_t& count = counts_[static_cast<size_t>(row) * children_ + child];
  ++count;
  rows_[row].touched |= bit(child);
  if (count == 1) rows_[row].single |= bit(child);
  if (count == 2) rows_[row].single &= ~bit(child);
  list_.push_back(row);
}

double Refinement::cost() const {
  double cost = 0;
  for (const Row& row : rows_)
    cost += row.weight * static_cast<double>(std::popcount(row.touched & ~row.home) - row.nobody);
  for (int64_t s = 0; s < samples_; ++s)
    for (int64_t i = first_[s]; i < split_[s]; i += 2)
      if (list_[i] != child_[s]) cost += std::bit_cast<float>(list_[i + 1]);
  return cost;
}

/// Gains of a sample as if it were nowhere yet.
template <int kVectors>
void Refinement::weigh(int64_t sample, Gains<kVectors>& gains) const {
  gains.clear();
  const int64_t split = split_[sample], end = first_[sample + 1];
  for (int64_t i = first_[sample]; i < split; i += 2) gains.add(bit(list_[i]), std::bit_cast<float>(list_[i + 1]));
  const uint64_t own = bit(child_[sample]);
  for (int64_t i = split; i < end; ++i) {
    const Row& row = rows_[list_[i]];
    gains.add((row.touched & ~(row.single & own)) | row.home, row.weight);
  }
}

void Refinement::move(int64_t sample, int to) {
  const int from = child_[sample];
  const uint64_t here = bit(from), there = bit(to);
  for (int64_t i = split_[sample]; i < first_[sample + 1]; ++i) {
    Row& row = rows_[list_[i]];
    uint16_t* counts = &counts_[static_cast<size_t>(list_[i]) * children_];
    --counts[from];
    ++counts[to];
    if (counts[from] == 0) row.touched &= ~here, row.single &= ~here;
    if (counts[from] == 1) row.single |= here;
    if (counts[to] == 1) row.touched |= there, row.single |= there;
    if (counts[to] == 2) row.single &= ~there;
  }
  --load_[from];
  ++load_[to];
  child_[sample] = static_cast<int16_t>(to);
}

/// Moves the sample to a child that is full, if one of those that waited to leave it gains together with it.
template <int kVectors>
bool Refinement::exchange(int64_t sample, int to) {
  const int from = child_[sample];
  Gains<kVectors> gains;
  weigh(sample, gains);
  const float gain = gains[to] - gains[from];
  const size_t back = static_cast<size_t>(to) * children_ + from, forth = static_cast<size_t>(from) * children_ + to;
  int32_t* waiting = &waiting_[back * kWaiting];
  int32_t& waits = waits_[back];
  move(sample, to);
  while (waits > 0) {
    const int32_t other = waiting[--waits % kWaiting];
    if (child_[other] != to || other == sample) continue;
    weigh(other, gains);
    if (gain + gains[from] - gains[to] > kLeast) {
      move(other, from);
      return true;
    }
    if (waits % kWaiting == 0) break;
  }
  waits = 0;
  move(sample, from);
  waiting_[forth * kWaiting + waits_[forth]++ % kWaiting] = static_cast<int32_t>(sample);
  return false;
}

template <int kVectors>
void Refinement::sweep(double slack, bool priced) {
  const int64_t block = std::clamp<int64_t>(samples_ / 32, 1, 256);
  wanted_.resize(block);
  for (int c = 0; c < children_; ++c)
    cap_[c] = priced ? static_cast<int64_t>(std::ceil(static_cast<double>(quota_[c]) * (1 + slack))) : quota_[c];
  std::fill(waits_.begin(), waits_.end(), 0);
  int64_t stride = static_cast<int64_t>(static_cast<double>(samples_) * 0.381966) | 1;
  while (std::gcd(stride, samples_) != 1) stride += 2;
  int64_t next = 0;
  for (int64_t begin = 0; begin < samples_; begin += block) {
    const int64_t end = std::min(begin + block, samples_);
    int64_t at = next;
    for (int64_t i = begin; i < end; ++i, at = at + stride < samples_ ? at + stride : at + stride - samples_) {
      Gains<kVectors> gains;
      weigh(at, gains);
      gains.pay(price_.data());
      const float most = gains.most();
      wanted_[i - begin] = most > gains[child_[at]] + kLeast ? static_cast<int16_t>(gains.first(most)) : int16_t{-1};
    }
    at = next;
    for (int64_t i = begin; i < end; ++i, at = at + stride < samples_ ? at + stride : at + stride - samples_) {
      const int to = wanted_[i - begin], from = child_[at];
      if (to < 0 || to == from) continue;
      if (load_[to] >= cap_[to]) {
        exchange<kVectors>(at, to);
        continue;
      }
      move(at, to);
      if (!priced) continue;
      price_[to] += 0.5f / static_cast<float>(quota_[to]);
      price_[from] -= 0.5f / static_cast<float>(quota_[from]);
    }
    next = at;
  }
}

/// Moves samples from children beyond their quotas to those below: of a few hundred, the ones that lose least.
template <int kVectors>
void Refinement::repair() {
  Gains<kVectors> gains;
  for (int from = 0; from < children_; ++from) {
    if (load_[from] <= quota_[from]) continue;
    of_child_.clear();
    for (int64_t s = 0; s < samples_; ++s)
      if (child_[s] == from) of_child_.push_back(s);
    losses_.clear();
    const int64_t tries = std::max<int64_t>(400, 8 * (load_[from] - quota_[from]));
    const int64_t step = std::max<int64_t>(1, std::ssize(of_child_) / tries);
    for (int64_t i = 0; i < std::ssize(of_child_); i += step) {
      weigh(of_child_[i], gains);
      float best = -kInfinite;
      for (int c = 0; c < children_; ++c)
        if (load_[c] < quota_[c]) best = std::max(best, gains[c]);
      losses_.push_back({gains[from] - best, of_child_[i]});
    }
    std::sort(losses_.begin(), losses_.end());
    for (size_t i = 0; load_[from] > quota_[from]; ++i) {
      weigh(losses_[i].second, gains);
      int best = -1;
      for (int c = 0; c < children_; ++c)
        if (load_[c] < quota_[c] && (best < 0 || gains[c] > gains[best])) best = c;
      move(losses_[i].second, best);
    }
  }
}

template <int kVectors>
void Refinement::run_wide(int passes) {
  price_.assign(kVectors * kLanes, kInfinite);
  for (int c = 0; c < children_; ++c)
    if (quota_[c] > 0) price_[c] = 0;
  cap_.resize(children_);
  waiting_.resize(static_cast<size_t>(children_) * children_ * kWaiting);
  waits_.resize(static_cast<size_t>(children_) * children_);
  for (int pass = passes; pass > 0; --pass) sweep<kVectors>(kSlack * pass, true);
  repair<kVectors>();
  for (float& price : price_)
    if (price != kInfinite) price = 0;
  sweep<kVectors>(0, false);
}

void Refinement::run(int passes) {
  if (passes == 0 || samples_ == 0) return;
  if (children_ <= kLanes)
    run_wide<1>(passes);
  else if (children_ <= 2 * kLanes)
    run_wide<2>(passes);
  else if (children_ <= 4 * kLanes)
    run_wide<4>(passes);
  else
    run_wide<8>(passes);
}

}  // namespace sparrow
