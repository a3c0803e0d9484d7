#include "config/yaml_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text_file.hpp"
#include "config/yaml_tree.hpp"

namespace sparrow {

namespace {

using Kind = YamlValue::Kind;

/// A number that takes all of `text`, in decimal or exponent form; none for others, and for infinity and NaN.
std::optional<double> parse_real(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

/// Also whole numbers with an exponent or a point, as far as a double is exact.
std::optional<int64_t> parse_integer(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.size() > 1 && digits[0] == '0' && std::isdigit(static_cast<unsigned char>(digits[1])))
    return {};  // octal?
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  const auto real = parse_real(text);
  if (!real || std::abs(*real) > 0x1p53 || *real != std::floor(*real)) return {};
  return static_cast<int64_t>(*real);
}

std::shared_ptr<YamlValue> assigned(const YamlValue* old, std::span<const std::string> keys,
                                    const std::shared_ptr<const YamlValue>& value, const std::string& source) {
  if (old && old->kind != Kind::map && old->kind != Kind::null) {
    fail("{}: cannot set {} in a value that is not a map ({})", source, keys.front(), place_of(*old));
  }
  auto map = old ? std::make_shared<YamlValue>(*old) : std::make_shared<YamlValue>();
  map->kind = Kind::map;
  if (!old) map->source = value->source;
  auto entry = std::find_if(map->entries.begin(), map->entries.end(), [&](const auto& e) { return e.key == keys[0]; });
  if (entry == map->entries.end()) entry = map->entries.insert(entry, {keys[0], 0, nullptr});
  entry->value = keys.size() == 1 ? value : assigned(entry->value.get(), keys.subspan(1), value, source);
  return map;
}

std::vector<std::string> split_path(const std::string& path, const std::string& source) {
  std::vector<std::string> keys;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    keys.push_back(path.substr(begin, end - begin));
    if (keys.back().empty()) fail("{}: expected key=value, for example train.seed=2", source);
    begin = end + 1;
  }
  return keys;
}

template <class Number>
void check_range(const YamlNode& node, Number value, Number least, Number most) {
  if (value < least) node.fail("{} is less than {}", value, least);
  if (value > most) node.fail("{} is more than {}", value, most);
}

/// Edits from a to b: insert, delete, replace, swap of neighbours (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

YamlNode YamlNode::load(const std::string& path) {
  return parse(read_text_file(path, kMostBytes), path);
}

YamlNode YamlNode::parse(std::string_view text, const std::string& name) {
  auto root = parse_yaml_tree(text, name, true);
  if (!root || root->kind == Kind::null) sparrow::fail("{}: empty", name);
  return {std::move(root), ""};
}

YamlNode YamlNode::with(const std::string& assignment) const {
  const std::string source = "--set " + assignment;
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos) sparrow::fail("{}: expected key=value, for example train.seed=2", source);
  const auto keys = split_path(assignment.substr(0, equals), source);
  std::string text = assignment.substr(equals + 1);
  if (text.empty()) text = "\"\"";
  auto value = parse_yaml_tree(text, source, false);
  if (!value) sparrow::fail("{}: no value", source);
  return {assigned(value_.get(), keys, value, source), ""};
}

std::string YamlNode::place() const {
  return place_of(*value_);
}
bool YamlNode::is_map() const {
  return value_->kind == Kind::map;
}
bool YamlNode::is_list() const {
  return value_->kind == Kind::list;
}
bool YamlNode::is_scalar() const {
  return value_->kind == Kind::scalar;
}

void YamlNode::fail_with(const std::string& message) const {
  throw Error(fmt::format("{}: {}{}{}", place(), path_, path_.empty() ? "" : ": ", message));
}

const std::string& YamlNode::scalar(const char* expected) const {
  switch (value_->kind) {
    case Kind::null:
      fail("no value; expected {}", expected);
    case Kind::list:
      fail("a list; expected {}", expected);
    case Kind::map:
      fail("a map; expected {}", expected);
    case Kind::scalar:
      break;
  }
  return value_->text;
}

std::string YamlNode::text() const {
  return scalar("a string");
}

