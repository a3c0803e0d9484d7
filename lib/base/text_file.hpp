// Small files, read and written whole. What is read may be anything: sizes are bounded. What is written is whole or
// absent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sparrow {

constexpr int64_t kMostTextBytes = int64_t{1} << 30;

/// Throws Error "path: why" if it cannot be read, is a folder, or is longer than most_bytes.
std::string read_text_file(const std::string& path, int64_t most_bytes = kMostTextBytes);

/// Written under another name, then renamed, so that a file of this name is always whole; what is no regular file (a
/// pipe, /dev/stdout) is written as it is. writer: keeps processes apart that write the same file at the same time.
/// Throws Error "path: why".
void write_text_file(const std::string& path, std::string_view text, int writer = 0);

}  // namespace sparrow
