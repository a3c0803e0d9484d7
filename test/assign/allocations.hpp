// How often this program has taken memory, for tests that something does not.
#pragma once

#include <cstdint>

namespace sparrow::test {

int64_t allocations();

}  // namespace sparrow::test
