#include "kernels/counting_backend.hpp"

#include <sys/mman.h>

#include "base/error.hpp"

namespace sparrow {

void* CountingBackend::allocate(Memory memory, int64_t bytes, MemoryPart part) {
  SPARROW_CHECK(bytes >= 0, "allocation of {} bytes", bytes);
  if (bytes == 0) return nullptr;
  if (memory != Memory::device) {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) fail("host memory: no addresses for {} bytes", bytes);
    return data;
  }
  void* data = reinterpret_cast<void*>(next_);
  next_ += MemoryByPart::rounded(bytes);
  blocks_[data] = {bytes, part};
  used_.add(part, bytes);
  most_used_ = std::max(most_used_, used_.total());
  return data;
}

void CountingBackend::release(Memory memory, void* data, int64_t bytes) noexcept {
  if (memory != Memory::device) {
    munmap(data, bytes);
    return;
  }
  const auto block = blocks_.find(data);
  used_.remove(block->second.part, block->second.bytes);
  blocks_.erase(block);
}

void CountingBackend::reserve_scratch(Stream& stream, int64_t bytes) {
  Buffer& scratch = static_cast<CountingStream&>(stream).scratch;
  if (bytes <= scratch.bytes()) return;
  scratch = Buffer();
  scratch = Buffer(*this, Memory::device, bytes, MemoryPart::scratch);
}

}  // namespace sparrow
