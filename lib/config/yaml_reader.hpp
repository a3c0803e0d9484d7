// Reading YAML strictly: every value is asked for by name and type, every fault names the file, the line and the key,
// and keys that nobody asked for are errors. For configurations and topologies, small files written by people; nothing
// outside lib/config reads YAML.
//
// The YAML taken is what people write in such files: one document of maps, lists and scalars. Refused, each with a
// clear Error: duplicate keys, keys that are not plain words, anchors and aliases, tags, several documents, tabs in the
// indentation, control characters, more than kDeepest levels, more than kMostBytes.
//
//   const YamlNode root = YamlNode::load("net.yaml");
//   YamlMap map = root.map();
//   const int64_t ranks = map.at("ranks").integer(1, 1 << 20);    // net.yaml:3: ranks: 0 is less than 1
//   if (const auto name = map.find("name")) title = name->text();
//   for (const YamlNode& level : map.at("levels").items()) ...    // net.yaml:7: levels[2].rate: ...
//   map.finish();  // net.yaml:9: rnaks: unknown key; did you mean ranks?
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "config/quantity.hpp"

namespace sparrow {

struct YamlValue;  // the tree behind nodes: yaml_tree.hpp
class YamlMap;

/// A value of a document, with its place. Cheap to copy; keeps the document alive.
class YamlNode {
 public:
  static constexpr int64_t kMostBytes = 4 << 20;
  static constexpr int kDeepest = 32;

  /// The root of a file's document. Throws Error for what cannot be read or parsed; an empty document is an Error too.
  static YamlNode load(const std::string& path);
  /// The root of a text's document; `name` stands for the file in messages.
  static YamlNode parse(std::string_view text, const std::string& name);
  /// The same document with "a.b=value" in it, value being YAML (nothing: an empty text). Maps on the way are made
  /// where they are missing. Faults of such a value name "--set a.b=value" instead of a file and line.
  YamlNode with(const std::string& assignment) const;

  const std::string& path() const { return path_; }  ///< "optimizer.dense.lr", "data.max_rows[3]"; "" for the root
  std::string place() const;                         ///< "file:12" or "--set a.b=value"

  bool is_map() const;
  bool is_list() const;
  bool is_scalar() const;

  // Typed values. Each throws Error when the node is not of that type or out of range. A key without a value has no
  // type at all.

  std::string text() const;  ///< any scalar as it is written, quotes removed
  /// Digits, or a number with an exponent that is whole (1e9). Quoted numbers are text.
  int64_t integer(int64_t least = std::numeric_limits<int64_t>::min(),
                  int64_t most = std::numeric_limits<int64_t>::max()) const;
  double real(double least = std::numeric_limits<double>::lowest(),
              double most = std::numeric_limits<double>::max()) const;  ///< finite
  bool boolean() const;                                                 ///< true or false
  double quantity(Quantity kind) const;                                 ///< with its unit (quantity.hpp)
  int64_t bytes(int64_t least = 1) const;                               ///< at most 2^60
  /// One of the words.
  std::string choice(const std::vector<std::string>& words) const;
  YamlMap map() const;                  ///< a key without a value is an empty map
  std::vector<YamlNode> items() const;  ///< of a list

  /// Throws Error "place: path: message".
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    fail_with(fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  friend class YamlMap;
  YamlNode(std::shared_ptr<const YamlValue> value, std::string path)
      : value_(std::move(value)), path_(std::move(path)) {}
  [[noreturn]] void fail_with(const std::string& message) const;
  const std::string& scalar(const char* expected) const;

  std::shared_ptr<const YamlValue> value_;
  std::string path_;
};

/// The entries of a map, and which of them have been asked for.
class YamlMap {
 public:
  bool empty() const;
  std::optional<YamlNode> find(const std::string& key);
  YamlNode at(const std::string& key);  ///< throws when it is absent
  /// All entries in the order of the file, for maps whose keys are names of the user's. All count as asked for.
  std::vector<std::pair<std::string, YamlNode>> entries();
  /// Throws for the first key that nobody asked for, with the nearest one that was.
  void finish() const;

 private:
  friend class YamlNode;
  explicit YamlMap(YamlNode node) : node_(std::move(node)) {}

  YamlNode node_;
  std::set<std::string> asked_;
};

/// The word nearest to `word` when it is near enough to be meant (edits: insert, delete, replace, swap neighbours),
/// else "".
std::string nearest_word(std::string_view word, std::span<const std::string> words);

/// "; did you mean X?", or "" when nothing is near.
std::string suggestion(std::string_view word, std::span<const std::string> words);

}  // namespace sparrow
