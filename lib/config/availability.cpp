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
    {"train.batch_shares", [](const Config& c) { return c.train.batch_shares != "planned"; }},
    {"system.backend", [](const Config& c) { return c.system.backend != "cuda"; }},
    {"system.wire", [](const Config& c) { return c.system.wire == DType::f32; }},
    {"system.pipeline", [](const Config& c) { return !c.system.overlapped; }},
    {"system.topology", [](const Config& c) { return c.system.topology == "auto"; }},
    {"system.device_memory", [](const Config& c) { return c.system.device_memory == 0; }},
    {"system.host_memory", [](const Config& c) { return c.system.host_memory == 0; }},
    {"placement.strategy", [](const Config& c) { return c.placement.strategy == "held"; }},
    {"placement.plan", [](const Config& c) { return c.placement.plan.empty(); }},
    {"placement.deduplicate", [](const Config& c) { return c.placement.deduplicate; }},
    {"placement.combine", [](const Config& c) { return c.placement.combine; }},
    {"placement.holders", [](const Config& c) { return c.placement.holders == "arithmetic"; }},
    {"placement.assignment", [](const Config& c) { return c.placement.assignment == "contiguous"; }},
    {"placement.replan_every", [](const Config& c) { return c.placement.replan_every == 0; }},
    {"output.trace", [](const Config& c) { return !c.output.trace; }},
};

}  // namespace

Config default_config() {
  Config config;
  config.system.overlapped = false;    // later: true
  config.placement.strategy = "held";  // later: optimal
  return config;
}

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
