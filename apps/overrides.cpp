#include "overrides.hpp"

#include <string_view>

#include "base/error.hpp"

namespace sparrow {

std::vector<std::string> take_overrides(int argc, char** argv, std::vector<char*>& rest) {
  std::vector<std::string> overrides;
  rest.assign(1, argv[0]);
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--set") {
      if (++i == argc) fail("--set needs KEY=VALUE");
      overrides.emplace_back(argv[i]);
    } else if (word.starts_with("--set=")) {
      overrides.emplace_back(word.substr(6));
    } else {
      rest.push_back(argv[i]);
    }
  }
  return overrides;
}

}  // namespace sparrow
