// CUDA runtime: what nvcc's host code calls to register a program's kernels and to launch them, and questions about
// kernels.
#include <algorithm>
#include <cstring>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime.hpp"

namespace sparrow::emulator {
namespace {

struct Registry {
  std::shared_mutex mutex;
  std::unordered_map<const void*, Kernel> kernels;
  std::unordered_map<const void*, std::pair<std::shared_ptr<Module>, std::string>> variables;

  static Registry& instance() {
    static Registry* registry = new Registry;
    return *registry;
  }
};

/// Compiled code as nvcc embeds it: a header, then entries of machine code and PTX for several architectures.
struct FatBinaryWrapper {
  int magic, version;
  const void* data;
  void* unused;
};
struct FatBinaryHeader {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;
};
struct FatBinaryEntry {
  uint16_t kind, unknown;
  uint32_t header_bytes;
  uint64_t bytes;
  uint32_t unused[3];
  uint32_t architecture;
  uint64_t unused2;
  uint64_t flags;
};
constexpr uint16_t kPtx = 1;
constexpr uint64_t kCompressed = 0xF000;

/// The PTX for the newest architecture.
std::string embedded_ptx(const FatBinaryWrapper& wrapper) {
  const char* data = static_cast<const char*>(wrapper.data);
  FatBinaryHeader header;
  std::memcpy(&header, data, sizeof header);
  const char* at = data + header.header_bytes;
  const char* end = at + header.bytes;
  std::string ptx;
  uint32_t newest = 0;
  bool compressed = false;
  while (at < end) {
    FatBinaryEntry entry;
    std::memcpy(&entry, at, sizeof entry);
    if (entry.kind == kPtx && (entry.flags & kCompressed)) {
      compressed = true;
    } else if (entry.kind == kPtx && entry.architecture >= newest) {
      newest = entry.architecture;
      ptx.assign(at + entry.header_bytes, strnlen(at + entry.header_bytes, entry.bytes));
    }
    at += entry.header_bytes + entry.bytes;
  }
  if (ptx.empty()) {
    die(compressed ? "the program's PTX is compressed: compile with nvcc --no-compress"
                   : "no PTX in the program: compile with -gencode arch=compute_80,code=compute_80");
  }
  return ptx;
}

cudaError_t check_launch(const Kernel& kernel, dim3 grid, dim3 block, size_t dynamic_shared) {
  const Function& f = kernel.function();
  if (f.start < 0) return cudaErrorInvalidDeviceFunction;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  const bool good_block = threads > 0 && threads <= 1024 && block.z <= 64 &&
                          (f.max_threads == 0 || threads <= static_cast<uint64_t>(f.max_threads));
  const bool good_grid = grid.x && grid.y && grid.z && grid.x <= 0x7fffffff && grid.y <= 65535 && grid.z <= 65535;
  if (!good_block || !good_grid) return cudaErrorInvalidConfiguration;
  const auto limit = static_cast<uint64_t>(
      std::max<int>(kSharedPerBlock, kernel.dynamic_shared_limit + static_cast<int>(f.shared_bytes)));
  return f.shared_bytes + dynamic_shared > std::min<uint64_t>(limit, kSharedPerBlockOptIn) ? cudaErrorInvalidValue
                                                                                           : cudaSuccess;
}

/// Queues a launch. Its arguments are copied now.
cudaError_t launch(const void* host_function, dim3 grid, dim3 block, void** arguments, size_t dynamic_shared,
                   bool cooperative, cudaStream_t stream) {
  if (device_count() < 1) return report(cudaErrorNoDevice);
  Kernel kernel;
  if (!find_kernel(host_function, kernel)) return report(cudaErrorInvalidDeviceFunction);
  if (const cudaError_t error = check_launch(kernel, grid, block, dynamic_shared)) return report(error);
  Queue* queue = queue_of(stream);
  if (queue != Streams::instance().default_queue() && queue->device != current_device()) {
    return report(cudaErrorInvalidResourceHandle);
  }
  const Function& f = kernel.function();
  auto queued = std::make_shared<Launch>();
  queued->module = kernel.module.get();  // modules stay for the program's life
  queued->function = &f;
  queued->grid = grid;
  queued->block = block;
  queued->dynamic_shared = dynamic_shared;
  queued->register_bytes = f.register_bytes + 64;
  queued->local_bytes = (std::max(f.local_bytes, kernel.module->function_local_bytes) + 15) / 16 * 16;
  queued->parameters.assign(kKernelParameters + 64, 0);
  queued->cooperative = cooperative;
  for (size_t k = 0; k < f.parameters.size(); ++k) {
    std::memcpy(&queued->parameters[f.parameters[k].offset], arguments[k], f.parameters[k].size);
  }
  Streams::instance().enqueue(queue, [queued] {
    run_grid(*queued);
    return true;
  });
  return cudaSuccess;
}

/// Blocks that fit a multiprocessor, as far as threads and shared memory limit it; registers are not counted.
int most_blocks(const void* host_function, int block_size, size_t dynamic_shared) {
  Kernel kernel;
  if (!find_kernel(host_function, kernel) || block_size < 1 || block_size > 1024) return 0;
  const uint64_t shared = kernel.function().shared_bytes + dynamic_shared;
  if (shared > static_cast<uint64_t>(kSharedPerBlockOptIn)) return 0;
  const int by_threads = 2048 / ((block_size + 31) / 32 * 32);
  const auto by_shared = static_cast<int>(static_cast<uint64_t>(kSharedPerMultiprocessor) / (shared + kSharedReserved));
  return std::min({by_threads, by_shared, 32});
}

struct PushedConfiguration {
  dim3 grid, block;
  size_t dynamic_shared;
  cudaStream_t stream;
};

std::vector<PushedConfiguration>& pushed_configurations() {
  static thread_local std::vector<PushedConfiguration> stack;
  return stack;
}

}  // namespace

bool find_kernel(const void* host_function, Kernel& kernel) {
  Registry& registry = Registry::instance();
  const std::shared_lock lock(registry.mutex);
  const auto found = registry.kernels.find(host_function);
  if (found == registry.kernels.end()) return false;
  kernel = found->second;
  return true;
}

char* symbol_address(const void* symbol, uint64_t& bytes) {
  Registry& registry = Registry::instance();
  const std::shared_lock lock(registry.mutex);
  const auto found = registry.variables.find(symbol);
  if (found == registry.variables.end()) return nullptr;
  const Variable& variable = found->second.first->globals.at(found->second.second);
  bytes = variable.size;
  return reinterpret_cast<char*>(variable.offset);
}

}  // namespace sparrow::emulator

