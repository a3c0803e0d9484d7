#include "data/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"

namespace sparrow {
namespace {

constexpr int64_t kPage = 4096;  // a multiple of the system's page would do; madvise refuses others without harm

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail_errno(fmt::format("cannot open {}", path));
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) fail_errno(fmt::format("cannot examine {}", path));
  if (!S_ISREG(status.st_mode)) fail("{} is not a regular file", path);
  if (status.st_size == 0) return;
  void* address = ::mmap(nullptr, status.st_size, PROT_READ, MAP_SHARED, file.fd, 0);
  if (address == MAP_FAILED) fail_errno(fmt::format("cannot map {} ({} bytes)", path, status.st_size));
  data_ = static_cast<const char*>(address);
  size_ = status.st_size;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

// Both calls are hints; failing changes nothing but time and residency.

void MappedFile::prefetch(int64_t first, int64_t last) const noexcept {
  first = first / kPage * kPage;
  if (last > first) ::madvise(const_cast<char*>(data_) + first, last - first, MADV_WILLNEED);
}

void MappedFile::release(int64_t first, int64_t last) const noexcept {
  first = first / kPage * kPage;
  if (last < size_) last = last / kPage * kPage;  // the page a following read goes on in
  if (last > first) ::madvise(const_cast<char*>(data_) + first, last - first, MADV_DONTNEED);
}

}  // namespace sparrow
