// The one error policy. Everything that goes wrong throws Error; main catches it, prints it with the rank, ends all ranks and exits
// non-zero. Nothing else exits. A message names the place (a file and line of the user's input, or the call that failed) and values.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace sparrow {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// Throws Error with a message in fmt's syntax.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error "file:line: message" for a fault in the user's input. line counts from 1.
template <class... Args>
[[noreturn]] void fail_at(std::string_view file, int64_t line, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format("{}:{}: {}", file, line, fmt::format(format, std::forward<Args>(args)...)));
}

/// Throws Error "what: strerror(errno)" for a failed system call.
[[noreturn]] void fail_errno(std::string_view what);

namespace detail {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);
}

}  // namespace sparrow

/// Checks a condition that the caller must guarantee, in every build. Arguments after it are a message in fmt's syntax.
#define SPARROW_CHECK(condition, ...)                                                                 \
  do {                                                                                                \
    if (!(condition)) [[unlikely]]                                                                    \
      ::sparrow::detail::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
