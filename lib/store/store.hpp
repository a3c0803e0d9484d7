// The rows one rank holds: their values and optimiser state in device memory and, for the slots of its Directory beyond
// device_slots(), in the slower store. Initial values are a pure function of (seed, table, row id), so that the model
// at step 0 does not depend on ranks or placement.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

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

  /// Initial values of every row held, state filled with initial_state. Before any row has moved. Needs some device
  /// memory while it runs; without id_of it takes that and fills nothing.
  void initialise(Stream& stream, uint64_t seed, float initial_state, const IdOfPosition& id_of);

  int64_t bytes() const { return values_.size() * 4 + state_.size() * 4; }  ///< of device memory

 private:
  static constexpr int64_t kChunk = 1 << 14;  ///< rows that are made at a time
  void make_initial(Stream& stream, uint64_t seed, const IdOfPosition& id_of, int64_t first, int64_t n,
                    const Array<int64_t>& device_ids, float* values);

  Backend& backend_;
  const Directory& directory_;
  Array<float> values_, state_;
  RowStore rows_;
  std::unique_ptr<OffloadedRows> offloaded_;
};

}  // namespace sparrow
