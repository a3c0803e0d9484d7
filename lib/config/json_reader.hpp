// Reading JSON strictly: every value is asked for by name and type, every fault names the file and the path to it, and
// keys that nobody asked for are errors. For files that programs write: plans, profiles.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sparrow {

/// The document in a text; `name` stands for the file. Throws Error for what is not JSON, with its line, and for an
/// object that has a key twice.
nlohmann::json parse_json(std::string_view text, const std::string& name);

/// A text in quotes, as JSON has it.
std::string quoted(const std::string& text);

/// A value of a document with its place. Both the document and the name of its file must outlive it. Everything throws
/// Error "file: path: what is wrong".
class JsonValue {
 public:
  JsonValue(const nlohmann::json& value, std::string path, const std::string& file)
      : value_(value), path_(std::move(path)), file_(file) {}

  /// The members of an object: these, and none but these and `others`.
  std::vector<JsonValue> members(std::initializer_list<const char*> keys,
                                 std::initializer_list<const char*> others = {}) const;
  std::optional<JsonValue> member(const char* key) const;
  std::vector<JsonValue> items() const;
  int64_t integer(int64_t least, int64_t most) const;
  double real(double least, double most) const;
  bool boolean() const;
  std::string text() const;
  /// The number of the word that it is.
  size_t choice(std::initializer_list<const char*> words) const;
  /// A list of exactly n whole numbers from 0 to most.
  std::vector<int64_t> numbers(size_t n, int64_t most) const;
  [[noreturn]] void wrong(const std::string& what) const;

 private:
  const nlohmann::json& value_;
  std::string path_;
  const std::string& file_;
};

}  // namespace sparrow
