// A training run as a whole: sections `optimizer`, `train`, `system`, `placement` and `output` of the configuration,
// beside the data's and the model's own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/options.hpp"
#include "kernels/backend.hpp"
#include "model/options.hpp"

namespace sparrow {

struct OptimizerOptions {
  struct One {
    OptimizerKind kind = OptimizerKind::adagrad;
    double lr = 0.01;
    double eps = 1e-8;
    double initial_accumulator = 0;
  };
  One dense{OptimizerKind::adagrad, 0.01, 1e-8, 0};
  One sparse{OptimizerKind::rowwise_adagrad, 0.02, 1e-8, 0};
  int64_t warmup_steps = 0;
  int64_t decay_start = 0;  ///< polynomial decay (power 2) from this step over decay_steps, as in MLPerf
  int64_t decay_steps = 0;
};

struct TrainOptions {
  int64_t global_batch = 4096;
  int64_t samples = 0;  ///< stop after this many; 0: after `epochs` passes
  int64_t epochs = 1;
  uint64_t seed = 1;
  int64_t eval_every = 0;
  double target_auc = 0;
  std::string init;                    ///< a checkpoint folder or a safetensors file; empty: random
  std::string batch_shares = "equal";  ///< equal | planned | list
  std::vector<double> share_list;      ///< for `list`: one per rank
};

struct SystemOptions {
  std::string backend = "auto";  ///< auto | cuda | host
  int threads = 0;               ///< per rank; 0: cores of the machine / ranks on it
  DType precision = DType::f32;
  DType wire = DType::f32;
  bool overlapped = false;
  std::string topology = "auto";
  int64_t device_memory = 0;  ///< bytes; 0: auto
  int64_t host_memory = 0;
  double timeout = 60;
  std::string scratch;
};

struct PlacementOptions {
  std::string strategy = "optimal";  ///< optimal | held | table_wise | row_wise | replicated | fetched | hot_cold
  std::string plan;
  bool deduplicate = true;
  bool combine = true;
  std::string holders = "arithmetic";
  std::string assignment = "contiguous";
  int64_t replan_every = 0;
};

struct OutputOptions {
  std::string dir = "runs/default";
  int64_t report_every = 50;
  int64_t checkpoint_every = 0;  ///< in samples; 0: at the end only; -1: never
  int keep = 2;
  bool stop_on_checkpoint_error = true;
  std::string resume = "auto";  ///< auto | never | a path
  bool trace = false;
};

struct RunOptions {
  DataOptions data;
  ModelOptions model;
  OptimizerOptions optimizer;
  TrainOptions train;
  SystemOptions system;
  PlacementOptions placement;
  OutputOptions output;
};

}  // namespace sparrow
