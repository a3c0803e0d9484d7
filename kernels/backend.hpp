// What a training step needs from a device: memory, streams, events and some twenty operations. kernels/host is the definition (fast,
// but written to be read); kernels/cuda does the same on a GPU. No other code allocates device or pinned memory, and no algorithm
// above this interface knows which backend it runs on.
//
// Conventions. All matrices are row major; (b, k) means b rows of k values. Pointers are to memory of this backend unless a comment
// says host. Operations are ordered on their stream and may return before they are done; arguments must stay alive and unchanged
// until the stream has passed them. Every operation accepts zero sizes. Outputs are overwritten (never accumulated into) and must not
// overlap inputs unless stated. Sums are in fp32 (the loss in fp64), in an order that depends only on the sizes and the number of
// threads, so a run repeats bit for bit. Sizes that contradict each other throw Error. Nothing here allocates once each shape was seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "kernels/memory_part.hpp"

namespace sparrow {

enum class Memory : uint8_t { device, pinned, host };
enum class DType : uint8_t { f32, bf16 };

constexpr int64_t size_of(DType type) {
  return type == DType::f32 ? 4 : 2;
}

/// A matrix somewhere: `rows` x `cols` elements of `type`, consecutive rows `stride` elements apart (stride >= cols).
struct Matrix {
  void* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;
  DType type = DType::f32;

  static Matrix f32(float* data, int64_t rows, int64_t cols, int64_t stride = 0) {
    return {data, rows, cols, stride ? stride : cols, DType::f32};
  }
  static Matrix of(DType type, void* data, int64_t rows, int64_t cols, int64_t stride = 0) {
    return {data, rows, cols, stride ? stride : cols, type};
  }
  float* f32() const { return static_cast<float*>(data); }
  uint16_t* bf16() const { return static_cast<uint16_t*>(data); }
};

/// A queue of operations. Made by Backend::make_stream; destroying it waits for what is queued.
class Stream {
 public:
  virtual ~Stream() = default;
};

/// A point in a stream. Made by Backend::make_event.
class Event {
 public:
  virtual ~Event() = default;
};

/// The embedding bags of one part of a batch, table major: bag (t, s) of table t and sample s is number t * samples + s.
/// Lookup l refers to row row_of_lookup[l] of a list of distinct rows.
struct Bags {
  int64_t samples = 0;
  int64_t tables = 0;
  const int64_t* offsets = nullptr;  ///< [tables * samples + 1], first lookup of each bag; nullptr: one lookup per bag
  const int32_t* row_of_lookup = nullptr;  ///< [offsets[last]] or [tables * samples]
};

/// A linear layer in a step: at most b samples, k inputs, n outputs, operands of `type`.
struct LayerShape {
  int64_t b = 0, k = 0, n = 0;
  DType type = DType::f32;
};

/// Groups of items: items[offsets[g] .. offsets[g+1]) belong to group g.
struct Groups {
  int64_t count = 0;
  int64_t item_count = 0;            ///< offsets[count], known to the host too
  const int32_t* offsets = nullptr;  ///< [count + 1]
  const int32_t* items = nullptr;    ///< [offsets[count]]
};

/// Rows of embedding tables in one memory: row `slot` has its `dim` values at values + slot * dim and its optimiser state of
/// `state_dim` values (0: SGD, 1: row-wise Adagrad, dim: Adagrad) at state + slot * state_dim.
struct RowStore {
  float* values = nullptr;
  float* state = nullptr;
  int64_t slots = 0;
  int64_t dim = 0;
  int64_t state_dim = 0;
};

enum class OptimizerKind : uint8_t { sgd, adagrad, rowwise_adagrad };

/// Values of optimiser state that a row of `dim` values has.
constexpr int64_t state_dim(OptimizerKind kind, int64_t dim) {
  return kind == OptimizerKind::adagrad ? dim : kind == OptimizerKind::rowwise_adagrad ? 1 : 0;
}

/// One update: sgd: w -= lr g. adagrad: a += g^2, w -= lr g / (sqrt(a) + eps). rowwise_adagrad: one a per row, a += mean(g^2).
/// (Duchi, Hazan, Singer, JMLR 2011; the row-wise form as in facebookresearch/dlrm. Same arithmetic as torch.optim.Adagrad.)
struct OptimizerStep {
  OptimizerKind kind = OptimizerKind::sgd;
  float lr = 0.01f;
  float eps = 1e-8f;
};

class Backend;

/// Owns one allocation of a backend. Move only; frees on destruction, which must come before the backend's.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend& backend, Memory memory, int64_t bytes, MemoryPart part = MemoryPart::other);
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer();

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  Memory memory() const { return memory_; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(memory_, other.memory_);
  }
  Backend* backend_ = nullptr;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  Memory memory_ = Memory::host;
};

/// Owns an array of `size` values of T in memory of a backend. Contents start undefined. Only host and pinned memory may be indexed.
template <class T>
class Array {
 public:
  Array() = default;
  Array(Backend& backend, Memory memory, int64_t size, MemoryPart part = MemoryPart::other)
      : buffer_(backend, memory, size * static_cast<int64_t>(sizeof(T)), part), size_(size) {}

