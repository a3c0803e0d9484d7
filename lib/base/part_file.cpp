#include "base/part_file.hpp"

#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"

namespace sparrow {

PartFile::PartFile(const std::string& path)
    : path_(path), part_(path + ".part"), file_(std::fopen(part_.c_str(), "wb")) {
  if (!file_) fail_errno(fmt::format("cannot write {}", part_));
}

PartFile::~PartFile() {
  if (file_) std::remove(part_.c_str());
}

void PartFile::write(const void* bytes, size_t count) {
  if (count > 0 && std::fwrite(bytes, 1, count, file_.get()) != count)
    fail_errno(fmt::format("cannot write {}", part_));
}

void PartFile::sync() {
  if (std::fflush(file_.get()) != 0 || fsync(fileno(file_.get())) != 0)
    fail_errno(fmt::format("cannot write {}", part_));
}

void PartFile::finish() {
  if (std::fclose(file_.release()) != 0 || std::rename(part_.c_str(), path_.c_str()) != 0) {
    const int why = errno;
    std::remove(part_.c_str());
    errno = why;
    fail_errno(fmt::format("cannot write {}", path_));
  }
}

}  // namespace sparrow
