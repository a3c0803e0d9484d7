#include "model/model_size.hpp"

namespace sparrow {

ModelSize model_size(const ModelOptions& options, int64_t tables) {
  constexpr int64_t kDenseInputs = 13;
  ModelSize size;
  const int64_t dim = options.embedding_dim, vectors = tables + 1;
  double widths = 0;
  const auto add_mlp = [&](int64_t inputs, std::vector<int64_t> outputs, int64_t last, int passes_behind) {
    outputs.push_back(last);
    for (const int64_t width : outputs) {
      const double weights = static_cast<double>(inputs) * static_cast<double>(width);
      size.parameters += weights + static_cast<double>(width);
      size.flops_per_sample += 3 * 2 * weights;  // forward, gradient of inputs, gradient of weights
      size.flops_behind_per_sample += passes_behind * 2 * weights;
      widths += static_cast<double>(width);
      inputs = width;
    }
  };
  const int64_t interaction = dim + vectors * (vectors - 1) / 2;
  add_mlp(kDenseInputs, options.bottom, dim, 3);
  add_mlp(interaction, options.top, 1, 1);
  size.flops_per_sample += 3 * static_cast<double>(vectors) * static_cast<double>(tables) * static_cast<double>(dim);
  size.activation_bytes_per_sample =
      2 * 4 * (widths + static_cast<double>(interaction) + static_cast<double>(vectors * dim)) + 4 * kDenseInputs;
  return size;
}

}  // namespace sparrow
