// Programs with a fault each, chosen by name: the emulator must end them and say why (see CMakeLists.txt for the
// words).
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

namespace {

constexpr int kThreads = 256;

__global__ void out_of_bounds(int* data) {
  data[threadIdx.x + 1] = 1;
}

__global__ void misaligned(int* data) {
  *reinterpret_cast<int2*>(data + 2 * threadIdx.x + 1) = make_int2(1, 2);
}

__global__ void shared_out_of_bounds(int* data) {
  __shared__ int values[kThreads];
  values[threadIdx.x + 1] = 1;
  __syncthreads();
  data[threadIdx.x] = values[threadIdx.x];
}

__global__ void missing_barrier(int* data) {
  __shared__ int values[kThreads];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  data[threadIdx.x] = values[(threadIdx.x + 37) % kThreads];
}

__global__ void divergent_barrier(int* data) {
  if (threadIdx.x < 100) __syncthreads();
  const int v = __shfl_down_sync(~0u, 1, 1);
  __syncthreads();
  data[threadIdx.x] = v;
}

__global__ void absent_lanes(int* data) {
  if (threadIdx.x < 16) data[threadIdx.x] = __shfl_down_sync(~0u, 1, 1);
}

__global__ void missing_atomic(int* data) {
  data[threadIdx.x % 8] += 1;
}

__global__ void missing_fence(int* data) {
  if (threadIdx.x != 0) return;
  data[blockIdx.x] = static_cast<int>(blockIdx.x);
  if (atomicAdd(data + kThreads - 1, 1) != static_cast<int>(gridDim.x) - 1) return;
  int sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += data[i];
  data[kThreads - 2] = sum;
}

__global__ void last_block_with_fences(int* data) {
  if (threadIdx.x != 0) return;
  data[blockIdx.x] = static_cast<int>(blockIdx.x);
  __threadfence();
  if (atomicAdd(data + kThreads - 1, 1) != static_cast<int>(gridDim.x) - 1) return;
  __threadfence();
  int sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += data[i];
  data[kThreads - 2] = sum;
}

__global__ void device_trap(int*) {
  asm("trap;");
}

struct Fault {
  const char* name;
  void (*kernel)(int*);
  unsigned blocks, threads;
};

constexpr Fault kFaults[] = {{"out_of_bounds", out_of_bounds, 1, kThreads},
                             {"misaligned", misaligned, 1, 8},
                             {"shared_out_of_bounds", shared_out_of_bounds, 1, kThreads},
                             {"missing_barrier", missing_barrier, 1, kThreads},
                             {"divergent_barrier", divergent_barrier, 1, 128},
                             {"absent_lanes", absent_lanes, 1, 32},
                             {"missing_atomic", missing_atomic, 2, 32},
                             {"missing_fence", missing_fence, 4, 32},
                             {"last_block_with_fences", last_block_with_fences, 4, 32},
                             {"device_trap", device_trap, 1, 1}};

}  // namespace

int main(int argc, char** argv) {
  for (const Fault& fault : kFaults) {
    if (argc != 2 || std::strcmp(argv[1], fault.name) != 0) continue;
    int* data = nullptr;
    if (cudaMalloc(reinterpret_cast<void**>(&data), kThreads * sizeof(int)) != cudaSuccess) return 2;
    if (cudaMemset(data, 0, kThreads * sizeof(int)) != cudaSuccess) return 2;
    fault.kernel<<<fault.blocks, fault.threads>>>(data);
    if (cudaDeviceSynchronize() != cudaSuccess) return 2;
    std::puts("finished");
    return 0;
  }
  std::puts("no such fault");
  return 1;
}
