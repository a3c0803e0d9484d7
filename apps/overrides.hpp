// --set KEY=VALUE, as several commands take it.
#pragma once

#include <string>
#include <vector>

namespace sparrow {

/// Takes "--set KEY=VALUE" and "--set=KEY=VALUE" out of the arguments (cxxopts would split values like [1,2] at the
/// comma) and returns them; `rest` gets the other arguments, argv[0] first. Throws Error for a --set without a value.
std::vector<std::string> take_overrides(int argc, char** argv, std::vector<char*>& rest);

}  // namespace sparrow
