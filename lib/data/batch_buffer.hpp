// A batch and the memory behind it: one block for all of its values, made once and filled again and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "data/batch.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

/// Gives memory for a buffer: at least 64-byte aligned, e.g. pinned. Empty: ordinary memory.
using BufferMemory = std::function<std::shared_ptr<std::byte>(size_t bytes)>;

struct BatchBuffer {
  BatchBuffer() = default;
  /// Room for batches of up to `capacity` samples.
  BatchBuffer(const TableShapes& shapes, int64_t capacity, const BufferMemory& allocate = {});

  /// Bytes that a buffer takes.
  static int64_t bytes(const TableShapes& shapes, int64_t capacity);

  /// Makes `batch` one of so many samples: their number, the tables, offsets and spans; the values are the caller's.
  void set_samples(const TableShapes& shapes, int64_t samples);

  Batch batch;
  std::shared_ptr<std::byte> memory;
  float* dense = nullptr;
  float* labels = nullptr;
  int64_t* offsets = nullptr;
  int64_t* positions = nullptr;
  int64_t offsets_for = -1;  ///< number of samples that `offsets` are written for
};

}  // namespace sparrow
