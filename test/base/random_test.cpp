#include "base/random.hpp"

#include <catch2/catch.hpp>
#include <set>

using namespace sparrow;

namespace {

std::array<uint32_t, 4> words_of(const Philox4& block) {
  return {block.v[0], block.v[1], block.v[2], block.v[3]};
}

}  // namespace

TEST_CASE("PhiloxGivesTheKnownAnswers") {
  // The vectors for philox4x32 with 10 rounds that the authors distribute with Random123 (kat_vectors).
  using Words = std::array<uint32_t, 4>;
  CHECK(words_of(philox4x32({{0, 0, 0, 0}}, 0, 0)) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t ones = 0xffffffff;
  CHECK(words_of(philox4x32({{ones, ones, ones, ones}}, ones, ones)) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(words_of(philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0)) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("EveryPartOfTheNameOfANumberChangesIt") {
  std::set<std::array<uint32_t, 4>> seen;
  for (const uint64_t seed : {1ull, 2ull, 1ull << 40}) {
    for (const uint32_t stream : {0u, 1u, 1u << 31}) {
      for (const uint64_t index : {0ull, 1ull, 1ull << 40}) {
        for (const uint32_t block : {0u, 1u}) seen.insert(words_of(random_words(seed, stream, index, block)));
      }
    }
  }
  CHECK(seen.size() == 3 * 3 * 3 * 2);
}

TEST_CASE("UniformNumbersStayInsideTheOpenInterval") {
  for (const uint32_t word : {0u, 1u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    CHECK(uniform_float(word) > 0.0f);
    CHECK(uniform_float(word) < 1.0f);
    CHECK(uniform_double(word, word) > 0.0);
    CHECK(uniform_double(word, word) < 1.0);
  }
}

TEST_CASE("NumbersHaveTheMomentsOfTheirLaws") {
  // n = 2 * 50,000 draws; five standard errors: uniform mean 5 * sqrt(1/12/n) = 0.0046; normal mean 5 / sqrt(n) =
  // 0.0159, variance 5 * sqrt(2/n) = 0.0224.
  constexpr int kPairs = 50000;
  double uniform_sum = 0, normal_sum = 0, square_sum = 0;
  for (int i = 0; i < kPairs; ++i) {
    const Philox4 words = random_words(3, 4, static_cast<uint64_t>(i), 0);
    uniform_sum += uniform_float(words.v[0]) + uniform_double(words.v[1], words.v[0]);
    float a = 0, b = 0;
    normal_pair(words.v[2], words.v[3], a, b);
    normal_sum += a + b;
    square_sum += double{a} * a + double{b} * b;
  }
  CHECK(uniform_sum / (2 * kPairs) == Approx(0.5).margin(0.0046));
  CHECK(normal_sum / (2 * kPairs) == Approx(0.0).margin(0.0159));
  CHECK(square_sum / (2 * kPairs) == Approx(1.0).margin(0.0224));
}

TEST_CASE("Mix64IsSplitmix64") {
  // The first outputs of splitmix64 seeded with 0: its state grows by the constant that mix64 adds.
  CHECK(mix64(0) == 0xe220a8397b1dcdafu);
  CHECK(mix64(0x9E3779B97F4A7C15u) == 0x6e789e6aa1b965f4u);
}
