// Rows of one of this rank's stores and the sums of their gradients: what remains to be done to them.
#pragma once

#include <vector>

#include "kernels/backend.hpp"

namespace sparrow {

struct RowUpdate {
  RowStore store;
  const int64_t* slots = nullptr;  ///< of store
  float* gradients = nullptr;      ///< (count, dim)
  int64_t count = 0;
};

/// Adds the rows that are here: the first `device` are in `store`, the others in `offloaded`.
inline void add_updates(std::vector<RowUpdate>& updates, const RowStore& store, const RowStore& offloaded,
                        const int64_t* slots, float* gradients, int64_t device, int64_t here) {
  if (device > 0) updates.push_back({store, slots, gradients, device});
  if (here > device) updates.push_back({offloaded, slots + device, gradients + device * store.dim, here - device});
}

}  // namespace sparrow
