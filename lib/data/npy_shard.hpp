// A shard of three npy files, as TorchRec's preprocessing and Sparrow's own conversion write it: X_dense.npy float32
// (n, 13), used as stored; X_sparse.npy int32 (n, 26); X_labels.npy int32 (n, 1) or (n,).
#pragma once

#include <cstdint>
#include <string>

#include "data/npy.hpp"

namespace sparrow {

class NpyShard {
 public:
  /// dense_path: the file X_dense.npy. Throws Error naming the file that is missing, has another type or shape, or is
  /// empty.
  explicit NpyShard(const std::string& dense_path);

  int64_t samples() const { return dense_.rows(); }
  int64_t bytes() const;  ///< of the three files

  /// Reads sample `sample` into a row; category t goes to categories[t * stride]. Throws Error for a negative category
  /// and for a label that is not 0 or 1, naming file, row and column.
  void read(int64_t sample, float& label, float* dense, uint32_t* categories, int64_t stride) const;

  /// As MappedFile's, for rows first .. last - 1.
  void prefetch(int64_t first, int64_t last) const noexcept;
  void release(int64_t first, int64_t last) const noexcept;

 private:
  NpyFile dense_, sparse_, labels_;
};

}  // namespace sparrow
