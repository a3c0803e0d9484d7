// The host backend: every operation of kernels/backend.hpp on the processor's cores. An operation is done when it
// returns, so streams and events order nothing; a stream owns the scratch memory and the prepared GEMMs of the
// operations queued on it. Several threads may use one backend at the same time as long as each uses a stream of its
// own. Each operation is in the file named after its concept.
#pragma once

#include <string>

#include "kernels/backend.hpp"
#include "kernels/host/gemm.hpp"
#include "kernels/host/scratch.hpp"

namespace sparrow::host {

/// What operations reuse from call to call: never read before it was written within one call.
struct HostStream final : Stream {
  Gemm gemm;
  Scratch hash_tables;   ///< distinct
  Scratch histograms;    ///< group
  Scratch bag_numbers;   ///< lookup_bags
  Scratch partial_sums;  ///< loss, linear
  Scratch interaction;   ///< one workspace per thread
};

struct HostEvent final : Event {};

class HostBackend final : public Backend {
 public:
  explicit HostBackend(int threads);

  std::string name() const override { return "host"; }
  bool device_is_host() const override { return true; }

  void* allocate(Memory memory, int64_t bytes, MemoryPart part) override;
  void release(Memory memory, void* data, int64_t bytes) noexcept override;
  int64_t free_memory() const override;  ///< of the machine: ranks on it share it
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<HostStream>(); }
  std::unique_ptr<Event> make_event() override { return std::make_unique<HostEvent>(); }
  void record(Event&, Stream&) override {}
  void wait(Stream&, const Event&) override {}
  void synchronize(Stream&) override {}
  void synchronize(const Event&) override {}
  void copy(Stream& stream, void* to, const void* from, int64_t bytes) override;
  void zero(Stream& stream, void* data, int64_t bytes) override;
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
  const int threads_;
};

/// The stream as this backend made it; a stream of another backend throws std::bad_cast.
inline HostStream& host_stream(Stream& stream) {
  return dynamic_cast<HostStream&>(stream);
}

}  // namespace sparrow::host
