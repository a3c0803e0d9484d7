// Counter-based random numbers: the value is a pure function of (seed, stream, counter), so an initial weight or a generated sample
// does not depend on which rank, thread or process asks for it, or when. Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011; checked against that paper's known-answer vectors.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define SPARROW_HOST_DEVICE __host__ __device__
#else
#define SPARROW_HOST_DEVICE
#endif

namespace sparrow {

struct Philox4 {
  uint32_t v[4];
};

/// Ten rounds of Philox4x32 on a 128-bit counter (four words, lowest first) and a 64-bit key.
SPARROW_HOST_DEVICE inline Philox4 philox4x32(Philox4 counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter.v[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter.v[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.v[1] ^ key0, static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.v[3] ^ key1, static_cast<uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// Four random words for (seed, stream, index, block). `stream` names what is drawn (a table, a parameter, a column), `index` the item
/// (a row id, a sample number), `block` the group of four words within it.
SPARROW_HOST_DEVICE inline Philox4 random_words(uint64_t seed, uint32_t stream, uint64_t index, uint32_t block) {
  return philox4x32({{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), block, stream}},
                    static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

/// Uniform in (0, 1), never 0 or 1: the 23 top bits plus a half.
SPARROW_HOST_DEVICE inline float uniform_float(uint32_t word) {
  return (static_cast<float>(word >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

/// Uniform in (0, 1) from two words, 52 bits.
SPARROW_HOST_DEVICE inline double uniform_double(uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 32 | low) >> 12;
  return (static_cast<double>(bits) + 0.5) * (1.0 / 4503599627370496.0);
}

/// Two independent standard normal numbers from two words (Box-Muller).
SPARROW_HOST_DEVICE inline void normal_pair(uint32_t word0, uint32_t word1, float& normal0, float& normal1) {
  const float radius = std::sqrt(-2.0f * std::log(uniform_float(word0)));
  const float angle = 6.28318530717958648f * uniform_float(word1);
  normal0 = radius * std::cos(angle);
  normal1 = radius * std::sin(angle);
}

/// A well-mixed 64-bit hash of a 64-bit value (the finaliser of splitmix64).
SPARROW_HOST_DEVICE inline uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace sparrow