  T* data() const { return static_cast<T*>(buffer_.data()); }
  int64_t size() const { return size_; }
  std::span<T> span() const { return {data(), static_cast<size_t>(size_)}; }
  T& operator[](int64_t i) const { return data()[i]; }

 private:
  Buffer buffer_;
  int64_t size_ = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // --- Memory, streams, events -----------------------------------------------------------------------------------------------

  virtual std::string name() const = 0;     ///< "host" or "cuda"
  virtual bool device_is_host() const = 0;  ///< device memory is host memory, and operations are done when they return

  /// At least `bytes` bytes aligned to 64 (host) or 256 (device); nullptr for 0. Throws Error naming the size when memory is short,
  /// and where device memory is divided up by the backend also `part` and what the parts have.
  virtual void* allocate(Memory memory, int64_t bytes, MemoryPart part = MemoryPart::other) = 0;
  virtual void release(Memory memory, void* data, int64_t bytes) noexcept = 0;

  virtual int64_t free_memory() const = 0;  ///< bytes of device memory that this process may still allocate

  /// Device memory that arrays have now, by part, and the most they had in all at a time since the call after; nothing where it is host
  /// memory.
  virtual MemoryByPart used_memory() const { return {}; }
  virtual int64_t most_memory() const { return 0; }
  virtual void restart_most_memory() {}

  /// Device memory that one stream keeps for the operations of a step, at most: linear layers of these shapes, and sums of `items` rows of
  /// `dim` values. 0 where it is host memory.
  virtual int64_t scratch_bytes(std::span<const LayerShape> /*layers*/, int64_t /*items*/, int64_t /*dim*/) const {
    return 0;
  }
  /// Takes them at once, so that no step has to.
  virtual void reserve_scratch(Stream& /*stream*/, int64_t /*bytes*/) {}

  virtual std::unique_ptr<Stream> make_stream() = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
  virtual void record(Event& event, Stream& stream) = 0;  ///< event = everything queued on stream so far
  virtual void wait(Stream& stream,
                    const Event& event) = 0;     ///< later work of stream waits for event; the host does not
  virtual void synchronize(Stream& stream) = 0;  ///< the host waits for everything queued
  virtual void synchronize(const Event& event) = 0;

  virtual void copy(Stream& stream, void* to, const void* from, int64_t bytes) = 0;  ///< any memory to any memory
  virtual void zero(Stream& stream, void* data, int64_t bytes) = 0;

  /// Names what the calling thread does from begin to end, for profilers that show it beside the operations. Ranges nest. `name` is
  /// zero-terminated.
  virtual void begin_range(const char* /*name*/) {}
  virtual void end_range() {}

  /// to = from, element by element, converted (fp32 to bf16 rounds to nearest even). Same shape.
  virtual void convert(Stream& stream, const Matrix& from, const Matrix& to) = 0;

  // --- Multi-layer perceptron ------------------------------------------------------------------------------------------------
  // x (b, k), w (n, k), y and dy (b, n). x, w and dy have the same type (the precision of the MLPs); y, dx may be f32 or that type.

  /// y = x w^T + bias, then max(., 0) if relu. bias: f32 [n].
  virtual void linear_forward(Stream& stream, const Matrix& x, const Matrix& w, const float* bias, bool relu,
                              const Matrix& y) = 0;

  /// dx = dy w; where `active` is given (data not null, same shape as dx), elements with active <= 0 become 0: `active` is the output
  /// of the ReLU that produced x, so this fuses that layer's ReLU gradient.
  virtual void linear_backward_input(Stream& stream, const Matrix& dy, const Matrix& w, const Matrix& active,
                                     const Matrix& dx) = 0;

  /// dw (n, k) f32 = dy^T x, dbias f32 [n] = column sums of dy.
  virtual void linear_backward_weights(Stream& stream, const Matrix& dy, const Matrix& x, float* dw, float* dbias) = 0;

  // --- Dot interaction -------------------------------------------------------------------------------------------------------
  // features: f32 (b * vectors, dim); vectors s * vectors + i, i = 0 is the dense vector of sample s, i > 0 its pooled bag of table i - 1.
  // z (b, dim + vectors (vectors - 1) / 2): the dense vector, then for i = 1.., j = 0..i-1 the dot product of vectors i and j, in the
  // order (1,0), (2,0), (2,1), (3,0), ... (facebookresearch/dlrm, interact_features without itself). z, dz: f32 or bf16.

  virtual void interaction_forward(Stream& stream, const Matrix& features, int64_t vectors, const Matrix& z) = 0;

  /// ddense (b, dim), f32 or bf16: gradient of the dense vector, made 0 where that vector is <= 0 (the ReLU before it).
  /// dbags f32 ((vectors - 1) * b, dim): gradient of the pooled bags in bag order, i.e. of bag (t, s) at row t * b + s.
  virtual void interaction_backward(Stream& stream, const Matrix& features, int64_t vectors, const Matrix& dz,
                                    const Matrix& ddense, const Matrix& dbags) = 0;

