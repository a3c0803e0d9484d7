// A block of memory that is kept from call to call and only grows.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

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
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };

  void grow(size_t bytes) {
    const size_t rounded = (bytes + bytes / 4 + 63) / 64 * 64;  // a quarter more: sizes of batches differ a little
    data_.reset();
    bytes_ = 0;
    void* data = std::aligned_alloc(64, rounded);
    if (!data) throw std::bad_alloc();
    data_.reset(static_cast<std::byte*>(data));
    bytes_ = rounded;
  }

  std::unique_ptr<std::byte, Free> data_;
  size_t bytes_ = 0;
};

}  // namespace sparrow::host
