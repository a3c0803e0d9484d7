// The rows one rank holds: their values and optimiser state in device memory, in the slots of its Directory. Initial
// values are a pure function of (seed, table, row id), so that the model at step 0 does not depend on ranks or
// placement.
#pragma once

#include <cstdint>
#include <functional>

#include "embedding/directory.hpp"
#include "kernels/backend.hpp"

namespace sparrow {

class Store {
 public:
  /// state_dim: values of optimiser state per row (see RowStore). Throws Error when memory is short. Contents start
  /// undefined.
  Store(Backend& backend, const Directory& directory, int64_t state_dim);

  const RowStore& rows() const { return rows_; }

  /// Maps positions of table t to row ids: ids[i] = id of position[i].
  using IdOfPosition = std::function<int64_t(int table, int64_t position)>;

  /// Initial values of every row held, state filled with initial_state.
  void initialise(Stream& stream, uint64_t seed, float initial_state, const IdOfPosition& id_of);

  int64_t bytes() const { return values_.size() * 4 + state_.size() * 4; }

 private:
  Backend& backend_;
  const Directory& directory_;
  Array<float> values_, state_;
  RowStore rows_;
};

}  // namespace sparrow
