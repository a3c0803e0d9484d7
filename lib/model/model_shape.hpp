// The shape of a DLRM's dense part: layers, widths, and what follows from them for memory and arithmetic. The model is built
// from it, memory is planned from it, and planning knows a model by it without building one.
//
//   dense (b, dense_features) -> bottom MLP -> vector 0
//   bags (b, tables, dim)                   -> vectors 1 .. tables
//   vectors -> interaction (b, dim + pairs of vectors) -> top MLP -> logits (b)
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.hpp"
#include "model/options.hpp"

namespace sparrow {

/// A linear layer: weights (outputs, inputs), bias [outputs].
struct Layer {
  int64_t inputs = 0, outputs = 0;
  int64_t weights() const { return inputs * outputs; }
  int64_t parameters() const { return weights() + outputs; }
};

struct ModelShape {
  ModelShape() = default;
  /// dense_features >= 1; tables >= 1: the number of embedding tables.
  ModelShape(const ModelOptions& options, int64_t dense_features, int64_t tables);

  int64_t dense_features = 0, tables = 0, dim = 0;
  std::vector<Layer> bottom, top;  ///< the last of the bottom gives dim numbers, the last of the top one

  int64_t vectors() const {
    return tables + 1;
  }  ///< of a sample, dim numbers each: the bottom MLP's and a bag per table
  /// Numbers of a sample that go into the top MLP: vector 0, and the dot products of all pairs of vectors.
  int64_t interaction_width() const { return dim + vectors() * (vectors() - 1) / 2; }
  int64_t parameters() const;  ///< of both MLPs
  /// Forward and backward; multiply-adds count two.
  int64_t flops_per_sample() const;
  /// Of these: all of the bottom MLP, and the gradients of the top MLP's parameters (Dlrm::backward_dense).
  int64_t flops_behind_per_sample() const;
  /// Of a forward and backward pass in fp32: outputs of layers, interaction, its vectors, the gradients of all of them, inputs.
  int64_t activation_bytes_per_sample() const;
  /// The products of a step of at most max_batch samples.
  std::vector<LayerShape> products(DType precision, int64_t max_batch) const;
};

}  // namespace sparrow
