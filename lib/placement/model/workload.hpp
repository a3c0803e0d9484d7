// What one training iteration asks of the machine: tables with their access distributions, the batch, the model's size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placement/model/distribution.hpp"
#include "placement/model/locality.hpp"

namespace sparrow::placement {

struct Table {
  std::string name;
  TableDistribution access;
  double lookups = 1;        ///< h_t, of one sample
  int64_t row_bytes = 256;   ///< w_t in memory (dim * 4)
  int64_t state_bytes = 4;   ///< s_t of the optimiser, kept beside the row
  int64_t wire_bytes = 256;  ///< of a row or gradient in an exchange: dim * 4, or dim * 2 for bf16
};

struct Workload {
  std::vector<Table> tables;
  int64_t global_batch = 0;     ///< B, samples of one iteration over all ranks
  int64_t id_bytes = 8;         ///< of a row id in an exchange
  double dense_bytes = 0;       ///< of the gradients of the dense parameters, all-reduced every iteration
  double flops_per_sample = 0;  ///< forward and backward of the dense part
  /// Of these, what needs no rows, and what no gradient of a row waits for: the bottom MLP (that of the next batch
  /// going forward), gradients of the top MLP's parameters.
  double flops_behind_per_sample = 0;
  double buffer_bytes_per_sample =
      0;  ///< activations and what else grows with a rank's batch; taken from its device memory
  bool sized_buffers =
      false;                ///< also take exchange buffers (expected distinct rows + margin, see buffers.hpp) from it
  Locality locality;        ///< how samples are assigned, and what that does; by default: contiguous parts of batches
  bool overlapped = false;  ///< T of the pipelined iteration instead of the sequential one
};

/// Throws Error naming the table and the field for empty or negative values, or tables whose number of access groups
/// differ.
void validate(const Workload& workload);

}  // namespace sparrow::placement
