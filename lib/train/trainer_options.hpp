// How a trainer is to be: what of a run's options concerns the steps of one rank.
#pragma once

#include <cstdint>

#include "exchange/exchange_bounds.hpp"
#include "kernels/backend.hpp"
#include "layout/directory.hpp"
#include "model/model_shape.hpp"
#include "model/options.hpp"
#include "store/offloaded_rows.hpp"

namespace sparrow {

struct TrainerOptions {
  ModelShape model;
  OptimizerOptions optimizer;
  DType precision = DType::f32;
  DType wire = DType::f32;
  uint64_t seed = 1;
  BatchLimits limits;        ///< of every batch, and so of the memory of a step
  SlotRoom room;             ///< for rows, at least; more than the plan needs if rows are to move to another plan
  int64_t most_moved = 0;    ///< copies of rows that move between two steps, where device memory is planned for them
  OffloadOptions offloaded;  ///< where rows beyond device memory are kept
  bool overlapped = false;   ///< exchange beside computation (pipeline.hpp); the bits do not depend on it
};

}  // namespace sparrow
