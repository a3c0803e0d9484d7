// A random order of a stream of samples within windows, computable sample by sample: nothing is stored, and every rank
// computes the same order.
#pragma once

#include <cstdint>

namespace sparrow {

/// A pseudo-random bijection of 0 .. size - 1: a Feistel network with modular addition on a square grid that holds the
/// range, repeated while the result lies outside it ("cycle walking"; Black and Rogaway, "Ciphers with arbitrary finite
/// domains", CT-RSA 2002).
class Permutation {
 public:
  /// size >= 1; another key is another permutation.
  Permutation(int64_t size, uint64_t key);
  /// i in 0 .. size - 1.
  int64_t operator()(int64_t i) const;

 private:
  uint64_t size_, side_, key_;
};

/// Sample `i` of the shuffled stream of `total` samples is sample shuffled.source(i) of the plain one, in the same
/// window of `window` samples (the last one may be shorter).
class WindowShuffle {
 public:
  WindowShuffle(int64_t total, int64_t window, uint64_t seed, int64_t epoch);

  int64_t window_first(int64_t window) const { return window * window_; }
  int64_t window_size(int64_t window) const;
  int64_t window_of(int64_t i) const { return i / window_; }
  Permutation permutation(int64_t window) const;
  int64_t source(int64_t i) const { return window_first(window_of(i)) + permutation(window_of(i))(i % window_); }

 private:
  int64_t total_, window_;
  uint64_t key_;
};

}  // namespace sparrow
