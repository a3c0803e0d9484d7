#include "config/config.hpp"

#include "config/field_reader.hpp"
#include "config/field_writer.hpp"

namespace sparrow {

namespace {

Config read_config(YamlNode root, const std::vector<std::string>& overrides) {
  for (const auto& assignment : overrides) root = root.with(assignment);
  Config config;
  read_fields(root.map(), config);
  return config;
}

}  // namespace

Config load_config(const std::string& path, const std::vector<std::string>& overrides) {
  return read_config(YamlNode::load(path), overrides);
}

Config parse_config(const std::string& text, const std::string& name, const std::vector<std::string>& overrides) {
  return read_config(YamlNode::parse(text, name), overrides);
}

std::string to_yaml(Config config) {
  return FieldWriter::sections(config);
}

}  // namespace sparrow
