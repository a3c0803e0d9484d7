// A multi-layer perceptron on one rank: parameters are views into the model's flat arrays, activations are its own.
// Every layer but an optional last one is followed by a ReLU, fused into the GEMM; its gradient is fused into the next
// layer's input gradient.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.hpp"

namespace sparrow {

/// Where one linear layer finds its parameters (inputs k, outputs n).
struct LinearParameters {
  int64_t inputs = 0, outputs = 0;
  float* weight = nullptr;           ///< f32 (n, k), the master copy
  float* bias = nullptr;             ///< f32 [n]
  float* weight_gradient = nullptr;  ///< f32 (n, k)
  float* bias_gradient = nullptr;    ///< f32 [n]
  void* weight_bf16 = nullptr;       ///< bf16 (n, k), only with precision bf16
};

class Mlp {
 public:
  /// relu_last: whether the last layer has a ReLU (bottom MLP: yes; top MLP: no, it gives logits).
  Mlp(Backend& backend, std::vector<LinearParameters> layers, DType precision, bool relu_last, int64_t max_batch);

  /// x (b, inputs of the first layer) of the precision's type -> y (b, outputs of the last), f32 or that type. Keeps x
  /// and every activation until the backward pass; y of a ReLU'd last layer is the caller's.
  void forward(Stream& stream, const Matrix& x, const Matrix& y);

  /// dy: gradient before the last layer's ReLU, of the precision's type, kept until backward_parameters. The gradients
  /// of all layers' inputs; dx, if it has data, gets that of x.
  void backward_inputs(Stream& stream, const Matrix& dy, const Matrix& dx);
  /// After backward_inputs: the parameters' gradients, which nothing else of the backward pass waits for.
  void backward_parameters(Stream& stream);

 private:
  Matrix weight(const LinearParameters& layer) const;
  Matrix activation(size_t layer, int64_t batch) const;
  Matrix gradient(size_t layer, int64_t batch) const;

  Backend& backend_;
  std::vector<LinearParameters> layers_;
  DType precision_;
  bool relu_last_;
  Matrix x_, dy_;
  std::vector<Array<std::byte>> activations_, gradients_;  ///< outputs of all layers but the last, and their gradients
};

}  // namespace sparrow
