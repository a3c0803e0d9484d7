// What kernels share: values of either type as floats, four at a time in one 128-bit (or 64-bit) access, and the shape
// of a launch whose threads walk over rows.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "base/error.hpp"
#include "kernels/backend.hpp"

namespace sparrow::cuda {

using bf16 = __nv_bfloat16;

__device__ inline float to_float(float value) {
  return value;
}
__device__ inline float to_float(bf16 value) {
  return __bfloat162float(value);
}

template <class T>
__device__ inline T from_float(float value) {
  if constexpr (sizeof(T) == 2) {
    return __float2bfloat16_rn(value);
  } else {
    return value;
  }
}

/// Whether four values of T can be read at this address in one access.
template <class T>
__host__ __device__ inline bool aligned4(const T* address) {
  return reinterpret_cast<uintptr_t>(address) % (4 * sizeof(T)) == 0;
}

__device__ inline float4 load4(const float* from) {
  if (aligned4(from)) return *reinterpret_cast<const float4*>(from);
  return make_float4(from[0], from[1], from[2], from[3]);
}

__device__ inline float4 load4(const bf16* from) {
  if (aligned4(from)) {
    const uint2 pairs = *reinterpret_cast<const uint2*>(from);
    const float2 low = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&pairs.x));
    const float2 high = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&pairs.y));
    return make_float4(low.x, low.y, high.x, high.y);
  }
  return make_float4(to_float(from[0]), to_float(from[1]), to_float(from[2]), to_float(from[3]));
}

template <class T>
__device__ inline void store4(T* to, float4 v) {
  if (aligned4(to)) {
    if constexpr (sizeof(T) == 4) {
      *reinterpret_cast<float4*>(to) = v;
    } else {
      uint2 pairs;
      *reinterpret_cast<__nv_bfloat162*>(&pairs.x) = __floats2bfloat162_rn(v.x, v.y);
      *reinterpret_cast<__nv_bfloat162*>(&pairs.y) = __floats2bfloat162_rn(v.z, v.w);
      *reinterpret_cast<uint2*>(to) = pairs;
    }
    return;
  }
  to[0] = from_float<T>(v.x);
  to[1] = from_float<T>(v.y);
  to[2] = from_float<T>(v.z);
  to[3] = from_float<T>(v.w);
}

/// A pointer that was read from memory is to global memory (device or pinned): the compiler cannot know, and would use
/// slower loads.
template <class T>
__device__ inline T* global_pointer(T* pointer) {
  __builtin_assume(__isGlobal(pointer));
  return pointer;
}

__device__ inline float4 operator+(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

/// Calls body(column, value count) for this thread's parts of a row of `dim` values: four values at a time, the last
/// dim % 4 singly. Threads that share a row differ in threadIdx.x; see row_launch.
template <class Four, class One>
__device__ inline void for_columns(int dim, Four four, One one) {
  for (int c = 4 * static_cast<int>(threadIdx.x); c + 3 < dim; c += 4 * static_cast<int>(blockDim.x)) four(c);
  for (int c = dim / 4 * 4 + static_cast<int>(threadIdx.x); c < dim; c += static_cast<int>(blockDim.x)) one(c);
}

template <class T>
__device__ inline T* values(const Matrix& matrix) {
  return static_cast<T*>(matrix.data);
}

struct Launch {
  dim3 grid, block;
};

/// Threads for n rows of `dim` values: blockDim.x threads side by side on a row, each four values at a time, blockDim.y
/// rows to a block.
inline Launch row_launch(int64_t n, int64_t dim) {
  unsigned lanes = 1;
  while (lanes < 32 && lanes * 4 < dim) lanes *= 2;
  const unsigned rows = 256 / lanes;
  const int64_t blocks = (n + rows - 1) / rows;
  SPARROW_CHECK(blocks <= INT32_MAX && dim <= INT32_MAX, "{} rows of {} values are too many for one launch", n, dim);
  return {dim3(static_cast<unsigned>(blocks)), dim3(lanes, rows)};
}

/// The row of this thread under row_launch.
__device__ inline int64_t row_of_thread() {
  return int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
}

/// Threads for n independent elements, 256 to a block.
inline Launch flat_launch(int64_t n) {
  SPARROW_CHECK((n + 255) / 256 <= INT32_MAX, "{} elements are too many for one launch", n);
  return {dim3(static_cast<unsigned>((n + 255) / 256)), dim3(256)};
}

__device__ inline int64_t flat_index() {
  return int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}

/// Calls f with a null pointer to the C++ type of a matrix's elements.
template <class F>
void with_type(DType type, F f) {
  if (type == DType::f32) {
    f(static_cast<float*>(nullptr));
  } else {
    f(static_cast<bf16*>(nullptr));
  }
}

}  // namespace sparrow::cuda
