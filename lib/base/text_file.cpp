#include "base/text_file.hpp"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/error.hpp"

namespace sparrow {

namespace fs = std::filesystem;

namespace {

/// 0, or the number of what went wrong.
int written(const std::string& path, std::string_view text) {
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), std::ssize(text));
  file.close();
  return file ? 0 : errno != 0 ? errno : EIO;
}

}  // namespace

std::string read_text_file(const std::string& path, int64_t most_bytes) {
  std::error_code unknown;
  if (fs::is_directory(path, unknown)) fail("{}: is a directory", path);
  std::ifstream file(path, std::ios::binary);
  if (!file) fail_errno(path);
  std::string text;
  std::vector<char> block(1 << 16);
  while (file.read(block.data(), std::ssize(block)) || file.gcount() > 0) {
    text.append(block.data(), file.gcount());
    if (std::ssize(text) > most_bytes) fail("{}: longer than {} bytes", path, most_bytes);
  }
  if (file.bad()) fail_errno(path);
  return text;
}

void write_text_file(const std::string& path, std::string_view text, int writer) {
  std::error_code unknown;
  const fs::file_status status = fs::status(path, unknown);
  const bool special = fs::exists(status) && !fs::is_regular_file(status);
  const std::string part = special ? path : fmt::format("{}.part{}", path, writer);
  int problem = written(part, text);
  if (problem == 0 && !special && std::rename(part.c_str(), path.c_str()) != 0) problem = errno;
  if (problem == 0) return;
  if (!special) std::remove(part.c_str());
  errno = problem;
  fail_errno(path);
}

}  // namespace sparrow
