// The rows one rank holds: their values and optimiser state in device memory and, for the slots of its Directory beyond
// device_slots(), in the slower store. Initial values are a pure function of (seed, table, row id), so that the model
// at step 0 does not depend on ranks or placement.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "kernels/backend.hpp"
#include "layout/directory.hpp"
#include "store/offloaded_rows.hpp"

namespace sparrow {

class Store {
 public:
  /// state_dim: values of optimiser state per row (see RowStore). Throws Error when memory, or the disk, is short.
  /// Contents start undefined.
  Store(Backend& backend, const Directory& directory, int64_t state_dim, const OffloadOptions& offloaded = {});

  const RowStore& rows() const { return rows_; }                 ///< in device memory
  OffloadedRows* offloaded() const { return offloaded_.get(); }  ///< null where the plan puts no rows there

  /// Writes the rows in slots first .. first + n - 1, from host memory: values (n, dim), and state (n, state_dim) or
  /// null to keep what is there. Between steps. Waits.
  void write(Stream& stream, int64_t first, int64_t n, const float* values, const float* state);
  /// The same the other way; state may be null. Memory for n rows is needed besides.
  void read(Stream& stream, int64_t first, int64_t n, float* values, float* state);

  /// Maps positions of table t to row ids: ids[i] = id of position[i].
  using IdOfPosition = std::function<int64_t(int table, int64_t position)>;

  /// Initial values of every row held, state filled with initial_state; the same for rows that come later (fill).
  /// Before any row has moved or was admitted. Needs some device memory while it runs; without id_of it takes that and
  /// fills nothing.
  void initialise(Stream& stream, uint64_t seed, float initial_state, const IdOfPosition& id_of);

  /// After initialise(): queues the initial values and state of rows in device memory, of these keys and slots. The host
  /// must not call it again before `stream` has passed this.
  void fill(Stream& stream, std::span<const int64_t> keys, std::span<const int64_t> slots);

  int64_t bytes() const { return values_.size() * 4 + state_.size() * 4; }  ///< of device memory

 private:
  static constexpr int64_t kChunk = 1 << 14;  ///< rows that are made at a time
  void make_initial(Stream& stream, int64_t first, int64_t n, const Array<int64_t>& device_ids, float* values);
  void reserve_ids(int64_t n);

  Backend& backend_;
  const Directory& directory_;
  Array<float> values_, state_;
  RowStore rows_;
  // What rows are filled with, and on the way to the device, where some are filled after the start:
  struct Initial {
    uint64_t seed = 0;
    IdOfPosition id_of;
    Array<float> state;              ///< (kChunk, state_dim), in device memory
    Array<int64_t> ids, pinned_ids;  ///< of one call; pinned ones only where the device has a memory of its own
  } initial_;
  std::unique_ptr<OffloadedRows> offloaded_;
};

}  // namespace sparrow
