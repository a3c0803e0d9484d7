// How the keys of a struct of options are described: once, beside the struct, for all that read or write them.
//
//   enum class Order { files, random };
//   template <>
//   inline constexpr Word kWords<Order>[] = {"files", "random"};
//
//   template <class Visitor>
//   void visit_fields(Visitor& visit, ReadOptions& options) {
//     visit("order", options.order);
//     visit("ahead", options.ahead, Integers{1, 64});
//     visit("window", options.window, Integers{0});
//     visit.require(options.window == 0 || options.order == Order::random, {"window"}, "only with order: random");
//   }
//
// A visitor is called with each key, its field and what is asked of it; it reads the field, or writes it. What several
// keys together must fulfil stands behind them: require(whether they do, keys, message), of which a fault is laid to
// the first of the keys that is set. Fields are numbers, bool, texts, enums with words, lists of these, WordOr, and
// structs with visit_fields, also optional ones (absent or an empty map: nothing).
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace sparrow {

constexpr bool kLater = true;  ///< of a word: it has no code yet, and is refused
struct Word {
  std::string_view text;
  bool later = false;
  constexpr Word(const char* word, bool is_later = false) : text(word), later(is_later) {}
};

/// The words of an enum, in the order of its values; of an optional one with a word for none before them.
template <class E>
inline constexpr std::nullptr_t kWords = nullptr;
template <class E>
concept HasWords = !std::is_same_v<decltype(kWords<E>), const std::nullptr_t>;

template <HasWords E>
E value_of_word(size_t word) {
  if constexpr (std::is_enum_v<E>)
    return static_cast<E>(word);
  else
    return word == 0 ? E{} : E(static_cast<typename E::value_type>(word - 1));
}

template <HasWords E>
const Word& word_of(const E& value) {
  for (size_t i = 0; i < std::size(kWords<E>); ++i)
    if (value_of_word<E>(i) == value) return kWords<E>[i];
  fail("a value without a word");
}

template <HasWords E>
std::vector<std::string> all_words() {
  std::vector<std::string> words;
  for (const Word& word : kWords<E>)
    if (!word.text.empty()) words.emplace_back(word.text);
  return words;
}

/// Throws Error "NAME: unknown value 'TEXT'; expected: ...".
template <HasWords E>
E parse_word(std::string_view name, std::string_view text) {
  for (size_t i = 0; i < std::size(kWords<E>); ++i)
    if (kWords<E>[i].text == text && !text.empty()) return value_of_word<E>(i);
  fail("{}: unknown value '{}'; expected: {}", name, text, fmt::join(all_words<E>(), ", "));
}

/// A word of E, or a value of the user's own: E::given, the last of E, whose word is "".
template <class E, class Value>
struct WordOr {
  E word{};
  Value given;

  WordOr() = default;
  WordOr(E value) : word(value) {}
  WordOr(Value value) : word(E::given), given(std::move(value)) {}
  bool operator==(E other) const { return word == other; }
};

// What may be asked of a field.

struct Integers {
  int64_t least, most = std::numeric_limits<int64_t>::max();
};
struct Reals {
  double least, most = std::numeric_limits<float>::max();
};
struct NotEmpty {};     ///< of a text
struct BytesOrAuto {};  ///< bytes, also with a unit; the word auto is 0
struct PerTable {       ///< a list with a number for each table
  size_t tables;
  bool or_one = false;  ///< or one for all of them, no list; else the list may be empty
};
struct YesNo {  ///< words for true and false
  std::string_view yes, no;
};

template <class Options, class Visitor>
concept HasFields = requires(Options& options, Visitor& visit) {
  visit_fields(visit, options);
};

/// A visitor that looks at nothing but fields.
struct RequiresNothing {
  template <class... Args>
  void require(bool, std::initializer_list<const char*>, fmt::format_string<const Args&...>, const Args&...) {}
};

}  // namespace sparrow
