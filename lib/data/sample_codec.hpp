// Samples as bytes for the way to another rank: label 1 byte, dense features fp32, and the positions of a table in the
// fewest whole bytes that hold its last one. Within a block of samples, column by column:
//
//   labels [n] | dense (n, dense features) | positions of table 0 [n * bag size] | of table 1 | ...
//
// Example: one table of 70,000 rows, bags of 1, 13 dense features: 1 + 52 + 3 = 56 bytes a sample. Criteo Kaggle: 118.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "data/batch.hpp"
#include "data/batch_buffer.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

/// Constant after construction.
class SampleCodec {
 public:
  explicit SampleCodec(TableShapes shapes);

  /// Bytes of one sample; a block of n takes n times as many.
  int64_t sample_bytes() const { return sample_bytes_; }

  /// Writes a block of the samples of `batch` with these numbers in it, in this order.
  void encode(const Batch& batch, std::span<const int32_t> samples, std::byte* block) const;

  /// Reads a block of `count` samples into a buffer's samples first .. first + count - 1; set_samples() has been called
  /// on it. Throws Error for a label that is neither 0 nor 1 and for a position outside its table: a block may come from
  /// anywhere.
  void decode(const std::byte* block, int64_t count, const BatchBuffer& buffer, int64_t first) const;

 private:
  TableShapes shapes_;
  std::vector<int> width_;  ///< [tables]: bytes of a position
  int64_t sample_bytes_ = 0;
};

}  // namespace sparrow
