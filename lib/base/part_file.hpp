// A large file that is written piece by piece and is whole or absent.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

namespace sparrow {

/// Bytes go to `path`.part, which finish() renames; without finish() the destructor removes it. Every call throws Error
/// "cannot write FILE: why".
class PartFile {
 public:
  explicit PartFile(const std::string& path);
  PartFile(PartFile&&) = default;
  ~PartFile();

  void write(const void* bytes, size_t count);
  void sync();  ///< waits until all of it is on the disk
  void finish();
  bool finished() const { return !file_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_, part_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace sparrow
