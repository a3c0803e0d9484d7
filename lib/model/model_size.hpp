// How large a DLRM's dense part is and what it computes: what planning needs to know of a model without building one.
#pragma once

#include <cstdint>

#include "model/options.hpp"

namespace sparrow {

struct ModelSize {
  double parameters = 0;        ///< dense ones
  double flops_per_sample = 0;  ///< forward and backward: multiply-adds count two
  double flops_behind_per_sample =
      0;  ///< of these: all of the bottom MLP, and the gradients of the top MLP's parameters (Dlrm::backward_dense)
  double activation_bytes_per_sample =
      0;  ///< outputs of layers, interaction, its vectors, and the gradients of all of them
};

/// tables: embedding tables. The dense inputs are Criteo's 13.
ModelSize model_size(const ModelOptions& options, int64_t tables);

}  // namespace sparrow
