// Parts of batches and the shuffled order: which sample goes where, without reading any.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.hpp"
#include "data/parts.hpp"
#include "data/shuffle.hpp"

using namespace sparrow;

TEST_CASE("Parts of a batch follow each other without gaps", "[parts]") {
  const std::vector<double> odd_shares = {0.3, 0, 1.7, 1e-9, 2, 0.1, 0};
  for (const int64_t n : {int64_t{0}, int64_t{1}, int64_t{5}, int64_t{4096}, int64_t{99991}, int64_t{1} << 40}) {
    for (const int ranks : {1, 2, 3, 4, 7, 100}) {
      int64_t at = 0;
      for (int r = 0; r < ranks; ++r) {
        const SampleRange part = part_of_batch(n, r, ranks);
        REQUIRE(part.first == at);
        REQUIRE(std::abs(part.size() - n / ranks) <= 1);
        REQUIRE(part == part_of_batch(n, r, ranks, std::vector<double>(ranks, 3)));
        at = part.last;
      }
      REQUIRE(at == n);
    }
    int64_t at = 0;
    for (int r = 0; r < 7; ++r) {
      const SampleRange part = part_of_batch(n, r, 7, odd_shares);
      REQUIRE(part.first == at);
      at = part.last;
      if (odd_shares[r] == 0) CHECK(part.size() == 0);
    }
    CHECK(at == n);
  }
  const std::vector<double> shares = {1, 2, 1};  // the header's example
  CHECK(part_of_batch(10, 0, 3, shares) == SampleRange{0, 2});
  CHECK(part_of_batch(10, 1, 3, shares) == SampleRange{2, 7});
  CHECK(part_of_batch(10, 2, 3, shares) == SampleRange{7, 10});
}

TEST_CASE("Shares that make no sense are Errors", "[parts]") {
  const auto part = [](std::vector<double> shares) { return part_of_batch(10, 0, 2, shares); };
  CHECK_THROWS_AS(part({1}), Error);
  CHECK_THROWS_AS(part({1, 1, 1}), Error);
  CHECK_THROWS_AS(part({0, 0}), Error);
  CHECK_THROWS_AS(part({1, -1}), Error);
  CHECK_THROWS_AS(part({1, std::nan("")}), Error);
  CHECK_THROWS_AS(part({1, std::numeric_limits<double>::infinity()}), Error);
  CHECK_THROWS_AS(part({1e308, 1e308}), Error);
  CHECK_THROWS_AS(part_of_batch(10, 2, 2), Error);
}

TEST_CASE("A permutation takes every number once, for every size", "[shuffle]") {
  for (const int64_t size : {1, 2, 3, 4, 5, 16, 17, 99, 1000, 10007}) {
    const Permutation permutation(size, 42);
    std::vector<bool> seen(size, false);
    for (int64_t i = 0; i < size; ++i) {
      const int64_t to = permutation(i);
      REQUIRE((to >= 0 && to < size));
      REQUIRE(!seen[to]);
      seen[to] = true;
    }
  }
  CHECK_THROWS_AS(Permutation(0, 1), Error);
}

TEST_CASE("A permutation mixes: places are uniform and neighbours part", "[shuffle]") {
  constexpr int64_t kSize = 1000;
  constexpr int kKeys = 2000;
  std::vector<int> tenth_of_zero(10, 0);
  double distance = 0;
  for (int key = 0; key < kKeys; ++key) {
    const Permutation permutation(kSize, static_cast<uint64_t>(key));
    ++tenth_of_zero[permutation(0) / 100];
    distance += static_cast<double>(std::abs(permutation(500) - permutation(501)));
  }
  // Counts of 200 with deviation sqrt(2000 * 0.1 * 0.9) = 13.4; five deviations. The mean distance of two random places
  // is size / 3 with deviation size / sqrt(18): its mean over 2,000 keys within 5 * 236 / sqrt(2000) = 26.
  for (const int n : tenth_of_zero) CHECK(std::abs(n - 200) < 67);
  CHECK(std::abs(distance / kKeys - kSize / 3.0) < 26);
}

TEST_CASE("Each window is permuted within itself, differently by seed, epoch and window", "[shuffle]") {
  constexpr int64_t kTotal = 1050, kWindow = 100;
  const WindowShuffle shuffle(kTotal, kWindow, 1, 0);
  std::vector<int> seen(kTotal, 0);
  for (int64_t i = 0; i < kTotal; ++i) {
    const int64_t source = shuffle.source(i);
    REQUIRE(source / kWindow == i / kWindow);
    REQUIRE(source < kTotal);
    ++seen[source];
  }
  CHECK(seen == std::vector<int>(kTotal, 1));
  const auto differing = [&](const WindowShuffle& other, int64_t shift) {
    int64_t count = 0;
    for (int64_t i = 0; i < kWindow; ++i) count += other.source(i + shift) - shift != shuffle.source(i);
    return count;
  };
  CHECK(differing(WindowShuffle(kTotal, kWindow, 1, 0), 0) == 0);
  CHECK(differing(WindowShuffle(kTotal, kWindow, 2, 0), 0) > 90);
  CHECK(differing(WindowShuffle(kTotal, kWindow, 1, 1), 0) > 90);
  CHECK(differing(shuffle, kWindow) > 90);
  CHECK(WindowShuffle(10, int64_t{1} << 60, 1, 0).window_size(0) == 10);
}
