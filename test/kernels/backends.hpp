// The backends whose operations the tests of this folder check.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.hpp"

namespace sparrow::test {

struct NamedBackend {
  std::string name;
  std::unique_ptr<Backend> backend;
};

/// Defined once for each executable of these tests: host_backends.cpp, cuda_backends.cpp.
std::vector<NamedBackend> backends_under_test();

}  // namespace sparrow::test