using namespace sparrow::emulator;

extern "C" {

// --- Called by code that nvcc generates ---

void** __cudaRegisterFatBinary(void* wrapper) {
  auto module = std::make_shared<Module>();
  parse_module(*module, embedded_ptx(*static_cast<const FatBinaryWrapper*>(wrapper)));
  return reinterpret_cast<void**>(new std::shared_ptr<Module>(std::move(module)));
}
void __cudaRegisterFatBinaryEnd(void**) {}
char __cudaInitModule(void**) {
  return 1;
}
void __cudaUnregisterFatBinary(void**) {
  static bool reported = !switch_set("CUDA_EMULATOR_STATISTICS");
  if (!std::exchange(reported, true)) {
    std::fprintf(stderr, "cuda emulator: %llu thread-instructions\n",
                 static_cast<unsigned long long>(executed_instructions()));
  }
}

void __cudaRegisterFunction(void** module, const char* host_function, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  Registry& registry = Registry::instance();
  const std::unique_lock lock(registry.mutex);
  registry.kernels[host_function] = {*reinterpret_cast<std::shared_ptr<Module>*>(module), name};
}

void __cudaRegisterVar(void** module, char* host_variable, char*, const char* name, int, size_t, int, int) {
  Registry& registry = Registry::instance();
  const std::unique_lock lock(registry.mutex);
  registry.variables[host_variable] = {*reinterpret_cast<std::shared_ptr<Module>*>(module), name};
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t dynamic_shared, struct CUstream_st* stream) {
  pushed_configurations().push_back({grid, block, dynamic_shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* dynamic_shared, void* stream) {
  if (pushed_configurations().empty()) return cudaErrorMissingConfiguration;
  const PushedConfiguration c = pushed_configurations().back();
  pushed_configurations().pop_back();
  *grid = c.grid;
  *block = c.block;
  *dynamic_shared = c.dynamic_shared;
  *static_cast<cudaStream_t*>(stream) = c.stream;
  return cudaSuccess;
}

// A kernel's handle is the address of its host function.
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host_function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(host_function));
  return cudaSuccess;
}
cudaError_t cudaGetKernel(cudaKernel_t* kernel, const void* host_function) {
  return __cudaGetKernel(kernel, host_function);
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t dynamic_shared,
                               cudaStream_t stream) {
  return launch(reinterpret_cast<const void*>(kernel), grid, block, arguments, dynamic_shared, false, stream);
}

// --- Called by programs ---

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t dynamic_shared,
                             cudaStream_t stream) {
  return launch(kernel, grid, block, arguments, dynamic_shared, false, stream);
}

