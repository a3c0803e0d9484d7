// What planning takes a training iteration to ask of the machine. `sparrow plan`, a run, its calibration and its
// re-planning all make their workload here, so that they cost the same iteration equally.
#pragma once

#include <string>
#include <vector>

#include "model/model_shape.hpp"
#include "placement/model/workload.hpp"

namespace sparrow {

/// An iteration, as people describe it. One name (none: C1, C2, ...), bag size (none: 1) and distribution per table.
struct Iteration {
  ModelShape model;
  OptimizerKind optimizer = OptimizerKind::rowwise_adagrad;  ///< of the rows
  DType wire = DType::f32;                                   ///< of rows and gradients in exchanges
  bool overlapped = false;
  int64_t global_batch = 0;
  std::vector<std::string> names;
  std::vector<double> bag_sizes;  ///< lookups of a sample
  std::vector<placement::TableDistribution> access;
};

/// Rows are kept in fp32; ids travel in as few bytes as exchanges need (layout/tables.hpp). Throws Error naming the
/// table for a description that makes no sense.
placement::Workload make_workload(const Iteration& iteration);

}  // namespace sparrow
