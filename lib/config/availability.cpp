#include "config/availability.hpp"

#include <sstream>

namespace sparrow {

namespace {

struct Later {
  const char* key;
  bool (*available)(const Config& config);  // what it is set to
};

constexpr Later kLater[] = {
    {"data.vocabulary", [](const Config& c) { return c.data.vocabulary == "hash"; }},
    {"placement.holders", [](const Config& c) { return c.placement.holders == "arithmetic"; }},
    {"placement.assignment", [](const Config& c) { return c.placement.assignment == "contiguous"; }},
};

}  // namespace

void refuse_unavailable(const YamlNode& root, const Config& config) {
  for (const auto& [key, available] : kLater) {
    if (available(config)) continue;
    std::istringstream path(key);
    YamlNode node = root;
    for (std::string name; std::getline(path, name, '.');) node = node.map().at(name);
    node.fail("{} is not available yet", node.text());
  }
}

}  // namespace sparrow
