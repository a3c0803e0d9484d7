// Reads rows of the distributed tables, values and optimiser state, as if a batch had looked them up: for checkpoints.
#pragma once

#include <cstdint>
#include <vector>

#include "train/trainer.hpp"

namespace sparrow {

class RowReader {
 public:
  static constexpr int64_t kMostRows = 16384;  ///< read at a time

  /// Most rows that one rank is asked for at a time: of its guests (layout/directory.hpp).
  static int64_t most_guests(const Tables& tables, int ranks);

  /// The trainer must outlive it. Between steps, after drain().
  explicit RowReader(Trainer& trainer);

  struct Rows {
    std::vector<float> values, state;  ///< (n, dim), (n, state_dim)
  };
  /// Collective; every rank may ask for other rows, or none, at most kMostRows. Valid until the next call.
  const Rows& read(int table, const std::vector<int64_t>& positions);

 private:
  void load_offloaded();
  void take(RowExchange& exchange, const RowStore& offloaded, int64_t n, int64_t dim, std::vector<float>& out);

  Trainer& trainer_;
  RowStore rows_;
  Router router_;
  RowTransfer value_transfer_, state_transfer_;
  RowExchange values_, state_;
  Route route_;
  OffloadedRoute offloaded_;
  Scratch<float> packed_;
  std::vector<int64_t> offsets_;
  Rows read_;
};

}  // namespace sparrow
