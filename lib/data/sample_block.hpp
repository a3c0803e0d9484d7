// Where readers put samples: dense values and labels by sample, category values by table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sparrow {

/// Where a read of n samples goes: sample i of it goes to row i of `dense` and `labels` and to column i of
/// `categories`.
struct SampleTarget {
  float* dense = nullptr;          ///< (n, 13), row major
  float* labels = nullptr;         ///< [n], 0 or 1
  uint32_t* categories = nullptr;  ///< table major: value of table t, sample i at [t * stride + i]; empty = 0
  int64_t stride = 0;              ///< >= n; not a multiple of 1,024 for speed (cache sets)
};

/// Memory for up to `capacity` samples, and the target that points to it.
class SampleBlock {
 public:
  explicit SampleBlock(int64_t capacity);
  int64_t capacity() const { return static_cast<int64_t>(labels_.size()); }
  SampleTarget target();
  std::span<const float> dense() const { return dense_; }
  std::span<const float> labels() const { return labels_; }
  uint32_t category(int table, int64_t sample) const { return categories_[table * stride_ + sample]; }
  const uint32_t* table(int t) const { return categories_.data() + t * stride_; }

 private:
  int64_t stride_;
  std::vector<float> dense_, labels_;
  std::vector<uint32_t> categories_;
};

}  // namespace sparrow
