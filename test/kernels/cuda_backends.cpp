#include <cstdlib>

#include "kernels/cuda_module.hpp"
#include "test/kernels/backends.hpp"

namespace sparrow::test {

/// The CUDA backend, on a GPU or under test/cuda_emulator.
std::vector<NamedBackend> backends_under_test() {
  std::vector<NamedBackend> backends;
  backends.push_back({"cuda", make_cuda_backend({}, SPARROW_CUDA_MODULE_DIR)});
  return backends;
}

}  // namespace sparrow::test
