// The configuration of `sparrow train`: one YAML file and overrides become each module's own options. A new key is a
// field of its struct with its line of visit_fields() (base/fields.hpp), and a line of configs/reference.yaml, which
// shows every key with its default.
#pragma once

#include <string>
#include <vector>

#include "config/options.hpp"

namespace sparrow {

using Config = RunOptions;

/// The configuration in the file at `path`, with overrides ("train.seed=2", the value in YAML; the last one of a key
/// counts) in place of its values. Keys that are nowhere keep their defaults. Throws Error that names the file and line
/// (or "--set a.b=value") and the key for: what is not YAML, an unknown key, a wrong type, an impossible value, and a
/// value that is not available yet.
Config load_config(const std::string& path, const std::vector<std::string>& overrides = {});

/// The same from a text; `name` stands for the file in messages.
Config parse_config(const std::string& text, const std::string& name, const std::vector<std::string>& overrides = {});

/// Every key with its value, as YAML. Read back, it gives the same configuration.
std::string to_yaml(Config config);

}  // namespace sparrow
