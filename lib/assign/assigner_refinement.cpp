#include "assign/assigner_refinement.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.hpp"

namespace sparrow {

namespace {
constexpr int kLanes = 4;
constexpr int kWaiting = 8;              // samples that wait for an exchange between two children
constexpr double kSlack = 0.01;          // of a quota, in the last priced sweep
constexpr float kPriceStep = 0.5f;       // times the quota's part that a sample is
constexpr int kLastSweeps = 2;           // with exact quotas
constexpr int64_t kBlocks = 32;          // of a sweep
constexpr int64_t kLargestBlock = 2048;  // samples
constexpr int64_t kPart = 64;            // fewest samples that are worth a thread
constexpr float kLeast = 1e-4f;          // a gain that is one
constexpr float kInfinite = std::numeric_limits<float>::infinity();
using Lanes = float __attribute__((vector_size(kLanes * 4)));
using Bits = int32_t __attribute__((vector_size(kLanes * 4)));
constexpr Bits kBit = {1, 2, 4, 8};

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
    const auto each = std::bit_cast<Bits>(weight - Lanes{});
    for (int v = 0; v < kVectors; ++v) {
      const Bits part = static_cast<int32_t>(children >> (v * kLanes)) - Bits{};
      at[v] += std::bit_cast<Lanes>(((part & kBit) == kBit) & each);
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

void Refinement::begin(std::span<const int64_t> quota, std::span<int16_t> child) {
  samples_ = std::ssize(child);
  children_ = static_cast<int>(quota.size());
  quota_ = quota;
  child_ = child;
  rows_.clear();
  first_.assign(1, 0);
  lengths_.resize(samples_);
}

int32_t Refinement::add_row(float weight, int home, bool nobody) {
  rows_.push_back({0, 0, home < 0 ? 0 : bit(home), weight, nobody});
  return static_cast<int32_t>(rows_.size()) - 1;
}

Refinement::Entry Refinement::entry(int64_t sample) {
  Entry entry;
  entry.begin_ = entry.at_ = entry.split_ = &list_[first_[sample]];
  return entry;
}

void Refinement::enter(int64_t sample, const Entry& entry) {
  lengths_[sample] = {static_cast<int32_t>(entry.split_ - entry.begin_),
                      static_cast<int32_t>(entry.at_ - entry.begin_)};
}

void Refinement::count_lookups() {
  counts_.assign(rows_.size() * children_, 0);
  load_.assign(children_, 0);
  for (int64_t s = 0; s < samples_; ++s) {
    const int child = child_[s];
    const uint64_t here = bit(child);
    ++load_[child];
    for (const int32_t number : lookups(s)) {
      const uint16_t count = ++counts_[static_cast<size_t>(number) * children_ + child];
      Row& row = rows_[number];
      row.touched |= here;
      row.single ^= count <= 2 ? here : 0;  // set by the first, cleared by the second
    }
  }
}

double Refinement::cost() const {
  double cost = 0;
  for (const Row& row : rows_)
    cost += row.weight * static_cast<double>(std::popcount(row.touched & ~row.home) - row.nobody);
  for (int64_t s = 0; s < samples_; ++s) {
    const std::span<const int32_t> pairs = gains(s);
    for (size_t i = 0; i < pairs.size(); i += 2)
      if (pairs[i] != child_[s]) cost += std::bit_cast<float>(pairs[i + 1]);
  }
  return cost;
}

/// Gains of a sample as if it were nowhere yet.
template <int kVectors>
void Refinement::weigh(int64_t sample, Gains<kVectors>& gains) const {
  gains.clear();
  const std::span<const int32_t> pairs = this->gains(sample);
  for (size_t i = 0; i < pairs.size(); i += 2) gains.add(bit(pairs[i]), std::bit_cast<float>(pairs[i + 1]));
  const uint64_t own = bit(child_[sample]);
  for (const int32_t number : lookups(sample)) {
    const Row& row = rows_[number];
    gains.add((row.touched & ~(row.single & own)) | row.home, row.weight);
  }
}

void Refinement::move(int64_t sample, int to) {
  const int from = child_[sample];
  const uint64_t here = bit(from), there = bit(to);
  for (const int32_t number : lookups(sample)) {
    Row& row = rows_[number];
    uint16_t* counts = &counts_[static_cast<size_t>(number) * children_];
    const uint16_t left = --counts[from], now = ++counts[to];
    row.touched = (row.touched & ~(left == 0 ? here : 0)) | there;
    row.single ^= (left <= 1 ? here : 0) | (now <= 2 ? there : 0);
  }
  --load_[from];
  ++load_[to];
  child_[sample] = static_cast<int16_t>(to);
}

/// Moves the sample to a child that is full, if one of those that waited to leave it gains together with it; else it
/// waits.
template <int kVectors>
void Refinement::exchange(int64_t sample, int to) {
  const int from = child_[sample];
  const size_t forth = static_cast<size_t>(from) * children_ + to, back = static_cast<size_t>(to) * children_ + from;
  Gains<kVectors> gains;
  weigh(sample, gains);
  const float gain = gains[to] - gains[from];
  if (waits_[back] > 0) {
    move(sample, to);
    while (waits_[back] > 0) {
      const int32_t other = waiting_[back * kWaiting + --waits_[back]];
      if (child_[other] != to || other == sample) continue;
      weigh(other, gains);
      if (gain + gains[from] - gains[to] <= kLeast) continue;
      move(other, from);
      return;
    }
    move(sample, from);
  }
  if (waits_[forth] < kWaiting) waiting_[forth * kWaiting + waits_[forth]++] = static_cast<int32_t>(sample);
}

/// One sweep over all samples. priced: loads may be beyond quotas by a part `slack` of them.
template <int kVectors>
void Refinement::sweep(double slack, bool priced) {
  const int64_t block = std::clamp<int64_t>(samples_ / kBlocks, 1, kLargestBlock);
  wanted_.resize(block);
  for (int c = 0; c < children_; ++c)
    cap_[c] = static_cast<int64_t>(std::ceil(static_cast<double>(quota_[c]) * (1 + slack)));
  std::fill(waits_.begin(), waits_.end(), 0);
  for (int64_t begin = 0; begin < samples_; begin += block) {
    const int64_t end = std::min(begin + block, samples_);
    threads_.split(end - begin, kPart, [&](int64_t first, int64_t last) {
      int64_t sample = nth(begin + first);
      for (int64_t i = first; i < last; ++i, sample = next(sample)) wanted_[i] = wanted<kVectors>(sample);
    });
    int64_t sample = nth(begin);
    for (int64_t i = begin; i < end; ++i, sample = next(sample)) {
      const int to = wanted_[i - begin], from = child_[sample];
      if (to == from) continue;
      if (load_[to] >= cap_[to]) {
        exchange<kVectors>(sample, to);
        continue;
      }
      move(sample, to);
      if (!priced) continue;
      price_[to] += kPriceStep / static_cast<float>(quota_[to]);
      price_[from] -= kPriceStep / static_cast<float>(quota_[from]);
    }
  }
}

/// The child where a sample gains most, prices taken off.
template <int kVectors>
int16_t Refinement::wanted(int64_t sample) const {
  Gains<kVectors> gains;
  weigh(sample, gains);
  gains.pay(price_.data());
  const float most = gains.most();
  return most > gains[child_[sample]] + kLeast ? static_cast<int16_t>(gains.first(most)) : child_[sample];
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
      losses_.push_back({gains[from] - gains[best_below_quota(gains)], of_child_[i]});
    }
    std::sort(losses_.begin(), losses_.end());
    for (size_t i = 0; load_[from] > quota_[from]; ++i) {
      weigh(losses_[i].second, gains);
      move(losses_[i].second, best_below_quota(gains));
    }
  }
}

template <int kVectors>
int Refinement::best_below_quota(const Gains<kVectors>& gains) const {
  int best = -1;
  for (int c = 0; c < children_; ++c)
    if (load_[c] < quota_[c] && (best < 0 || gains[c] > gains[best])) best = c;
  return best;
}

template <int kVectors>
void Refinement::run_wide(int passes) {
  price_.assign(kVectors * kLanes, kInfinite);
  for (int c = 0; c < children_; ++c)
    if (quota_[c] > 0) price_[c] = 0;
  for (int pass = passes; pass > 0; --pass) sweep<kVectors>(kSlack * pass, true);
  repair<kVectors>();
  for (float& price : price_)
    if (price != kInfinite) price = 0;
  for (int i = 0; i < kLastSweeps; ++i) sweep<kVectors>(0, false);
}

void Refinement::run(int passes) {
  count_lookups();
  if (passes == 0) return;
  cap_.resize(children_);
  waiting_.resize(static_cast<size_t>(children_) * children_ * kWaiting);
  waits_.resize(static_cast<size_t>(children_) * children_);
  stride_ = static_cast<int64_t>(static_cast<double>(samples_) * 0.381966) | 1;  // far from the last ones
  while (std::gcd(stride_, samples_) != 1) stride_ += 2;
  if (children_ <= 4)
    run_wide<1>(passes);
  else if (children_ <= 8)
    run_wide<2>(passes);
  else if (children_ <= 16)
    run_wide<4>(passes);
  else if (children_ <= 32)
    run_wide<8>(passes);
  else
    run_wide<16>(passes);
}

}  // namespace sparrow
