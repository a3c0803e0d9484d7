// How the keys of a struct of options are described: once, beside the struct, for all that read or write them.
//
//   enum class Order { files, random };
//   constexpr auto words_of(Order) {
//     return std::to_array<Word<Order>>({{"files", Order::files}, {"random", Order::random}});
//   }
//
//   template <class Visitor>
//   void visit_fields(Visitor& visit, ReadOptions& options) {
//     visit("order", options.order);
//     visit("ahead", options.ahead, between(1, 64));
//     visit("window", options.window, at_least(0));
//     visit.require(options.window == 0 || options.order == Order::random, {"window"}, "only with order: random");
//   }
//
// A visitor is called with each key, its field and what is asked of it; it reads the field, or writes it. What several
// keys together must fulfil stands behind them: require(whether they do, keys, message), of which a fault is laid to
// the first of the keys that is set. Fields are numbers, bool, texts, enums with words_of, lists of these, WordOr, and
// structs with visit_fields, also optional ones (absent or an empty map: nothing).
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace sparrow {

/// A value of E as it is written. later: it has a name and no code yet, and is refused.
template <class E>
struct Word {
  std::string_view text;
  E value;
  bool later = false;
};

template <class E>
concept HasWords = requires(E value) {
  words_of(value);
};

template <HasWords E>
std::string_view word_of(const E& value) {
  for (const auto& word : words_of(E{}))
    if (word.value == value) return word.text;
  fail("a value without a word");
}

/// All words of E, in order.
template <HasWords E>
std::vector<std::string> all_words() {
  std::vector<std::string> words;
  for (const auto& word : words_of(E{}))
    if (!word.text.empty()) words.emplace_back(word.text);
  return words;
}

/// Throws Error "NAME: 'TEXT' is none of ...".
template <HasWords E>
E parse_word(std::string_view name, std::string_view text) {
  for (const auto& word : words_of(E{}))
    if (word.text == text && !text.empty()) return word.value;
  fail("{}: '{}' is none of {}", name, text, fmt::join(all_words<E>(), ", "));
}

/// A word of E, or a value of the user's own: E::given, whose word is "".
template <class E, class Value>
struct WordOr {
  E word{};
  Value given;

  WordOr() = default;
  WordOr(E of) : word(of) {}
  WordOr(Value value) : word(E::given), given(std::move(value)) {}
  bool operator==(E other) const { return word == other; }
};

// What may be asked of a field.

struct Integers {
  int64_t least = 0, most = std::numeric_limits<int64_t>::max();
};
struct Reals {
  double least = 0, most = std::numeric_limits<float>::max();
};
constexpr Integers at_least(std::integral auto least) {
  return {static_cast<int64_t>(least)};
}
constexpr Reals at_least(std::floating_point auto least) {
  return {least};
}
constexpr Integers between(std::integral auto least, std::integral auto most) {
  return {static_cast<int64_t>(least), static_cast<int64_t>(most)};
}
constexpr Reals between(std::floating_point auto least, std::floating_point auto most) {
  return {least, most};
}

struct NotEmpty {};     ///< of a text
struct BytesOrAuto {};  ///< bytes, also with a unit; the word auto is 0
struct PerTable {       ///< a list with a number for each table
  size_t tables;
  bool or_one = false;  ///< or one for all of them, no list; else the list may be empty
};
struct YesNo {  ///< words for true and false
  std::string_view yes, no;
};

/// A visitor that looks at nothing but fields.
struct RequiresNothing {
  template <class... Args>
  void require(bool, std::initializer_list<const char*>, fmt::format_string<const Args&...>, const Args&...) {}
};

}  // namespace sparrow