int64_t YamlNode::integer(int64_t least, int64_t most) const {
  const std::string& text = scalar("a whole number");
  const auto value = value_->quoted ? std::nullopt : parse_integer(text);
  if (!value) fail("'{}' is not a whole number", text);
  check_range(*this, *value, least, most);
  return *value;
}

double YamlNode::real(double least, double most) const {
  const std::string& text = scalar("a number");
  const auto value = value_->quoted ? std::nullopt : parse_real(text);
  if (!value) fail("'{}' is not a finite number", text);
  check_range(*this, *value, least, most);
  return *value;
}

bool YamlNode::boolean() const {
  const std::string& text = scalar("true or false");
  if (value_->quoted || (text != "true" && text != "false")) fail("'{}' is neither true nor false", text);
  return text == "true";
}

double YamlNode::quantity(Quantity kind) const {
  const std::string& text = scalar("a number with a unit");
  try {
    return parse_quantity(text, kind);
  } catch (const Error& error) {
    fail("{}", error.what());
  }
}

int64_t YamlNode::bytes(int64_t least) const {
  const double value = quantity(Quantity::bytes);
  if (!(value >= static_cast<double>(least) && value <= 0x1p60))
    fail("'{}' is not between {} and 2^60 bytes", text(), least);
  return static_cast<int64_t>(value);
}

std::string YamlNode::choice(const std::vector<std::string>& words) const {
  const std::string list = fmt::format("{}", fmt::join(words, ", "));
  const std::string& text = scalar(("one of " + list).c_str());
  if (std::find(words.begin(), words.end(), text) == words.end())
    fail("unknown value '{}'; expected: {}{}", text, list, words.size() > 1 ? suggestion(text, words) : "");
  return text;
}

YamlMap YamlNode::map() const {
  if (value_->kind == Kind::scalar) fail("'{}'; expected a map", value_->text);
  if (value_->kind == Kind::list) fail("a list; expected a map");
  return YamlMap(*this);
}

std::vector<YamlNode> YamlNode::items() const {
  if (value_->kind != Kind::list) {
    fail("{}; expected a list, for example [a, b]", is_map()      ? "a map"
                                                    : is_scalar() ? fmt::format("'{}'", value_->text)
                                                                  : "no value");
  }
  std::vector<YamlNode> nodes;
  for (size_t i = 0; i < value_->items.size(); ++i)
    nodes.push_back({value_->items[i], fmt::format("{}[{}]", path_, i)});
  return nodes;
}

bool YamlMap::empty() const {
  return node_.value_->entries.empty();
}

std::optional<YamlNode> YamlMap::find(const std::string& key) {
  asked_.insert(key);
  for (const auto& entry : node_.value_->entries) {
    if (entry.key == key) return YamlNode(entry.value, node_.path_.empty() ? key : node_.path_ + "." + key);
  }
  return {};
}

YamlNode YamlMap::at(const std::string& key) {
  auto node = find(key);
  if (!node) node_.fail("key {} is missing", key);
  return std::move(*node);
}

std::vector<std::pair<std::string, YamlNode>> YamlMap::entries() {
  std::vector<std::pair<std::string, YamlNode>> all;
  for (const auto& entry : node_.value_->entries) all.emplace_back(entry.key, *find(entry.key));
  return all;
}

void YamlMap::finish() const {
  const std::vector<std::string> known(asked_.begin(), asked_.end());
  for (const auto& entry : node_.value_->entries) {
    if (asked_.contains(entry.key)) continue;
    YamlValue place = *entry.value;
    if (entry.line > 0) place.line = entry.line;
    fail("{}: {}{}{}: unknown key{}", place_of(place), node_.path_, node_.path_.empty() ? "" : ".", entry.key,
         suggestion(entry.key, known));
  }
}

std::string nearest_word(std::string_view word, std::span<const std::string> words) {
  if (word.size() > 64) return "";
  size_t best = std::max<size_t>(2, word.size() / 3) + 1;  // about one letter in three may be wrong
  std::string nearest;
  for (const auto& candidate : words) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best && distance < candidate.size()) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string suggestion(std::string_view word, std::span<const std::string> words) {
  const std::string nearest = nearest_word(word, words);
  return nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest);
}

}  // namespace sparrow
