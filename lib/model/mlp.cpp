#include "model/mlp.hpp"

#include "base/error.hpp"

namespace sparrow {

Mlp::Mlp(Backend& backend, std::vector<LinearParameters> layers, DType precision, bool relu_last, int64_t max_batch)
    : backend_(backend), layers_(std::move(layers)), precision_(precision), relu_last_(relu_last) {
  SPARROW_CHECK(!layers_.empty());
  for (size_t i = 0; i + 1 < layers_.size(); ++i) {
    const int64_t bytes = max_batch * layers_[i].outputs * size_of(precision_);
    activations_.emplace_back(backend_, Memory::device, bytes, MemoryPart::activations);
    gradients_.emplace_back(backend_, Memory::device, bytes, MemoryPart::activations);
  }
}

Matrix Mlp::weight(const LinearParameters& layer) const {
  if (precision_ == DType::f32) return Matrix::f32(layer.weight, layer.outputs, layer.inputs);
  return Matrix::of(DType::bf16, layer.weight_bf16, layer.outputs, layer.inputs);
}

Matrix Mlp::activation(size_t layer, int64_t batch) const {
  return Matrix::of(precision_, activations_[layer].data(), batch, layers_[layer].outputs);
}

Matrix Mlp::gradient(size_t layer, int64_t batch) const {
  return Matrix::of(precision_, gradients_[layer].data(), batch, layers_[layer].outputs);
}

void Mlp::forward(Stream& stream, const Matrix& x, const Matrix& y) {
  x_ = x;
  Matrix input = x;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const bool last = i + 1 == layers_.size();
    const Matrix output = last ? y : activation(i, x.rows);
    backend_.linear_forward(stream, input, weight(layers_[i]), layers_[i].bias, !last || relu_last_, output);
    input = output;
  }
}

void Mlp::backward_inputs(Stream& stream, const Matrix& dy, const Matrix& dx) {
  dy_ = dy;
  Matrix doutput = dy;
  for (size_t i = layers_.size(); i-- > 1;) {
    const Matrix dinput = gradient(i - 1, dy.rows);
    backend_.linear_backward_input(stream, doutput, weight(layers_[i]), activation(i - 1, dy.rows), dinput);
    doutput = dinput;
  }
  if (dx.data) backend_.linear_backward_input(stream, doutput, weight(layers_[0]), Matrix{}, dx);
}

void Mlp::backward_parameters(Stream& stream) {
  for (size_t i = layers_.size(); i-- > 0;) {
    const Matrix doutput = i + 1 == layers_.size() ? dy_ : gradient(i, dy_.rows);
    const Matrix input = i == 0 ? x_ : activation(i - 1, dy_.rows);
    backend_.linear_backward_weights(stream, doutput, input, layers_[i].weight_gradient, layers_[i].bias_gradient);
  }
}

}  // namespace sparrow
