// A backend that only counts: what is made on it takes no device memory, which tells how much it would take. Device
// addresses are no memory's and operations do nothing; host and pinned memory is there, but costs nothing until it is
// written.
#pragma once

#include <algorithm>
#include <map>

#include "kernels/backend.hpp"

namespace sparrow {

class CountingBackend final : public Backend {
 public:
  /// In the place of `real`, whose device memory is not the host's.
  explicit CountingBackend(const Backend& real) : real_(real) {}

  std::string name() const override { return "counting"; }
  bool device_is_host() const override { return false; }

  void* allocate(Memory memory, int64_t bytes, MemoryPart part) override;
  void release(Memory memory, void* data, int64_t bytes) noexcept override;
  int64_t free_memory() const override { return real_.free_memory(); }
  MemoryByPart used_memory() const override { return used_; }
  int64_t most_memory() const override { return most_used_; }
  void restart_most_memory() override { most_used_ = used_.total(); }
  int64_t scratch_bytes(std::span<const LayerShape> layers, int64_t items, int64_t dim) const override {
    return real_.scratch_bytes(layers, items, dim);
  }
  void reserve_scratch(Stream& stream, int64_t bytes) override;
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<CountingStream>(); }
  std::unique_ptr<Event> make_event() override { return std::make_unique<Event>(); }

  void record(Event&, Stream&) override {}
  void wait(Stream&, const Event&) override {}
  void synchronize(Stream&) override {}
  void synchronize(const Event&) override {}
  void copy(Stream&, void*, const void*, int64_t) override {}
  void zero(Stream&, void*, int64_t) override {}
  void convert(Stream&, const Matrix&, const Matrix&) override {}
  void linear_forward(Stream&, const Matrix&, const Matrix&, const float*, bool, const Matrix&) override {}
  void linear_backward_input(Stream&, const Matrix&, const Matrix&, const Matrix&, const Matrix&) override {}
  void linear_backward_weights(Stream&, const Matrix&, const Matrix&, float*, float*) override {}
  void interaction_forward(Stream&, const Matrix&, int64_t, const Matrix&) override {}
  void interaction_backward(Stream&, const Matrix&, int64_t, const Matrix&, const Matrix&, const Matrix&) override {}
  void loss(Stream&, const float*, const float*, int64_t, float, const Matrix&, double*) override {}
  void distinct(Stream&, const int64_t*, std::span<const int64_t>, int64_t*, int64_t*, int32_t*) override {}
  void group(Stream&, const int32_t*, int64_t, int64_t, int32_t*, int32_t*) override {}
  void gather_rows(Stream&, const RowStore&, const int64_t*, int64_t, const Matrix&) override {}
  void pack_rows(Stream&, const float* const*, const int32_t*, int64_t, const Matrix&) override {}
  void address_rows(Stream&, const float*, const int64_t*, int64_t, int64_t, const float**) override {}
  void pool_bags(Stream&, const Bags&, const float* const*, const Matrix&) override {}
  void sum_rows(Stream&, const Groups&, const Matrix&, const Matrix&) override {}
  void lookup_bags(Stream&, const Bags&, const int32_t*, int64_t, int32_t*) override {}
  void update_dense(Stream&, const OptimizerStep&, float*, const float*, float*, int64_t) override {}
  void update_rows(Stream&, const OptimizerStep&, const RowStore&, const int64_t*, const Matrix&, int64_t) override {}
  void init_rows(Stream&, uint64_t, uint32_t, const int64_t*, int64_t, int64_t, float, float*) override {}

 private:
  struct CountingStream final : Stream {
    Buffer scratch;
  };
  struct Block {
    int64_t bytes;
    MemoryPart part;
  };
  const Backend& real_;
  uintptr_t next_ = MemoryByPart::kGranule;  ///< device address
  std::map<void*, Block> blocks_;            ///< of device memory
  MemoryByPart used_;
  int64_t most_used_ = 0;
};

}  // namespace sparrow
