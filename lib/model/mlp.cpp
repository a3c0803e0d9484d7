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

void Mlp::backward(Stream& stream, const Matrix& dy, const Matrix& dx) {
  Matrix doutput = dy;
  for (size_t i = layers_.size(); i-- > 0;) {
    const LinearParameters& layer = layers_[i];
    const Matrix input = i == 0 ? x_ : activation(i - 1, dy.rows);
    backend_.linear_backward_weights(stream, doutput, input, layer.weight_gradient, layer.bias_gradient);
    if (i == 0) {
      if (dx.data) backend_.linear_backward_input(stream, doutput, weight(layer), Matrix{}, dx);
    } else {
      const Matrix dinput = gradient(i - 1, dy.rows);
      backend_.linear_backward_input(stream, doutput, weight(layer), input, dinput);
      doutput = dinput;
    }
  }
}

}  // namespace sparrow
