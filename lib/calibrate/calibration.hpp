// Measures, in place, the rates that plans are made with: exchanges within and between nodes, the work on rows, whole
// steps (trial_steps.hpp).
#pragma once

#include <vector>

#include "comm/comm.hpp"
#include "exchange/rank_context.hpp"
#include "layout/launch_topology.hpp"
#include "model/model_shape.hpp"

namespace sparrow {

struct CalibrationOptions {
  ModelShape model;
  DType precision = DType::f32;
  DType wire = DType::f32;
  int64_t local_batch = 512;  ///< samples of one rank in an iteration
  OptimizerOptions optimizer;
};

/// Collective. node_of[rank]: node of every rank. Takes a second or two, and some ten steps
/// of training. The slowest rank's figures count, so all ranks
/// return the same rates, but for memory_bytes, which is the least free memory of any rank's share of its node.
MachineRates calibrate(const RankContext& context, const std::vector<int>& node_of, const CalibrationOptions& options);

}  // namespace sparrow
