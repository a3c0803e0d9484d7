#include "test/bench/cublas_products.hpp"

#include <cublas_v2.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include "base/error.hpp"

namespace sparrow::bench {

namespace {

void* library() {
  static void* const found = dlopen(fmt::format("libcublas.so.{}", CUBLAS_VER_MAJOR).c_str(), RTLD_NOW | RTLD_LOCAL);
  return found;
}

template <class Function>
Function* find(const char* name) {
  auto* function = reinterpret_cast<Function*>(dlsym(library(), name));
  if (!function) fail("cuBLAS has no {}", name);
  return function;
}

/// cublasGemmEx, which the header overloads.
using GemmEx = cublasStatus_t(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                              const void*, cudaDataType, int, const void*, cudaDataType, int, const void*, void*,
                              cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("{}: {}", call, static_cast<int>(status));
}

}  // namespace

CublasProducts::CublasProducts(cudaStream_t stream) {
  if (!library()) {
    status_ = fmt::format("not found ({})", dlerror());
    return;
  }
  cublasHandle_t handle = nullptr;
  const cublasStatus_t made = find<decltype(cublasCreate_v2)>("cublasCreate_v2")(&handle);
  if (made != CUBLAS_STATUS_SUCCESS) {
    status_ = fmt::format("does not start here (status {})", static_cast<int>(made));
    return;
  }
  check(find<decltype(cublasSetStream_v2)>("cublasSetStream_v2")(handle, stream), "cublasSetStream");
  handle_ = handle;
  status_ = fmt::format("{}.{}.{}", CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH);
}

CublasProducts::~CublasProducts() {
  if (handle_) find<decltype(cublasDestroy_v2)>("cublasDestroy_v2")(static_cast<cublasHandle_t>(handle_));
}

/// cuBLAS thinks in columns: a row-major out (m, n) is its (n, m), the product of b and a in that order.
std::function<void()> CublasProducts::prepare(Backend& backend, const Gemm& gemm, DType type) const {
  const auto bytes = [&](int64_t rows, int64_t cols) { return rows * cols * size_of(type); };
  const auto a = std::make_shared<Buffer>(backend, Memory::device, bytes(gemm.m, gemm.k));
  const auto b = std::make_shared<Buffer>(backend, Memory::device, bytes(gemm.n, gemm.k));
  const auto out = std::make_shared<Buffer>(backend, Memory::device, bytes(gemm.m, gemm.n));
  const auto multiply = find<GemmEx>("cublasGemmEx");
  return [=, handle = static_cast<cublasHandle_t>(handle_)] {
    const float one = 1, zero = 0;
    const cudaDataType_t element = type == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
    const int m = static_cast<int>(gemm.m), n = static_cast<int>(gemm.n), k = static_cast<int>(gemm.k);
    check(multiply(handle, gemm.b_along_k ? CUBLAS_OP_T : CUBLAS_OP_N, gemm.a_along_k ? CUBLAS_OP_N : CUBLAS_OP_T, n, m,
                   k, &one, b->data(), element, gemm.b_along_k ? k : n, a->data(), element, gemm.a_along_k ? k : m,
                   &zero, out->data(), element, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
  };
}

}  // namespace sparrow::bench
