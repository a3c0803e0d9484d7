// Values of the configuration that have a name but no code yet. They are refused, never ignored. When something becomes
// available, its line in the table of availability.cpp goes; when the table is empty, these files go.
#pragma once

#include "config/config.hpp"
#include "config/yaml_reader.hpp"

namespace sparrow {

/// Throws Error "place: key: value is not available yet" for a key that is set under `root` to something that `config`,
/// read from it, cannot have.
void refuse_unavailable(const YamlNode& root, const Config& config);

}  // namespace sparrow
