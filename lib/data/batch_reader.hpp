// Fills one buffer with this rank's part of one global batch: everything the loader's thread does but for the
// hand-over.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "data/batch_buffer.hpp"
#include "data/dataset.hpp"
#include "data/loader.hpp"
#include "data/position_map.hpp"
#include "data/shuffle.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

/// Not for more than one thread at a time: it has working memory of its own.
class BatchReader {
 public:
  /// Throws Error for options that make no sense. `data` and `positions` must outlive the reader.
  BatchReader(const Dataset& data, SampleRange range, const PositionMap& positions, LoaderOptions options);

  int64_t batches() const { return (range_.size() + options_.global_batch - 1) / options_.global_batch; }
  const LoaderOptions& options() const { return options_; }

  /// Gives a buffer memory for the largest part of this rank.
  void prepare(BatchBuffer& buffer) const;

  /// Reads this rank's part of global batch k into a prepared buffer. Once `stop` is set it returns early, the buffer
  /// undefined.
  void fill(BatchBuffer& buffer, int64_t k, const std::atomic<bool>& stop);

 private:
  int tables() const { return options_.shapes.tables(); }
  void check() const;
  void describe(BatchBuffer& buffer, int64_t k) const;
  int64_t enter_window(int64_t at, const std::atomic<bool>& stop);
  void read(int64_t at, int64_t count, const SampleTarget& target);
  void translate(int t, int64_t count, int64_t* to) const;

  const Dataset& data_;
  const SampleRange range_;
  const PositionMap& positions_;
  const LoaderOptions options_;
  SampleBlock chunk_;     ///< its categories only; dense values and labels go straight to the buffer
  int64_t capacity_ = 0;  ///< most samples of a part
  std::vector<Modulo> modulo_;
  std::optional<WindowShuffle> shuffle_;
  int64_t window_ = -1;                  ///< the window that window_offsets_ describes
  std::vector<int64_t> window_offsets_;  ///< byte offset of each of its samples, in the order of the files
  std::vector<int64_t> sources_, source_offsets_;
};

}  // namespace sparrow
