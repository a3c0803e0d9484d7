// The products of the linear layers by cuBLAS, to compare our own with. Found at run time: a machine without it times
// ours alone.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <string>

#include "kernels/backend.hpp"
#include "test/bench/kernel_cases.hpp"

namespace sparrow::bench {

class CublasProducts {
 public:
  explicit CublasProducts(cudaStream_t stream);
  ~CublasProducts();
  CublasProducts(const CublasProducts&) = delete;
  CublasProducts& operator=(const CublasProducts&) = delete;

  bool usable() const { return handle_ != nullptr; }
  const std::string& status() const { return status_; }  ///< its version, or why it is not usable

  /// Allocates operands of `type` (f32: plain fp32, no tensor cores) and a result of the same type; queues the product.
  std::function<void()> prepare(Backend& backend, const Gemm& gemm, DType type) const;

 private:
  void* handle_ = nullptr;
  std::string status_;
};

}  // namespace sparrow::bench
