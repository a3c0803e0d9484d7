// The tree that yaml_reader reads, built from yaml-cpp's events, and texts as they are written. Private to lib/config.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sparrow {

struct YamlValue {
  enum class Kind : uint8_t { null, scalar, list, map };
  struct Entry;

  Kind kind = Kind::null;
  std::string text;     // of a scalar
  bool quoted = false;  // a scalar in quotes is a text, never a number
  std::vector<std::shared_ptr<const YamlValue>> items;
  std::vector<Entry> entries;  // unique keys, in order

  std::shared_ptr<const std::string> source;  // a file, or "--set a.b=value"
  int64_t line = 0;                           // from 1; 0: the source has no lines
};

struct YamlValue::Entry {
  std::string key;
  int64_t line = 0;
  std::shared_ptr<const YamlValue> value;
};

/// "source:line", or "source" when there are no lines.
std::string place_of(const YamlValue& value);

/// The document in `text`; null for an empty one. has_lines: whether places name lines. Throws Error "source:line: what
/// is wrong".
std::shared_ptr<const YamlValue> parse_yaml_tree(std::string_view text, const std::string& source, bool has_lines);

/// A text in double quotes, so that nothing in it is taken for YAML.
std::string quoted_yaml(std::string_view text);

}  // namespace sparrow
