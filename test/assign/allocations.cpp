#include "test/assign/allocations.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

static std::atomic<int64_t> taken{0};

int64_t sparrow::test::allocations() {
  return taken;
}

void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++taken;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void* operator new(size_t bytes) {
  if (void* memory = operator new(bytes, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
