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
      array_ = Array<T>(*backend_, memory_, n + n / 4 + 64);
    }
    return array_.data();
  }
  T* data() const { return array_.data(); }
  int64_t capacity() const { return array_.size(); }

 private:
  Backend* backend_;
  Memory memory_;
  Array<T> array_;
};

}  // namespace sparrow
