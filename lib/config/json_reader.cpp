#include "config/json_reader.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.hpp"

namespace sparrow {

using nlohmann::json;

std::string quoted(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

json parse_json(std::string_view text, const std::string& name) {
  // nlohmann keeps the last of several equal keys; a file with two answers is refused instead.
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second)
      fail("{}: key {} twice in one object", name, parsed.dump());
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::parse_error& error) {
    const auto line =
        1 +
        std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(error.byte, text.size())), '\n');
    fail_at(name, line, "not JSON: {}", error.what());
  } catch (const json::out_of_range& error) {  // a number beyond double
    fail("{}: {}", name, error.what());
  }
}

std::vector<JsonValue> JsonValue::members(std::initializer_list<const char*> keys,
                                          std::initializer_list<const char*> others) const {
  if (!value_.is_object()) wrong("not an object");
  std::vector<JsonValue> result;
  for (const char* key : keys) {
    const auto member = value_.find(key);
    if (member == value_.end()) wrong(fmt::format("key {} is missing", key));
    result.push_back({*member, path_.empty() ? key : fmt::format("{}.{}", path_, key), file_});
  }
  for (const auto& [key, member] : value_.items())
    if (std::find(keys.begin(), keys.end(), key) == keys.end() &&
        std::find(others.begin(), others.end(), key) == others.end())
      wrong(fmt::format("unknown key {}", quoted(key)));
  return result;
}

std::optional<JsonValue> JsonValue::member(const char* key) const {
  const auto found = value_.find(key);
  if (found == value_.end()) return std::nullopt;
  return JsonValue(*found, path_.empty() ? key : fmt::format("{}.{}", path_, key), file_);
}

std::vector<JsonValue> JsonValue::items() const {
  if (!value_.is_array()) wrong("not a list");
  std::vector<JsonValue> result;
  for (size_t i = 0; i < value_.size(); ++i) result.push_back({value_[i], fmt::format("{}[{}]", path_, i), file_});
  return result;
}

int64_t JsonValue::integer(int64_t least, int64_t most) const {
  const bool fits = value_.is_number_integer() &&
                    (!value_.is_number_unsigned() || value_.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  const int64_t number = fits ? value_.get<int64_t>() : 0;
  if (!fits || number < least || number > most) wrong(fmt::format("not a whole number from {} to {}", least, most));
  return number;
}

double JsonValue::real(double least, double most) const {
  const double number = value_.is_number() ? value_.get<double>() : NAN;
  if (!(number >= least && number <= most)) wrong(fmt::format("not a number from {} to {}", least, most));
  return number;
}

bool JsonValue::boolean() const {
  if (!value_.is_boolean()) wrong("neither true nor false");
  return value_.get<bool>();
}

std::string JsonValue::text() const {
  if (!value_.is_string()) wrong("not a string");
  return value_.get<std::string>();
}

size_t JsonValue::choice(std::initializer_list<const char*> words) const {
  const std::string word = text();
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end()) wrong(fmt::format("unknown value {}; expected: {}", quoted(word), fmt::join(words, ", ")));
  return static_cast<size_t>(found - words.begin());
}

std::vector<int64_t> JsonValue::numbers(size_t n, int64_t most) const {
  std::vector<int64_t> result;
  for (const JsonValue& item : items()) result.push_back(item.integer(0, most));
  if (result.size() != n) wrong(fmt::format("not {} numbers", n));
  return result;
}

void JsonValue::wrong(const std::string& what) const {
  fail("{}: {}{}{}", file_, path_, path_.empty() ? "" : ": ", what);
}

}  // namespace sparrow