  // --- Loss ------------------------------------------------------------------------------------------------------------------

  /// Binary cross-entropy with logits. loss_sum (fp64, host or pinned) = sum over b of log(1 + exp(x)) - label x, stable for large |x|.
  /// dlogits (b, 1), f32 or bf16 = scale * (sigmoid(x) - label); scale is 1 / (global batch). logits, labels: f32 [b].
  /// dlogits.data may be null: loss only.
  virtual void loss(Stream& stream, const float* logits, const float* labels, int64_t b, float scale,
                    const Matrix& dlogits, double* loss_sum) = 0;

  // --- Rows of a batch -------------------------------------------------------------------------------------------------------

  /// Distinct keys of a batch. keys [segments.back()] come in segments (one per table): segment t is keys[segments[t] .. segments[t+1])
  /// and no key is in two segments; keys are >= 0. Writes the distinct keys to `distinct_keys` (capacity: number of keys), grouped by
  /// segment in order, in an order within the segment that depends only on the keys; their positions to distinct_segments
  /// [segments.size()] (host or pinned; the last is the total), and to row_of_key [number of keys] the place of each key in distinct_keys.
  virtual void distinct(Stream& stream, const int64_t* keys, std::span<const int64_t> segments, int64_t* distinct_keys,
                        int64_t* distinct_segments, int32_t* row_of_key) = 0;

  /// Stable counting sort. group_of [n] in [0, groups): offsets [groups + 1], items [n] = item numbers by group, ascending within one.
  virtual void group(Stream& stream, const int32_t* group_of, int64_t n, int64_t groups, int32_t* offsets,
                     int32_t* items) = 0;

  /// out (n, dim), f32 or bf16: out[i] = values of row slots[i].
  virtual void gather_rows(Stream& stream, const RowStore& store, const int64_t* slots, int64_t n,
                           const Matrix& out) = 0;

  /// out (n, dim), f32 or bf16: out[i] = the dim values at rows[row_of_item[i]], or at rows[i] where row_of_item is null. Packs rows from
  /// wherever they are (a store, what another rank sent) into one block to send.
  virtual void pack_rows(Stream& stream, const float* const* rows, const int32_t* row_of_item, int64_t n,
                         const Matrix& out) = 0;

  /// addresses[i] = base + slots[i] * dim, or base + i * dim where slots is null: where the bags find their rows.
  virtual void address_rows(Stream& stream, const float* base, const int64_t* slots, int64_t n, int64_t dim,
                            const float** addresses) = 0;

  /// Sum pooling. features as in interaction_forward, vectors = bags.tables + 1: vector 1 + t of sample s = sum over the lookups l of
  /// bag (t, s), in order, of the dim values at rows[row_of_lookup[l]]; zeros for an empty bag. Vector 0 is not touched.
  virtual void pool_bags(Stream& stream, const Bags& bags, const float* const* rows, const Matrix& features) = 0;

  /// out (groups.count, dim) f32: out[g] = sum over items i of group g of row i of `rows` (f32 or bf16, cols = dim), in an order that
  /// depends on the size of that group alone: a group has the same bits among whichever others it is.
  /// Sums gradients per distinct row: of a batch's bags (see lookup_bags), or of what several ranks sent.
  virtual void sum_rows(Stream& stream, const Groups& groups, const Matrix& rows, const Matrix& out) = 0;

  /// bags_of[i] = the number of the bag that lookup lookups[i] is in (the inverse of bags.offsets; the same number if offsets is null).
  virtual void lookup_bags(Stream& stream, const Bags& bags, const int32_t* lookups, int64_t n, int32_t* bags_of) = 0;

  // --- Optimisers and initial values -----------------------------------------------------------------------------------------

  /// params, grads [n], state [n] for adagrad (else unused).
  virtual void update_dense(Stream& stream, const OptimizerStep& step, float* params, const float* grads, float* state,
                            int64_t n) = 0;

  /// Updates rows slots[0..n), all different, with grads (n, dim) f32. state_dim must fit step.kind.
  virtual void update_rows(Stream& stream, const OptimizerStep& step, const RowStore& store, const int64_t* slots,
                           const Matrix& grads, int64_t n) = 0;

  /// values of row i (dim floats at values + i * dim) = uniform in (-bound, bound) by element e:
  /// word e % 4 of random_words(seed, stream_id, ids[i], e / 4) of base/random.hpp.
  virtual void init_rows(Stream& stream, uint64_t seed, uint32_t stream_id, const int64_t* ids, int64_t n, int64_t dim,
                         float bound, float* values) = 0;
};

inline Buffer::Buffer(Backend& backend, Memory memory, int64_t bytes, MemoryPart part)
    : backend_(&backend), data_(backend.allocate(memory, bytes, part)), bytes_(bytes), memory_(memory) {}

inline Buffer::~Buffer() {
  if (data_) backend_->release(memory_, data_, bytes_);
}

/// The host backend with this many threads (>= 1).
std::unique_ptr<Backend> make_host_backend(int threads);

}  // namespace sparrow
