// A file mapped read-only into memory. All processes of a node that map the same file share one copy in the page cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace sparrow {

/// Owns one mapping; move-only. The file must not be cut short by somebody else while it is mapped: the kernel then
/// ends the process with SIGBUS, as for every program that maps files.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws Error (with the path and the reason) when the file cannot be opened, is no regular file, or cannot be
  /// mapped. An empty file gives an empty mapping.
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    swap(other);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const char* data() const { return data_; }
  int64_t size() const { return size_; }
  std::string_view bytes() const { return {data_, static_cast<size_t>(size_)}; }

  /// Asks the kernel to start reading bytes [first, last) from disk; returns at once.
  void prefetch(int64_t first, int64_t last) const noexcept;
  /// Takes bytes [first, last) out of this process's resident memory (they stay in the page cache, and readable).
  void release(int64_t first, int64_t last) const noexcept;

 private:
  void swap(MappedFile& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  const char* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace sparrow
