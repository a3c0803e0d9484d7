#include "model/model_shape.hpp"

#include <functional>

#include "base/error.hpp"

namespace sparrow {

namespace {

std::vector<Layer> layers_of(int64_t inputs, const std::vector<int64_t>& hidden, int64_t outputs) {
  std::vector<Layer> layers;
  for (const int64_t width : hidden) {
    layers.push_back({inputs, width});
    inputs = width;
  }
  layers.push_back({inputs, outputs});
  return layers;
}

template <class Of>
int64_t sum(const std::vector<Layer>& layers, Of of) {
  int64_t result = 0;
  for (const Layer& layer : layers) result += std::invoke(of, layer);
  return result;
}

}  // namespace

ModelShape::ModelShape(const ModelOptions& options, int64_t features, int64_t embedding_tables)
    : dense_features(features), tables(embedding_tables), dim(options.embedding_dim) {
  SPARROW_CHECK(dense_features > 0 && tables > 0 && dim > 0, "a model of {} dense features, {} tables, dimension {}",
                dense_features, tables, dim);
  bottom = layers_of(dense_features, options.bottom, dim);
  top = layers_of(interaction_width(), options.top, 1);
}

int64_t ModelShape::parameters() const {
  return sum(bottom, &Layer::parameters) + sum(top, &Layer::parameters);
}

int64_t ModelShape::flops_per_sample() const {
  // Of each layer: the output, the gradient of its inputs, that of its weights.
  return 3 * 2 * (sum(bottom, &Layer::weights) + sum(top, &Layer::weights)) + 3 * vectors() * tables * dim;
}

int64_t ModelShape::flops_behind_per_sample() const {
  return 3 * 2 * sum(bottom, &Layer::weights) + 2 * sum(top, &Layer::weights);
}

int64_t ModelShape::activation_bytes_per_sample() const {
  const auto outputs = [](const Layer& layer) { return layer.outputs; };
  const int64_t values = sum(bottom, outputs) + sum(top, outputs) + interaction_width() + vectors() * dim;
  return 2 * 4 * values + 4 * dense_features;
}

std::vector<LayerShape> ModelShape::products(DType precision, int64_t max_batch) const {
  std::vector<LayerShape> shapes;
  for (const std::vector<Layer>* mlp : {&bottom, &top})
    for (const Layer& layer : *mlp) shapes.push_back({max_batch, layer.inputs, layer.outputs, precision});
  return shapes;
}

}  // namespace sparrow
