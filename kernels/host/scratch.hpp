// A block of memory that is kept from call to call and only grows.
#pragma once

#include <cstdint>

#include "base/host_memory.hpp"

namespace sparrow::host {

class Scratch {
 public:
  /// Room for n values of T, aligned to 64 bytes, with undefined contents. Valid until the next call.
  template <class T>
  T* take(int64_t n) {
    const size_t bytes = static_cast<size_t>(n) * sizeof(T);
    if (bytes > bytes_) grow(bytes);
    return static_cast<T*>(static_cast<void*>(data_.get()));
  }

 private:
  void grow(size_t bytes) {
    data_.reset();
    bytes_ = 0;
    const size_t more = bytes + bytes / 4;  // sizes of batches differ a little
    data_ = allocate_aligned(static_cast<int64_t>(more), kCacheLineBytes);
    bytes_ = more;
  }

  AlignedBytes data_;
  size_t bytes_ = 0;
};

}  // namespace sparrow::host
