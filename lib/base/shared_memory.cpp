#include "base/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/error.hpp"
#include "base/host_memory.hpp"

namespace sparrow {

namespace {

std::shared_ptr<std::byte> map(size_t bytes, int flags, int file, const std::string& what) {
  const size_t mapped = std::max<size_t>(bytes, 1);
  void* data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, file, 0);
  if (data == MAP_FAILED) fail("no memory for {} bytes{}: {}", bytes, what, std::strerror(errno));
  return {static_cast<std::byte*>(data), [mapped](std::byte* p) { munmap(p, mapped); }};
}

/// Closes a file unless it is kept.
struct Closing {
  int file;
  ~Closing() {
    if (file >= 0) close(file);
  }
  int keep() { return std::exchange(file, -1); }
};

}  // namespace

std::shared_ptr<std::byte> zeroed_memory(size_t bytes) {
  const int64_t most = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  if (bytes > static_cast<size_t>(most)) fail("no memory for {} bytes, this machine has {}", bytes, most);
  return map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1, "");
}

SharedMemory SharedMemory::create(size_t bytes) {
  const int64_t left = available_memory();
  if (bytes > static_cast<size_t>(left))
    fail("no memory for {} bytes that the ranks of a node share: {} are left", bytes, left);
  Closing made{memfd_create("sparrow", MFD_CLOEXEC)};
  if (made.file < 0 || ftruncate(made.file, static_cast<off_t>(std::max<size_t>(bytes, 1))) != 0)
    fail("memory of {} bytes for the ranks of a node cannot be made: {}", bytes, std::strerror(errno));
  std::shared_ptr<std::byte> data = map(bytes, MAP_SHARED, made.file, " that the ranks of a node share");
  return {made.keep(), std::move(data)};
}

SharedMemory SharedMemory::open(const std::string& path, size_t bytes) {
  Closing opened{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  if (opened.file < 0) fail("{}: memory of another rank of this node cannot be opened: {}", path, std::strerror(errno));
  struct stat facts {};
  if (fstat(opened.file, &facts) != 0 || static_cast<size_t>(facts.st_size) < bytes)
    fail("{}: {} bytes of memory are not there", path, bytes);
  std::shared_ptr<std::byte> data = map(bytes, MAP_SHARED, opened.file, " that the ranks of a node share");
  return {opened.keep(), std::move(data)};
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : file_(std::exchange(other.file_, -1)), data_(std::move(other.data_)) {}

SharedMemory::~SharedMemory() {
  if (file_ >= 0) close(file_);
}

std::string SharedMemory::path() const {
  return fmt::format("/proc/{}/fd/{}", getpid(), file_);
}

}  // namespace sparrow
