// Memory that grows to the largest size asked for and then stays: after the first batches a step allocates nothing.
#pragma once

#include <cstdint>

#include "kernels/backend.hpp"

namespace sparrow {

template <class T>
class Scratch {
 public:
  Scratch(Backend& backend, Memory memory) : backend_(&backend), memory_(memory) {}

  /// At least n values, contents undefined (kept while it need not grow). Grows by a quarter more than asked, so that
  /// batches of slowly rising size do not allocate each time.
  T* reserve(int64_t n) {
    if (n > array_.size()) {
      array_ = Array<T>();  // free first: the old and the new need not exist together
      array_ = Array<T>(*backend_, memory_, n + n / 4 + 64, MemoryPart::exchange);
    }
    return array_.data();
  }
  /// For n values and no more: where n is the most that will ever be asked for.
  void reserve_exactly(int64_t n) {
    if (n <= array_.size()) return;
    array_ = Array<T>();
    array_ = Array<T>(*backend_, memory_, n, MemoryPart::exchange);
  }
  T* data() const { return array_.data(); }
  int64_t capacity() const { return array_.size(); }

 private:
  Backend* backend_;
  Memory memory_;
  Array<T> array_;
};

/// An array that the host fills and operations on device memory read. Grows like Scratch.
template <class T>
class Mirrored {
 public:
  explicit Mirrored(Backend& backend)
      : backend_(&backend), host_(backend, Memory::pinned), device_(backend, Memory::device) {}

  /// The host's array, for at least n values. device() is known from here on, what it points to after upload().
  T* reserve(int64_t n) {
    if (!backend_->device_is_host()) device_.reserve(n);
    return host_.reserve(n);
  }
  void reserve_exactly(int64_t n) {
    if (!backend_->device_is_host()) device_.reserve_exactly(n);
    host_.reserve_exactly(n);
  }
  T* data() const { return host_.data(); }
  const T* device() const { return backend_->device_is_host() ? host_.data() : device_.data(); }

  /// Copies the first n values to the device where that has a memory of its own. The host must not fill the array again
  /// before `stream` has passed this.
  void upload(Stream& stream, int64_t n) {
    if (!backend_->device_is_host()) backend_->copy(stream, device_.data(), host_.data(), n * int64_t{sizeof(T)});
  }

 private:
  Backend* backend_;
  Scratch<T> host_, device_;
};

}  // namespace sparrow
