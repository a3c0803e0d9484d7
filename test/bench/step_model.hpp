// A whole training step of a DLRM on one rank, composed from the operations of Backend alone: the shapes of MLPerf's
// Criteo tables, ids drawn from a Zipf distribution. It trains for real (the loss falls), but has no data files, no
// ranks and no overlap.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/timer.hpp"
#include "kernels/backend.hpp"

namespace sparrow::bench {

struct StepOptions {
  int64_t dim = 64;
  int64_t batch = 2048;
  bool mlperf = false;       ///< MLPs 512-256-dim and 1024-1024-512-256-1, else 64-dim and 128-64-1
  DType type = DType::f32;   ///< of the MLPs
  int64_t cap = 1'000'000;   ///< rows per table at most
  bool by_frequency = true;  ///< rows lie by falling frequency, as Sparrow's positions do; else scattered
  OptimizerKind optimizer = OptimizerKind::sgd;
};

/// Seconds of each operation in each step, operations in the order of first use.
class OperationTimes {
 public:
  struct Operation {
    std::string name;
    std::vector<double> seconds_of_step;
  };

  void begin_step() { ++steps_; }
  void measure(const std::string& name, const std::function<void()>& operation) {
    const Timer timer;
    operation();
    const double seconds = timer.seconds();
    auto known =
        std::find_if(operations_.begin(), operations_.end(), [&](const Operation& o) { return o.name == name; });
    if (known == operations_.end()) known = operations_.insert(known, {name, {}});
    known->seconds_of_step.resize(steps_, 0.0);
    known->seconds_of_step.back() += seconds;
  }
  const std::vector<Operation>& operations() const { return operations_; }

 private:
  size_t steps_ = 0;
  std::vector<Operation> operations_;
};

/// One layer: master parameters in fp32, a copy in the MLPs' type, gradients and activations.
struct Layer {
  int64_t in = 0, out = 0;
  Array<float> weights, bias, weight_gradient, bias_gradient;
  Array<uint16_t> weights_bf16;
  Array<std::byte> output, output_gradient;
  Matrix y, dy;
};

class StepModel {
 public:
  StepModel(Backend& backend, const StepOptions& options);

  /// One step on the next of the prepared batches. Returns the mean loss.
  double step(OperationTimes& times);

 private:
  void make_store();
  void make_layers();
  void make_batches();
  std::vector<Layer> make_mlp(int64_t in, const std::vector<int64_t>& widths, uint32_t seed);
  Matrix weights_of(const Layer& layer) const;
  Matrix rows_of(Array<std::byte>& memory, int64_t rows, int64_t cols, DType type);

  void forward(OperationTimes& times, std::vector<Layer>& mlp, Matrix x);
  void backward(OperationTimes& times, std::vector<Layer>& mlp, const Matrix& x, const Matrix& dx);
  void update(OperationTimes& times, std::vector<Layer>& mlp);

  Backend& backend_;
  const StepOptions options_;
  std::unique_ptr<Stream> stream_;

  std::vector<int64_t> first_row_;  // of each table in the store, and the total
  Array<float> values_, state_;
  RowStore store_;
  std::vector<Layer> bottom_, top_;

  struct Batch {
    Array<int64_t> keys;
    Array<float> dense, labels;
  };
  std::vector<Batch> batches_;
  std::vector<int64_t> segments_;
  size_t next_batch_ = 0;

  Array<std::byte> dense_typed_, features_memory_, z_memory_, dz_memory_, ddense_memory_;
  Matrix features_, z_, dz_, ddense_;
  Array<float> dbags_, row_gradients_;
  Array<int64_t> distinct_keys_, distinct_segments_;
  Array<int32_t> row_of_key_, group_offsets_, group_items_;
  Array<const float*> addresses_;
  Array<double> loss_;
};

}  // namespace sparrow::bench
