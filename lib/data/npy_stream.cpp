#include "data/npy_stream.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"

namespace sparrow {
namespace {

constexpr int64_t kPiece = 64 * 1024;  // values: half a MiB stays in the second-level cache between copy and use

}  // namespace

NpyStream::NpyStream(const std::string& path) : path_(path) {
  {
    const NpyFile header(path);
    header.values<int64_t>();  // refuses other types
    rows_ = header.rows();
    columns_ = header.columns();
    offset_ = header.data_offset();
  }
  left_ = rows_ * columns_;
  buffer_.resize(std::min(kPiece, left_));
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail_errno(fmt::format("cannot open {}", path));
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);  // a hint: reads further ahead
}

NpyStream::~NpyStream() {
  if (fd_ >= 0) ::close(fd_);
}

std::span<const int64_t> NpyStream::next() {
  const int64_t count = std::min(kPiece, left_), bytes = count * static_cast<int64_t>(sizeof(int64_t));
  auto* const to = reinterpret_cast<char*>(buffer_.data());
  for (int64_t done = 0; done < bytes;) {
    const ssize_t got = ::pread(fd_, to + done, bytes - done, offset_ + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(fmt::format("cannot read {}", path_));
    if (got == 0) fail("{}: ends {} bytes before its values do", path_, bytes - done);
    done += got;
  }
  offset_ += bytes;
  left_ -= count;
  return {buffer_.data(), static_cast<size_t>(count)};
}

}  // namespace sparrow
