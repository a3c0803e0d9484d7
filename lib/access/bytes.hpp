// Counts as bytes, for other ranks and for checkpoints: values one behind the other, as they are in memory.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace sparrow {

template <class T>
void put_values(std::string& bytes, std::span<const T> values) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}
template <class T>
void put_value(std::string& bytes, const T& value) {
  put_values(bytes, std::span(&value, 1));
}

/// Takes values off the front of such bytes. Throws Error where they end early.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  void take(std::span<T> values) {
    if (rest_.size() < values.size_bytes()) fail("saved access counts end early");
    if (values.empty()) return;  // of no values there may be no address, which memcpy must not get
    std::memcpy(values.data(), rest_.data(), values.size_bytes());
    rest_.remove_prefix(values.size_bytes());
  }
  template <class T>
  T take() {
    T value;
    take(std::span(&value, 1));
    return value;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace sparrow
