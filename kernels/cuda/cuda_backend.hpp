// The CUDA backend: the same operations as kernels/host, each with its kernels in the .cu file of the same basename.
// Compiled into the module libsparrow_cuda.so and reached through kernels/cuda_module.hpp alone, so that the program
// starts where CUDA is absent.
//
// Memory: `device` is GPU memory, `pinned` is page-locked host memory that kernels read and write in place (fetched
// rows live there), `host` is ordinary memory that only copies touch. Scratch space belongs to the stream: operations
// of one stream never overlap.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/backend.hpp"
#include "kernels/cuda/device_memory.hpp"

namespace sparrow::cuda {

class CudaStream final : public Stream {
 public:
  /// memory: for scratch space, outlives the stream; null where no operation of the backend is queued.
  CudaStream(int device, DeviceMemory* memory);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  /// Its CUDA stream; makes its device that of the calling thread, which may be one that has used no device yet.
  cudaStream_t handle() const;

  /// At least `bytes` of device memory, valid until the next operation on this stream. Grows when a shape is the
  /// largest yet, so a step that was seen before allocates nothing.
  void* scratch(int64_t bytes);

 private:
  const int device_;
  DeviceMemory* const memory_;
  cudaStream_t handle_ = nullptr;
  void* scratch_ = nullptr;
  int64_t scratch_bytes_ = 0;
};

class CudaEvent final : public Event {
 public:
  CudaEvent();
  ~CudaEvent() override;
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  cudaEvent_t handle() const { return handle_; }

 private:
  cudaEvent_t handle_ = nullptr;
};

/// The CUDA stream behind a Stream of this backend.
inline cudaStream_t handle(Stream& stream) {
  return static_cast<CudaStream&>(stream).handle();
}

/// Carves arrays out of a stream's scratch memory: add() every array, then allocate() once, then get() them.
class ScratchPlan {
 public:
  /// Reserves room for `count` values of T, aligned to 256 bytes; returns its offset in bytes.
  template <class T>
  int64_t add(int64_t count) {
    const int64_t offset = bytes_;
    bytes_ += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
    return offset;
  }
  void allocate(Stream& stream) { base_ = static_cast<char*>(static_cast<CudaStream&>(stream).scratch(bytes_)); }
  template <class T>
  T* get(int64_t offset) const {
    return reinterpret_cast<T*>(base_ + offset);
  }

 private:
  int64_t bytes_ = 0;
  char* base_ = nullptr;
};

/// Scratch space of the operations, at most, for sizes up to these: stated beside each.
int64_t linear_scratch_bytes(const LayerShape& layer);
int64_t sum_rows_scratch_bytes(int64_t items, int64_t dim);
int64_t loss_scratch_bytes();

class CudaBackend final : public Backend {
 public:
  /// Takes the GPU `device` (CUDA's number); any thread may use the backend. tf32: fp32
  /// matrix products round their inputs to tf32 (10 bits of mantissa) and run on tensor cores. arena_bytes: see
  /// DeviceMemory. Throws Error when there is no such device, or it has less memory.
  CudaBackend(int device, bool tf32, int64_t arena_bytes);

  std::string name() const override { return "cuda"; }
  bool device_is_host() const override { return false; }

  void* allocate(Memory memory, int64_t bytes, MemoryPart part) override;
  void release(Memory memory, void* data, int64_t bytes) noexcept override;
  int64_t free_memory() const override { return memory_->free_bytes(); }
  MemoryByPart used_memory() const override { return memory_->used(); }
  int64_t most_memory() const override { return memory_->most_used(); }
  void restart_most_memory() override { memory_->restart_most_used(); }
  int64_t scratch_bytes(std::span<const LayerShape> layers, int64_t items, int64_t dim) const override;
  void reserve_scratch(Stream& stream, int64_t bytes) override { static_cast<CudaStream&>(stream).scratch(bytes); }
  std::unique_ptr<Stream> make_stream() override;
  std::unique_ptr<Event> make_event() override;
  void record(Event& event, Stream& stream) override;
  void wait(Stream& stream, const Event& event) override;
  void synchronize(Stream& stream) override;
  void synchronize(const Event& event) override;
  void copy(Stream& stream, void* to, const void* from, int64_t bytes) override;
  void zero(Stream& stream, void* data, int64_t bytes) override;
  void begin_range(const char* name) override;
  void end_range() override;
  void convert(Stream& stream, const Matrix& from, const Matrix& to) override;

  void linear_forward(Stream& stream, const Matrix& x, const Matrix& w, const float* bias, bool relu,
                      const Matrix& y) override;
  void linear_backward_input(Stream& stream, const Matrix& dy, const Matrix& w, const Matrix& active,
                             const Matrix& dx) override;
  void linear_backward_weights(Stream& stream, const Matrix& dy, const Matrix& x, float* dw, float* dbias) override;

  void interaction_forward(Stream& stream, const Matrix& features, int64_t vectors, const Matrix& z) override;
  void interaction_backward(Stream& stream, const Matrix& features, int64_t vectors, const Matrix& dz,
                            const Matrix& ddense, const Matrix& dbags) override;

  void loss(Stream& stream, const float* logits, const float* labels, int64_t b, float scale, const Matrix& dlogits,
            double* loss_sum) override;

  void distinct(Stream& stream, const int64_t* keys, std::span<const int64_t> segments, int64_t* distinct_keys,
                int64_t* distinct_segments, int32_t* row_of_key) override;
  void group(Stream& stream, const int32_t* group_of, int64_t n, int64_t groups, int32_t* offsets,
             int32_t* items) override;

  void gather_rows(Stream& stream, const RowStore& store, const int64_t* slots, int64_t n, const Matrix& out) override;
  void pack_rows(Stream& stream, const float* const* rows, const int32_t* row_of_item, int64_t n,
                 const Matrix& out) override;
  void address_rows(Stream& stream, const float* base, const int64_t* slots, int64_t n, int64_t dim,
                    const float** addresses) override;
  void pool_bags(Stream& stream, const Bags& bags, const float* const* rows, const Matrix& features) override;
  void sum_rows(Stream& stream, const Groups& groups, const Matrix& rows, const Matrix& out) override;
  void lookup_bags(Stream& stream, const Bags& bags, const int32_t* lookups, int64_t n, int32_t* bags_of) override;

  void update_dense(Stream& stream, const OptimizerStep& step, float* params, const float* grads, float* state,
                    int64_t n) override;
  void update_rows(Stream& stream, const OptimizerStep& step, const RowStore& store, const int64_t* slots,
                   const Matrix& grads, int64_t n) override;
  void init_rows(Stream& stream, uint64_t seed, uint32_t stream_id, const int64_t* ids, int64_t n, int64_t dim,
                 float bound, float* values) override;

 private:
  const int device_;
  const bool tf32_;
  std::unique_ptr<DeviceMemory> memory_;
};

}  // namespace sparrow::cuda
