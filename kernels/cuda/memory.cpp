// Memory, streams, events and copies of the CUDA backend, and the function by which the program finds it.
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/error.hpp"
#include "base/host_memory.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda_module.hpp"

namespace sparrow::cuda {

void call_failed(cudaError_t status, const char* call, const char* file, int line) {
  fail("{}:{}: {}: {}: {}", file, line, call, cudaGetErrorName(status), cudaGetErrorString(status));
}

CudaStream::CudaStream(int device, DeviceMemory* memory) : device_(device), memory_(memory) {
  SPARROW_CUDA(cudaSetDevice(device));
  SPARROW_CUDA(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking));
}

cudaStream_t CudaStream::handle() const {
  SPARROW_CUDA(cudaSetDevice(device_));
  return handle_;
}

CudaStream::~CudaStream() {
  // A destructor must not throw: an error here was reported, or will be, by the next checked call.
  cudaStreamSynchronize(handle_);
  if (scratch_) memory_->release(scratch_);
  cudaStreamDestroy(handle_);
}

void* CudaStream::scratch(int64_t bytes) {
  if (bytes > scratch_bytes_) {
    SPARROW_CHECK(memory_ != nullptr, "this stream has no scratch space");
    if (scratch_) memory_->release(scratch_);
    scratch_ = nullptr;
    scratch_bytes_ = 0;
    scratch_ = memory_->allocate(bytes, MemoryPart::scratch);
    scratch_bytes_ = bytes;
  }
  return scratch_;
}

CudaEvent::CudaEvent() {
  SPARROW_CUDA(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming));
}

CudaEvent::~CudaEvent() {
  cudaEventDestroy(handle_);
}

namespace {

int device_count() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess) fail("no CUDA device: {}", cudaGetErrorString(status));
  if (devices == 0) fail("no CUDA device");
  return devices;
}

}  // namespace

CudaBackend::CudaBackend(int device, bool tf32, int64_t arena_bytes) : device_(device), tf32_(tf32) {
  const int devices = device_count();
  if (device < 0 || device >= devices) fail("CUDA device {} does not exist: this machine has {}", device, devices);
  SPARROW_CUDA(cudaSetDevice(device));
  memory_ = std::make_unique<DeviceMemory>(device, arena_bytes);
}

void* CudaBackend::allocate(Memory memory, int64_t bytes, MemoryPart part) {
  SPARROW_CHECK(bytes >= 0, "allocation of {} bytes", bytes);
  if (bytes == 0) return nullptr;
  if (memory == Memory::device) return memory_->allocate(bytes, part);
  void* data = nullptr;
  const auto size = static_cast<size_t>(bytes);
  SPARROW_CUDA(cudaSetDevice(device_));
  if (memory == Memory::pinned) {
    if (cudaHostAlloc(&data, size, cudaHostAllocMapped | cudaHostAllocPortable) == cudaSuccess) return data;
    cudaGetLastError();
    fail("pinned host memory: {} bytes do not fit", bytes);
  }
  return allocate_aligned(bytes, kCacheLineBytes).release();
}

void CudaBackend::release(Memory memory, void* data, int64_t) noexcept {
  switch (memory) {
    case Memory::device:
      memory_->release(data);
      break;
    case Memory::pinned:
      cudaFreeHost(data);
      break;
    case Memory::host:
      std::free(data);
      break;
  }
}

std::unique_ptr<Stream> CudaBackend::make_stream() {
  return std::make_unique<CudaStream>(device_, memory_.get());
}

std::unique_ptr<Event> CudaBackend::make_event() {
  SPARROW_CUDA(cudaSetDevice(device_));
  return std::make_unique<CudaEvent>();
}

int64_t CudaBackend::scratch_bytes(std::span<const LayerShape> layers, int64_t items, int64_t dim) const {
  int64_t most = std::max(loss_scratch_bytes(), sum_rows_scratch_bytes(items, dim));
  for (const LayerShape& layer : layers) most = std::max(most, linear_scratch_bytes(layer));
  return most;
}

void CudaBackend::record(Event& event, Stream& stream) {
  SPARROW_CUDA(cudaEventRecord(static_cast<CudaEvent&>(event).handle(), handle(stream)));
}

void CudaBackend::wait(Stream& stream, const Event& event) {
  SPARROW_CUDA(cudaStreamWaitEvent(handle(stream), static_cast<const CudaEvent&>(event).handle(), 0));
}

void CudaBackend::synchronize(Stream& stream) {
  SPARROW_CUDA(cudaStreamSynchronize(handle(stream)));
}

void CudaBackend::synchronize(const Event& event) {
  SPARROW_CUDA(cudaEventSynchronize(static_cast<const CudaEvent&>(event).handle()));
}

void CudaBackend::begin_range(const char* name) {
  nvtxRangePushA(name);
}

void CudaBackend::end_range() {
  nvtxRangePop();
}

void CudaBackend::copy(Stream& stream, void* to, const void* from, int64_t bytes) {
  SPARROW_CHECK(bytes >= 0, "copy of {} bytes", bytes);
  if (bytes == 0) return;
  SPARROW_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, handle(stream)));
}

void CudaBackend::zero(Stream& stream, void* data, int64_t bytes) {
  SPARROW_CHECK(bytes >= 0, "zeroing of {} bytes", bytes);
  if (bytes == 0) return;
  cudaPointerAttributes place{};
  SPARROW_CUDA(cudaPointerGetAttributes(&place, data));
  if (place.type != cudaMemoryTypeUnregistered) {
    SPARROW_CUDA(cudaMemsetAsync(data, 0, bytes, handle(stream)));
    return;
  }
  // Ordinary host memory is nothing a GPU can write: the host does it when the stream gets there.
  struct Area {
    void* data;
    size_t bytes;
  };
  const auto clear = [](void* argument) {
    const std::unique_ptr<Area> area(static_cast<Area*>(argument));
    std::memset(area->data, 0, area->bytes);
  };
  auto area = std::make_unique<Area>(Area{data, static_cast<size_t>(bytes)});
  SPARROW_CUDA(cudaLaunchHostFunc(handle(stream), clear, area.get()));
  static_cast<void>(area.release());  // the callback's from here on
}

}  // namespace sparrow::cuda

extern "C" void sparrow_list_cuda_devices(std::vector<sparrow::CudaDevice>* devices) {
  const int count = sparrow::cuda::device_count();
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties{};
    SPARROW_CUDA(cudaGetDeviceProperties(&properties, device));
    sparrow::CudaDevice found;
    found.name = properties.name;
    for (const char byte : properties.uuid.bytes) found.uuid += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    found.pci =
        fmt::format("{:04x}:{:02x}:{:02x}.0", properties.pciDomainID, properties.pciBusID, properties.pciDeviceID);
    found.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    devices->push_back(std::move(found));
  }
}

extern "C" sparrow::Backend* sparrow_make_cuda_backend(const sparrow::CudaOptions* options) {
  return new sparrow::cuda::CudaBackend(options->device, options->tf32, options->arena_bytes);
}
