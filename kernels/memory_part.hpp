// What device memory is for, so that a shortage can be explained, and what each part needs or uses of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sparrow {

enum class MemoryPart : uint8_t { rows, row_state, dense, activations, exchange, scratch, checkpoint, other };
constexpr int kMemoryParts = 8;

constexpr const char* memory_part_name(MemoryPart part) {
  constexpr const char* kNames[kMemoryParts] = {
      "embedding rows",   "optimiser state of rows", "dense parameters",        "activations",
      "exchange buffers", "scratch space",           "saving and loading rows", "other"};
  return kNames[static_cast<int>(part)];
}

/// Bytes of device memory by part, as a backend hands them out: each array rounded up to kGranule.
class MemoryByPart {
 public:
  static constexpr int64_t kGranule = 256;
  static constexpr int64_t rounded(int64_t bytes) { return (bytes + kGranule - 1) / kGranule * kGranule; }

  /// An array of this many bytes.
  void add(MemoryPart part, int64_t bytes) { at(part) += rounded(bytes); }
  void remove(MemoryPart part, int64_t bytes) { at(part) -= rounded(bytes); }

  int64_t of(MemoryPart part) const { return bytes_[static_cast<size_t>(part)]; }
  int64_t total() const {
    int64_t sum = 0;
    for (const int64_t part : bytes_) sum += part;
    return sum;
  }

 private:
  int64_t& at(MemoryPart part) { return bytes_[static_cast<size_t>(part)]; }
  std::array<int64_t, kMemoryParts> bytes_{};
};

}  // namespace sparrow
