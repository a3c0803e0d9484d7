// The arena against a plain list of blocks, through thousands of random takes and returns.
#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "base/error.hpp"
#include "kernels/cuda/arena.hpp"

using namespace sparrow;
using cuda::Arena;

TEST_CASE("What is taken is aligned, inside the arena and nobody else's") {
  constexpr int64_t kBytes = 1 << 20;
  Arena arena(kBytes);
  struct Block {
    int64_t offset, bytes;
  };
  std::vector<Block> blocks;
  std::mt19937_64 random(1);
  int64_t refused = 0;
  for (int step = 0; step < 20000; ++step) {
    if (!blocks.empty() && random() % 2 == 0) {
      const size_t i = random() % blocks.size();
      arena.give_back(blocks[i].offset);
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    const auto bytes = static_cast<int64_t>(1 + random() % (random() % 8 == 0 ? 300000 : 5000));
    const int64_t longest = arena.longest_free_run();
    const auto offset = arena.take(bytes);
    REQUIRE(offset.has_value() == (longest >= (bytes + 255) / 256 * 256));
    if (!offset) {
      ++refused;
      continue;
    }
    REQUIRE(*offset % Arena::kAlignment == 0);
    REQUIRE((*offset >= 0 && *offset + bytes <= kBytes));
    for (const Block& other : blocks)
      REQUIRE((*offset + bytes <= other.offset || other.offset + other.bytes <= *offset));
    blocks.push_back({*offset, bytes});
  }
  CHECK(refused > 0);
  for (const Block& block : blocks) arena.give_back(block.offset);
  CHECK(arena.free_bytes() == kBytes);
  CHECK(arena.longest_free_run() == kBytes);
}

TEST_CASE("An arena can be used up to the last byte, and says when it is") {
  Arena arena(1000);  // of which 768 are whole granules
  CHECK(arena.bytes() == 768);
  CHECK(arena.take(768) == 0);
  CHECK(arena.free_bytes() == 0);
  CHECK_FALSE(arena.take(1).has_value());
  arena.give_back(0);
  CHECK(arena.take(257) == 0);
  CHECK(arena.take(256) == 512);
  CHECK_FALSE(Arena(0).take(1).has_value());
}

TEST_CASE("What an arena cannot do is refused") {
  Arena arena(1024);
  CHECK_THROWS_AS(arena.take(0), Error);
  CHECK_THROWS_AS(arena.take(-1), Error);
  CHECK_FALSE(arena.take(INT64_MAX).has_value());
  CHECK_THROWS_AS(arena.give_back(0), Error);
  CHECK_THROWS_AS(Arena(-1), Error);
}
