#include "data/shuffle.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "base/random.hpp"

namespace sparrow {
namespace {

constexpr uint64_t kRounds = 6;

/// The high word of hash * bound: uniform in 0 .. bound - 1.
uint64_t reduce(uint64_t hash, uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(static_cast<Wide>(hash) * bound >> 64);
}

}  // namespace

Permutation::Permutation(int64_t size, uint64_t key)
    : size_(static_cast<uint64_t>(size)),
      side_(static_cast<uint64_t>(std::sqrt(static_cast<double>(size)))),
      key_(key) {
  SPARROW_CHECK(size >= 1 && size <= int64_t{1} << 52, "a permutation of {}", size);  // exact in a double
  while (side_ * side_ < size_) ++side_;
}

int64_t Permutation::operator()(int64_t i) const {
  uint64_t x = static_cast<uint64_t>(i);
  do {
    uint64_t left = x / side_, right = x % side_;
    for (uint64_t round = 0; round < kRounds; ++round) {
      uint64_t sum = left + reduce(mix64(key_ ^ (right * kRounds + round)), side_);
      if (sum >= side_) sum -= side_;
      left = right;
      right = sum;
    }
    x = left * side_ + right;
  } while (x >= size_);
  return static_cast<int64_t>(x);
}

WindowShuffle::WindowShuffle(int64_t total, int64_t window, uint64_t seed, int64_t epoch)
    : total_(total),
      window_(std::min(window, std::max<int64_t>(total, 1))),
      key_(mix64(mix64(seed) ^ static_cast<uint64_t>(epoch))) {
  SPARROW_CHECK(total >= 0 && window >= 1, "windows of {} in {} samples", window, total);
}

int64_t WindowShuffle::window_size(int64_t window) const {
  return std::min(window_, total_ - window_first(window));
}

Permutation WindowShuffle::permutation(int64_t window) const {
  return Permutation(window_size(window), mix64(key_ ^ static_cast<uint64_t>(window)));
}

}  // namespace sparrow
