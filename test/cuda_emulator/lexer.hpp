// PTX text as tokens: words with their dots ("ld.global.v4.f32", "%r1", ".reg"), numbers, strings and single
// punctuation characters.
#pragma once

#include <string>

namespace sparrow::emulator {

class Lexer {
 public:
  explicit Lexer(const std::string& text) : text_(text) {}

  std::string next();  ///< the next token; empty at the end
  std::string peek();
  char peek_character();
  void expect(const char* token);  ///< ends the program unless the next token is this one
  bool skip(char punctuation);     ///< takes the next token if it is this character
  void skip_line();
  void skip_statement();  ///< up to and with the next semicolon

  int line() const { return line_; }
  size_t position() const { return position_; }
  std::string text_between(size_t begin, size_t end) const { return text_.substr(begin, end - begin); }

 private:
  void skip_space();

  const std::string& text_;
  size_t position_ = 0;
  int line_ = 1;
};

/// Reads a number as PTX writes it: decimal, 0x.., 0b.., 0f + 8 digits and 0d + 16 digits (bits of a float and of a
/// double).
bool read_number(const std::string& token, uint64_t& value);

}  // namespace sparrow::emulator
