// Offloaded rows in pinned host memory: kernels read and update them in place over the link between host and device, so
// nothing is copied, and nothing read ahead.
#pragma once

#include "store/offloaded_rows.hpp"

namespace sparrow {

class PinnedRows : public OffloadedRows {
 public:
  /// Throws Error when memory is short.
  PinnedRows(Backend& backend, int64_t slots, int64_t dim, int64_t state_dim);

  int64_t slots() const override { return rows_.slots; }
  std::unique_ptr<OffloadedBatch> make_batch() override;
  void write(int64_t first, int64_t n, const float* values, const float* state) override;
  void drain() override {}
  StoreTraffic traffic() const override { return traffic_; }
  int64_t buffer_bytes() const override { return 0; }

 private:
  friend class PinnedBatch;
  Array<float> values_, state_;
  RowStore rows_;
  StoreTraffic traffic_;
};

}  // namespace sparrow
