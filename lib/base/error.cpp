#include "base/error.hpp"

#include <cerrno>
#include <cstring>

namespace sparrow {

void fail_errno(std::string_view what) {
  const int error = errno;
  fail("{}: {}", what, std::strerror(error));
}

void detail::check_failed(const char* file, int line, const char* condition, const std::string& message) {
  const char* slash = std::strrchr(file, '/');
  fail("{}:{}: check failed: {}{}{}", slash ? slash + 1 : file, line, condition, message.empty() ? "" : ": ", message);
}

}  // namespace sparrow
