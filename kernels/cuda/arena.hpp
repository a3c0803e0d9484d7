// Which parts of one large range of addresses are taken. Knows offsets only and no CUDA: kernels/cuda/device_memory has
// the memory itself.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace sparrow::cuda {

class Arena {
 public:
  static constexpr int64_t kAlignment = 256;  // what cudaMalloc gives, and every kernel may rely on

  explicit Arena(int64_t bytes);

  /// The offset of `bytes` (> 0) bytes that are free, aligned to kAlignment, which are taken from now on: the first
  /// that fit. Nothing when no run of free bytes is long enough.
  std::optional<int64_t> take(int64_t bytes);

  /// Gives back what take() returned; neighbouring free bytes become one run.
  void give_back(int64_t offset);

  int64_t bytes() const { return bytes_; }
  int64_t free_bytes() const { return free_bytes_; }
  int64_t longest_free_run() const;

 private:
  int64_t bytes_, free_bytes_;
  std::map<int64_t, int64_t> free_;   ///< offset -> length of every free run; no two touch
  std::map<int64_t, int64_t> taken_;  ///< offset -> length
};

}  // namespace sparrow::cuda
