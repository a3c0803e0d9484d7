// Texts as YAML.
#pragma once

#include <string>
#include <string_view>

namespace sparrow {

/// In double quotes, so that nothing in it is taken for YAML.
std::string quoted_yaml(std::string_view text);

}  // namespace sparrow
