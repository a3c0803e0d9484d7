#include "base/host_memory.hpp"

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/error.hpp"

using namespace sparrow;

TEST_CASE("AlignedMemoryIsAlignedAndWritable") {
  for (const int64_t alignment : {kCacheLineBytes, kPageBytes, int64_t{1} << 21})
    for (const int64_t bytes : {0, 1, 63, 4097, 3 << 20}) {
      const AlignedBytes data = allocate_aligned(bytes, alignment);
      REQUIRE(data != nullptr);
      CHECK(reinterpret_cast<uintptr_t>(data.get()) % static_cast<uintptr_t>(alignment) == 0);
      std::memset(data.get(), 1, bytes);
    }
}

TEST_CASE("MoreMemoryThanTheMachineHasIsRefused") {
  CHECK_THROWS_WITH(allocate_aligned(std::numeric_limits<int64_t>::max(), kPageBytes),
                    Catch::Contains("no memory for"));
  CHECK_THROWS_AS(allocate_aligned(-1, kPageBytes), Error);
  CHECK(available_memory() > 0);
}
