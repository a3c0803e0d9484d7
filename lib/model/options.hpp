// Section `model` of the configuration.
#pragma once

#include <cstdint>
#include <vector>

namespace sparrow {

struct ModelOptions {
  int64_t embedding_dim = 64;
  std::vector<int64_t> bottom = {512, 256};  ///< hidden layers; the last one, of embedding_dim, is added
  std::vector<int64_t> top = {512, 256};     ///< hidden layers; the last one, of 1, is added
};

}  // namespace sparrow
