#include "lexer.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>

#include "ptx.hpp"

namespace sparrow::emulator {
namespace {

bool in_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}

}  // namespace

void Lexer::skip_space() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (std::isspace(static_cast<unsigned char>(c))) {
      line_ += c == '\n';
      ++position_;
    } else if (text_.compare(position_, 2, "//") == 0) {
      skip_line();
    } else if (text_.compare(position_, 2, "/*") == 0) {
      const size_t end = std::min(text_.find("*/", position_), text_.size() - 2) + 2;
      line_ += static_cast<int>(
          std::count(text_.begin() + static_cast<long>(position_), text_.begin() + static_cast<long>(end), '\n'));
      position_ = end;
    } else {
      return;
    }
  }
}

std::string Lexer::next() {
  skip_space();
  if (position_ >= text_.size()) return "";
  const size_t begin = position_;
  if (text_[position_] == '"') {
    position_ = std::min(text_.find('"', position_ + 1), text_.size() - 1) + 1;
  } else if (in_word(text_[position_])) {
    // "::" belongs to a word ("shared::cta"), a single colon ends a label.
    while (position_ < text_.size()) {
      if (in_word(text_[position_])) {
        ++position_;
      } else if (text_.compare(position_, 2, "::") == 0 && position_ + 2 < text_.size() &&
                 in_word(text_[position_ + 2])) {
        position_ += 2;
      } else {
        break;
      }
    }
  } else {
    ++position_;
  }
  return text_.substr(begin, position_ - begin);
}

std::string Lexer::peek() {
  const size_t position = position_;
  const int line = line_;
  std::string token = next();
  position_ = position;
  line_ = line;
  return token;
}

char Lexer::peek_character() {
  skip_space();
  return position_ < text_.size() ? text_[position_] : '\0';
}

void Lexer::expect(const char* token) {
  const std::string found = next();
  if (found != token) die("PTX line %d: expected '%s', found '%s'", line_, token, found.c_str());
}

bool Lexer::skip(char punctuation) {
  if (peek_character() != punctuation) return false;
  next();
  return true;
}

void Lexer::skip_line() {
  position_ = std::min(text_.find('\n', position_), text_.size());
}

void Lexer::skip_statement() {
  for (std::string token = next(); token != ";" && !token.empty(); token = next()) {
  }
}

bool read_number(const std::string& token, uint64_t& value) {
  if (token.empty() || !std::isdigit(static_cast<unsigned char>(token[0]))) return false;
  const char kind = token.size() > 1 && token[0] == '0' ? static_cast<char>(token[1] | 32) : '\0';
  if ((kind == 'f' && token.size() == 10) || (kind == 'd' && token.size() == 18)) {
    value = std::strtoull(token.c_str() + 2, nullptr, 16);
  } else if (kind == 'b') {
    value = std::strtoull(token.c_str() + 2, nullptr, 2);
  } else {
    value = std::strtoull(token.c_str(), nullptr, 0);
  }
  return true;
}

}  // namespace sparrow::emulator
