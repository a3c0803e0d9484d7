// DLRM (Naumov et al., arXiv:1906.00091; facebookresearch/dlrm) on one rank: bottom MLP, sum-pooled embedding bags, dot
// interaction, top MLP, logits. It computes on rows that somebody else found and gives back the gradient of each bag:
// it knows neither ranks nor placement.
//
//   dense (b, F) -> bottom MLP  -> vector 0
//   rows -> sum pooling         -> vectors 1 .. T
//   features (b, T + 1, d) -> interaction (b, d + (T + 1) T / 2) -> top MLP -> logits (b)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "model/mlp.hpp"
#include "model/model_shape.hpp"

namespace sparrow {

/// One dense parameter, named as in facebookresearch/dlrm: bot_l.0.weight (n, k), bot_l.0.bias [n], bot_l.2.weight, ...
/// (nn.Sequential counts the ReLUs too), top_l.0.weight, ...
struct DenseParameter {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;  ///< of its first value in the flat array
  int64_t size() const { return shape.size() == 2 ? shape[0] * shape[1] : shape[0]; }
};

class Dlrm {
 public:
  /// max_batch: most samples of one forward pass. Memory for everything a step needs is taken here. Initial values as
  /// in facebookresearch/dlrm (normal with standard deviation sqrt(2 / (n + k)), biases sqrt(1 / n)), from (seed,
  /// parameter, element).
  Dlrm(Backend& backend, Stream& stream, const ModelShape& shape, DType precision, int64_t max_batch, uint64_t seed);

  const ModelShape& shape() const { return shape_; }

  /// The flat arrays of all dense parameters and their gradients, in device memory. After changing parameters call
  /// refresh().
  const std::vector<DenseParameter>& parameters() const { return list_; }
  int64_t parameter_count() const { return values_.size(); }
  float* values() const { return values_.data(); }
  float* gradients() const { return gradients_.data(); }

  /// Brings the bf16 copies of the weights up to date (nothing to do with fp32).
  void refresh(Stream& stream);

  // A step in four parts, so that embedding rows can be on their way before the second and after the third:
  /// The bottom MLP. dense: f32 (samples, dense features), which stays until backward_dense.
  void forward_dense(Stream& stream, const float* dense, int64_t samples);
  /// The rest: logits f32 [b], valid until the next one. bags: of as many samples. rows: addresses of the distinct rows
  /// that bags refer to.
  const float* forward_bags(Stream& stream, const Bags& bags, const float* const* rows);
  /// The sum of the batch's losses into loss_sum (host or pinned); gradients of mean loss (scale = 1 / global batch) of
  /// each bag, in bag order, into the matrix returned, (tables * b, dim), valid until the next call.
  Matrix backward_to_bags(Stream& stream, const float* labels, float scale, double* loss_sum);
  /// gradients(), of the parameters of both MLPs.
  void backward_dense(Stream& stream);

  /// The first two.
  const float* forward(Stream& stream, const float* dense, const Bags& bags, const float* const* rows) {
    forward_dense(stream, dense, bags.samples);
    return forward_bags(stream, bags, rows);
  }
  /// The last two.
  Matrix backward(Stream& stream, const float* labels, float scale, double* loss_sum) {
    const Matrix bags = backward_to_bags(stream, labels, scale, loss_sum);
    backward_dense(stream);
    return bags;
  }

  /// After forward: the loss alone.
  void loss(Stream& stream, const float* labels, double* loss_sum);

 private:
  void add_layers(const std::string& name, const std::vector<Layer>& layers);
  std::vector<LinearParameters> layers(size_t first, size_t count) const;
  void initialise(Stream& stream, uint64_t seed);
  Matrix features() const;

  Backend& backend_;
  ModelShape shape_;
  DType precision_;
  std::vector<DenseParameter> list_;
  Array<float> values_, gradients_;
  Array<uint16_t> values_bf16_;
  std::vector<Mlp> mlps_;  ///< bottom, top
  Array<std::byte> dense_input_, z_, dz_, ddense_, dlogits_;
  Array<float> features_, dbags_, logits_;
  int64_t batch_ = 0;  ///< samples of the last forward
};

}  // namespace sparrow
