// Options as YAML that reads back the same (field_reader.hpp): sections line by line, what is in them on one line.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.hpp"
#include "config/yaml_tree.hpp"

namespace sparrow {

class FieldWriter : public RequiresNothing {
 public:
  template <class T, class... Rules>
  void operator()(const char* key, T& field, const Rules&... rules) {
    const std::string value = written(field, rules...);
    text_ += fmt::format("{}{}:{}{}", text_.empty() ? "" : separator_, key, value.starts_with('\n') ? "" : " ", value);
  }

  /// Its sections, each in lines of its own.
  template <class Options>
  static std::string sections(Options& options) {
    FieldWriter writer("\n", 0);
    visit_fields(writer, options);
    return writer.text_ + "\n";
  }

 private:
  FieldWriter(const char* separator, int depth) : separator_(separator), depth_(depth) {}

  static std::string written(const std::string& field, const NotEmpty& = {}) { return quoted_yaml(field); }
  static std::string written(bool field) { return field ? "true" : "false"; }
  static std::string written(bool field, const YesNo& words) { return std::string(field ? words.yes : words.no); }
  static std::string written(int64_t field, BytesOrAuto) { return field == 0 ? "auto" : fmt::to_string(field); }
  static std::string written(double field, const Reals&) { return fmt::to_string(field); }
  static std::string written(std::integral auto field, const Integers&) { return fmt::to_string(field); }
  static std::string written(const HasWords auto& field) { return std::string(word_of(field).text); }

  template <class E>
  static std::string written(const WordOr<E, std::string>& field) {
    return quoted_yaml(field.word == E::given ? field.given : word_of(field.word).text);
  }
  template <class E, class T>
  static std::string written(const WordOr<E, std::vector<T>>& field, const auto& range) {
    return field.word == E::given ? written(field.given, range) : written(field.word);
  }

  template <class T, class... Rules>
  static std::string written(const std::vector<T>& field, const Rules&... rules) {
    std::vector<std::string> items;
    for (const T& item : field) items.push_back(written(item, rules...));
    return fmt::format("[{}]", fmt::join(items, ", "));
  }
  template <class Int>
  static std::string written(const std::vector<Int>& field, const Integers& range, const PerTable& per) {
    return per.or_one && field.size() == 1 ? written(field[0], range) : written(field, range);
  }

  template <HasFields<FieldWriter> Options>
  std::string written(Options& field) const {
    FieldWriter inner(depth_ == 0 ? "\n  " : ", ", depth_ + 1);
    visit_fields(inner, field);
    return depth_ == 0 ? "\n  " + inner.text_ : "{" + inner.text_ + "}";
  }
  template <HasFields<FieldWriter> Options>
  std::string written(std::optional<Options>& field) const {
    return field ? written(*field) : "{}";
  }

  const char* separator_;
  int depth_;
  std::string text_;
};

}  // namespace sparrow
