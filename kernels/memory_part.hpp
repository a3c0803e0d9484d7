// What device memory is for, so that a shortage can be explained.
#pragma once

#include <cstdint>

namespace sparrow {

enum class MemoryPart : uint8_t { rows, row_state, dense, activations, exchange, scratch, other };
constexpr int kMemoryParts = 7;

constexpr const char* memory_part_name(MemoryPart part) {
  constexpr const char* kNames[kMemoryParts] = {"embedding rows", "optimiser state of rows", "dense parameters",
                                                "activations",    "exchange buffers",        "scratch space",
                                                "other"};
  return kNames[static_cast<int>(part)];
}

}  // namespace sparrow
