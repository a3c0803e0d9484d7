#include "config/yaml_tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>
#include <unordered_map>

#include "base/error.hpp"
#include "config/yaml_reader.hpp"

namespace sparrow {

namespace {

/// Builds the tree of one document; what we do not take is refused here.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(std::shared_ptr<const std::string> source, bool has_lines)
      : source_(std::move(source)), has_lines_(has_lines) {}

  std::shared_ptr<const YamlValue> take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(start(YamlValue::Kind::null, mark, "", anchor));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse(mark, "aliases (*name) are not supported"); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto scalar = start(YamlValue::Kind::scalar, mark, tag, anchor);
    scalar->text = value;
    scalar->quoted = tag == "!";
    add(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(start(YamlValue::Kind::list, mark, tag, anchor), mark);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(start(YamlValue::Kind::map, mark, tag, anchor), mark);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    std::shared_ptr<YamlValue> value;
    bool has_key = false;                                 // of a map: the next value belongs to the last entry
    std::unordered_map<std::string, int64_t> lines = {};  // of its keys
  };

  int64_t line_of(const YAML::Mark& mark) const { return has_lines_ ? mark.line + 1 : 0; }

  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& what) const {
    YamlValue here;
    here.source = source_;
    here.line = line_of(mark);
    fail("{}: {}", place_of(here), what);
  }

  std::shared_ptr<YamlValue> start(YamlValue::Kind kind, const YAML::Mark& mark, const std::string& tag,
                                   YAML::anchor_t anchor) const {
    if (anchor != YAML::NullAnchor) refuse(mark, "anchors (&name) are not supported");
    if (!tag.empty() && tag != "?" && tag != "!") refuse(mark, fmt::format("tags ({}) are not supported", tag));
    auto value = std::make_shared<YamlValue>();
    value->kind = kind;
    value->source = source_;
    value->line = line_of(mark);
    return value;
  }

  void open(std::shared_ptr<YamlValue> value, const YAML::Mark& mark) {
    if (open_.size() >= YamlNode::kDeepest) refuse(mark, fmt::format("more than {} levels", YamlNode::kDeepest));
    if (expects_key()) refuse(mark, "a key must be a word");
    open_.push_back({std::move(value)});
  }

  void close() {
    auto value = std::move(open_.back().value);
    open_.pop_back();
    add(std::move(value));
  }

  bool expects_key() const {
    return !open_.empty() && open_.back().value->kind == YamlValue::Kind::map && !open_.back().has_key;
  }

  void add(std::shared_ptr<YamlValue> value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().value->kind == YamlValue::Kind::list) {
      open_.back().value->items.push_back(std::move(value));
    } else if (expects_key()) {
      add_key(*value);
    } else {
      YamlValue::Entry& entry = open_.back().value->entries.back();
      if (value->kind == YamlValue::Kind::null) value->line = entry.line;  // yaml-cpp names the line of what follows
      entry.value = std::move(value);
      open_.back().has_key = false;
    }
  }

  void add_key(const YamlValue& key) {
    if (key.kind != YamlValue::Kind::scalar || key.text.empty()) fail("{}: a key must be a word", place_of(key));
    const auto [first, is_new] = open_.back().lines.try_emplace(key.text, key.line);
    if (!is_new) {
      fail("{}: {}: duplicate key{}", place_of(key), key.text,
           has_lines_ ? fmt::format(", first in line {}", first->second) : "");
    }
    open_.back().value->entries.push_back({key.text, key.line, nullptr});
    open_.back().has_key = true;
  }

  std::shared_ptr<const std::string> source_;
  bool has_lines_;
  std::vector<Open> open_;
  std::shared_ptr<const YamlValue> root_;
};

std::string place(const std::string& source, bool has_lines, int64_t line) {
  return has_lines ? fmt::format("{}:{}", source, line) : source;
}

/// What yaml-cpp would take without a word, or explain badly.
void check_characters(std::string_view text, const std::string& source, bool has_lines) {
  int64_t line = 1;
  bool indentation = true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      ++line;
      indentation = true;
      continue;
    }
    if (c == '\t' && indentation) fail("{}: a tab in the indentation; use spaces", place(source, has_lines, line));
    if ((byte < 0x20 && c != '\t' && c != '\r') || byte == 0x7f) {
      fail("{}: not a text: byte {:#04x}", place(source, has_lines, line), byte);
    }
    indentation = indentation && c == ' ';
  }
}

}  // namespace

std::string place_of(const YamlValue& value) {
  return place(*value.source, value.line > 0, value.line);
}

std::shared_ptr<const YamlValue> parse_yaml_tree(std::string_view text, const std::string& source, bool has_lines) {
  if (std::ssize(text) > YamlNode::kMostBytes) fail("{}: longer than {} bytes", source, YamlNode::kMostBytes);
  check_characters(text, source, has_lines);
  TreeBuilder builder(std::make_shared<const std::string>(source), has_lines);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    auto root = builder.take_root();
    if (parser.HandleNextDocument(builder)) fail("{}: more than one document", source);
    return root;
  } catch (const YAML::ParserException& error) {
    fail("{}: {}", place(source, has_lines, error.mark.line + 1), error.msg);
  }
}

std::string quoted_yaml(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      quoted += fmt::format("\\x{:02x}", byte);
    else
      quoted += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
  }
  return quoted + '"';
}

}  // namespace sparrow
