// Options read from YAML, after the description of their keys (base/fields.hpp).
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.hpp"
#include "config/yaml_reader.hpp"

namespace sparrow {

/// The keys of `map` into the fields of `options`, which keep their values where a key is absent. Throws Error that
/// names place and key, first for a key that is none of the fields.
template <class Options>
void read_fields(YamlMap map, Options& options);

/// Asks for every key.
struct KeyVisitor : RequiresNothing {
  template <class T, class... Rules>
  void operator()(const char* key, T&, const Rules&...) {
    map.find(key);
  }
  YamlMap& map;
};

class FieldReader {
 public:
  explicit FieldReader(YamlMap& map) : map_(map) {}

  template <class T, class... Rules>
  void operator()(const char* key, T& field, const Rules&... rules) {
    if (const auto node = map_.find(key)) read(*node, field, rules...);
  }

  void operator()(const char* key, std::string& field, NotEmpty) {
    (*this)(key, field);
    if (field.empty()) map_.at(key).fail("must not be empty");
  }

  template <class... Args>
  void require(bool holds, std::initializer_list<const char*> keys, fmt::format_string<const Args&...> format,
               const Args&... args) {
    if (holds) return;
    const auto set = std::find_if(keys.begin(), keys.end(), [&](const char* key) { return map_.find(key); });
    map_.at(set == keys.end() ? *keys.begin() : *set).fail(format, args...);
  }

 private:
  static void read(const YamlNode& node, std::string& field) { field = node.text(); }
  static void read(const YamlNode& node, bool& field) { field = node.boolean(); }
  static void read(const YamlNode& node, bool& field, const YesNo& words) {
    field = node.choice({std::string(words.yes), std::string(words.no)}) == words.yes;
  }
  static void read(const YamlNode& node, double& field, const Reals& range) {
    field = node.real(range.least, range.most);
  }
  static void read(const YamlNode& node, int64_t& field, BytesOrAuto) {
    field = node.is_scalar() && node.text() == "auto" ? 0 : node.bytes();
  }
  template <std::integral Int>
  static void read(const YamlNode& node, Int& field, const Integers& range) {
    const int64_t fitting = std::min<uint64_t>(std::numeric_limits<Int>::max(), range.most);
    field = static_cast<Int>(node.integer(range.least, fitting));
  }

  template <HasWords E>
  static void read(const YamlNode& node, E& field) {
    field = parse_word<E>("", node.choice(all_words<E>()));
    if (word_of(field).later) node.fail("{} is not available yet", node.text());
  }
  template <class E>
  static void read(const YamlNode& node, WordOr<E, std::string>& field) {
    const std::vector<std::string> words = all_words<E>();
    field = node.text();
    if (field.given.empty()) node.fail("must not be empty");
    if (std::find(words.begin(), words.end(), field.given) != words.end())
      read(node, (field = {}).word);
    else if (std::size(kWords<E>) > words.size())  // there is a word "", for later
      node.fail("{} is not available yet", field.given);
  }
  template <class E, class T>
  static void read(const YamlNode& node, WordOr<E, std::vector<T>>& field, const auto& range) {
    field = {};
    if (!node.is_list()) return read(node, field.word);
    field.word = E::given;
    read(node, field.given, range);
  }

  template <class T, class... Rules>
  static void read(const YamlNode& node, std::vector<T>& field, const Rules&... rules) {
    field.clear();
    for (const YamlNode& item : node.items()) read(item, field.emplace_back(), rules...);
  }
  static void read(const YamlNode& node, std::vector<std::string>& field) {
    field.clear();
    for (const YamlNode& item : node.items())
      if (field.emplace_back(item.text()).empty()) item.fail("must not be empty");
  }
  template <class Int>
  static void read(const YamlNode& node, std::vector<Int>& field, const Integers& range, const PerTable& per) {
    if (per.or_one && !node.is_list()) {
      field.resize(1);
      return read(node, field[0], range);
    }
    const size_t length = node.items().size();
    if (length != per.tables && (per.or_one || length > 0))
      node.fail("a list of {}; the data have {} tables", length, per.tables);
    read(node, field, range);
  }

  template <HasFields<FieldReader> Options>
  static void read(const YamlNode& node, Options& field) {
    read_fields(node.map(), field);
  }
  template <HasFields<FieldReader> Options>
  static void read(const YamlNode& node, std::optional<Options>& field) {
    if (node.map().empty())
      field.reset();
    else
      read_fields(node.map(), field.emplace());
  }

  YamlMap& map_;
};

template <class Options>
void read_fields(YamlMap map, Options& options) {
  KeyVisitor keys{{}, map};
  visit_fields(keys, options);
  map.finish();
  FieldReader reader(map);
  visit_fields(reader, options);
}

}  // namespace sparrow
