#include "test/assign/allocations.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

static std::atomic<int64_t> taken{0};

int64_t sparrow::test::allocations() {
  return taken;
}

void* operator new(size_t bytes) {
  ++taken;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