cudaError_t cudaLaunchCooperativeKernel(const void* kernel, dim3 grid, dim3 block, void** arguments,
                                        size_t dynamic_shared, cudaStream_t stream) {
  const int fits =
      most_blocks(kernel, static_cast<int>(block.x * block.y * block.z), dynamic_shared) * kMultiprocessorCount;
  if (uint64_t{grid.x} * grid.y * grid.z > static_cast<uint64_t>(fits))
    return report(cudaErrorCooperativeLaunchTooLarge);
  return launch(kernel, grid, block, arguments, dynamic_shared, true, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments) {
  bool cooperative = false;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    if (attribute.id == cudaLaunchAttributeCooperative) cooperative = attribute.val.cooperative;
    if (attribute.id == cudaLaunchAttributeClusterDimension &&
        attribute.val.clusterDim.x * attribute.val.clusterDim.y * attribute.val.clusterDim.z > 1) {
      die("clusters of several blocks are not supported");
    }
  }
  return launch(kernel, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes, cooperative,
                config->stream);
}

cudaError_t cudaFuncSetAttribute(const void* host_function, cudaFuncAttribute attribute, int value) {
  Registry& registry = Registry::instance();
  const std::unique_lock lock(registry.mutex);
  const auto found = registry.kernels.find(host_function);
  if (found == registry.kernels.end()) return report(cudaErrorInvalidDeviceFunction);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  const auto fixed = static_cast<int>(found->second.function().shared_bytes);
  if (value < 0 || value + fixed > kSharedPerBlockOptIn) return report(cudaErrorInvalidValue);
  found->second.dynamic_shared_limit = std::max(value, kSharedPerBlock - fixed);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* host_function) {
  Kernel kernel;
  *attributes = {};
  if (!find_kernel(host_function, kernel)) return report(cudaErrorInvalidDeviceFunction);
  const Function& f = kernel.function();
  attributes->sharedSizeBytes = f.shared_bytes;
  attributes->localSizeBytes = f.local_bytes;
  attributes->maxThreadsPerBlock = f.max_threads ? f.max_threads : 1024;
  attributes->numRegs = 32;
  attributes->ptxVersion = kernel.module->target;
  attributes->binaryVersion = 90;
  attributes->maxDynamicSharedSizeBytes = kernel.dynamic_shared_limit;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* host_function, int block_size,
                                                          size_t dynamic_shared) {
  *blocks = most_blocks(host_function, block_size, dynamic_shared);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* host_function,
                                                                   int block_size, size_t dynamic_shared, unsigned) {
  *blocks = most_blocks(host_function, block_size, dynamic_shared);
  return cudaSuccess;
}
}
