// Ranges of samples, and which part of a global batch a rank reads.
#pragma once

#include <cstdint>
#include <span>

namespace sparrow {

/// Samples first, first + 1, ..., last - 1.
struct SampleRange {
  int64_t first = 0;
  int64_t last = 0;

  int64_t size() const { return last - first; }
  bool operator==(const SampleRange&) const = default;
};

/// The contiguous part of n samples that `rank` of `ranks` reads: floor(n W_rank / W) .. floor(n W_(rank+1) / W), where
/// W_r is the sum of the shares of the ranks before r and W of all. No shares: equal ones. The parts of all ranks are 0
/// .. n without gaps or overlaps; a share of 0 gives an empty part. Example: n = 10, shares {1, 2, 1}:
/// 0..2, 2..7, 7..10. Throws Error if a share is negative or not finite, all are 0, or their number is not `ranks`.
SampleRange part_of_batch(int64_t n, int rank, int ranks, std::span<const double> shares = {});

/// The part of n samples that `rank` trains on where the data, not each batch, are divided among the ranks: contiguous,
/// and as many samples as the rank's parts of the batches of `batch` samples have together.
/// Example: n = 10, batch 4, 2 ranks: 0..5 and 5..10; its parts of batches 0, 1, 2 are 0 1, 2 3, 4 and 5 6, 7 8, 9.
SampleRange part_of_data(int64_t n, int64_t batch, int rank, int ranks, std::span<const double> shares = {});

}  // namespace sparrow
