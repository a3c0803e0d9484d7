// The parser works on eight bytes at a time in general registers (SWAR), with few branches that depend on the data. Its
// reads are bounded by the longest line that can still be right, kLongestLine, so no search for the line's end is
// needed beforehand; the last lines of a text are parsed from a padded copy.
#include "data/criteo_tsv.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "base/error.hpp"
#include "data/criteo.hpp"

namespace sparrow {
namespace {

constexpr int kLongestInteger = 20;  // a sign and 19 digits
constexpr int64_t kLongestLine = 2 + kCriteoDense * (kLongestInteger + 1) + kCriteoTables * 9;
constexpr int64_t kReadable =
    kLongestLine + 16;  // bytes that parse_readable may touch: the line and one load behind it

constexpr uint64_t bytes_of(uint8_t value) {
  return 0x0101010101010101u * value;
}

uint64_t load8(const char* p) {
  uint64_t x;
  std::memcpy(&x, p, 8);
  return x;
}

/// Dense values of small integers, which most are.
constexpr uint32_t kTableSize = 16384;
const std::array<float, kTableSize>& dense_table() {
  static const std::array<float, kTableSize> table = [] {
    std::array<float, kTableSize> values;
    for (uint32_t i = 0; i < kTableSize; ++i) values[i] = criteo_dense_value(i);
    return values;
  }();
  return table;
}

/// Any integer of at most kLongestInteger characters before a tab; nullptr for others.
[[gnu::noinline]] const char* parse_long_integer(const char* p, float& value) {
  int64_t x = 0;
  const auto [end, error] = std::from_chars(p, p + kLongestInteger, x);
  if (error != std::errc{} || *end != '\t') return nullptr;
  value = criteo_dense_value(x);
  return end + 1;
}

/// An empty field or up to seven digits without a loop; the rest (signs, long numbers, errors) by parse_long_integer.
const char* parse_integer(const char* p, float& value, const float* table) {
  const uint64_t text = load8(p);
  uint64_t digits = text ^ bytes_of('0');
  // Bit 7 of each byte that is no digit; a carry can only spoil bytes behind the first of them.
  const uint64_t others = ((digits + bytes_of(0x76)) | digits) & bytes_of(0x80);
  if (others == 0) [[unlikely]]
    return parse_long_integer(p, value);
  const int bits = std::countr_zero(others) - 7;  // 8 times the number of digits
  if ((text >> bits & 0xff) != '\t') [[unlikely]]
    return parse_long_integer(p, value);
  digits = digits << (56 - bits) << 8;  // leading zeros in place of what follows the number
  digits = digits * 10 + (digits >> 8);
  const uint64_t x = ((digits & 0x000000FF000000FFu) * 0x000F424000000064u +
                      (digits >> 16 & 0x000000FF000000FFu) * 0x0000271000000001u) >>
                     32;
  const uint32_t number = static_cast<uint32_t>(x);
  value = number < kTableSize ? table[number] : criteo_dense_value(number);
  return p + bits / 8 + 1;
}

/// Eight hexadecimal digits, the first one highest. False if they are not.
bool parse_hex(const char* p, uint32_t& value) {
  const uint64_t text = load8(p);
  const uint64_t lower = text | bytes_of(0x20);
  const uint64_t digit = (text + bytes_of(0x80 - '0')) & ~(text + bytes_of(0x80 - '9' - 1));
  const uint64_t letter = (lower + bytes_of(0x80 - 'a')) & ~(lower + bytes_of(0x80 - 'f' - 1));
  uint64_t x = (text & bytes_of(0x0f)) + 9 * (text >> 6 & bytes_of(1));
  x = (x << 4 | x >> 8) & 0x00FF00FF00FF00FFu;
  x = (x << 8 | x >> 16) & 0x0000FFFF0000FFFFu;
  value = static_cast<uint32_t>(x << 16 | x >> 32);
  return (((digit | letter) & ~text) & bytes_of(0x80)) == bytes_of(0x80);
}

/// parse_criteo_line where kReadable bytes from `p` can be read and the line is ended by a line feed, if it is well
/// formed.
const char* parse_readable(const char* p, float& label, float* dense, uint32_t* categories, int64_t stride) {
  static const float* const table = dense_table().data();
  const uint8_t click = static_cast<uint8_t>(p[0] - '0');
  if (click > 1 || p[1] != '\t') return nullptr;
  label = click;
  p += 2;
  for (int i = 0; i < kCriteoDense; ++i) {
    p = parse_integer(p, dense[i], table);
    if (p == nullptr) return nullptr;
  }
  for (int t = 0; t < kCriteoTables; ++t, ++p) {
    const char separator = t + 1 < kCriteoTables ? '\t' : '\n';
    uint32_t value = 0;
    if (*p != separator) {
      if (!parse_hex(p, value) || p[8] != separator) return nullptr;
      p += 8;
    }
    categories[t * stride] = value;
  }
  return p;
}

/// For messages: the field, cut and with unprintable bytes as \xNN.
std::string shown(std::string_view field) {
  std::string text;
  for (const char c : field.substr(0, 32)) {
    if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return field.size() > 32 ? text + "..." : text;
}

/// What is wrong with one field; empty if nothing is.
std::string explain_field(int column, std::string_view field) {
  if (column == 0)
    return field == "0" || field == "1" ? "" : fmt::format("the label is '{}', not 0 or 1", shown(field));
  if (field.empty()) return "";
  if (column <= kCriteoDense) {
    int64_t x = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), x);
    if (error == std::errc::result_out_of_range || (error == std::errc{} && field.size() > kLongestInteger))
      return fmt::format("integer '{}' is out of range", shown(field));
    if (error != std::errc{} || end != field.data() + field.size())
      return fmt::format("'{}' is not an integer", shown(field));
    return "";
  }
  uint32_t value = 0;
  if (field.size() != 8 || !parse_hex(field.data(), value))
    return fmt::format("category '{}' is not eight hexadecimal digits", shown(field));
  return "";
}

}  // namespace

const char* parse_criteo_line(const char* line, const char* end, float& label, float* dense, uint32_t* categories,
                              int64_t stride) {
  if (end - line >= kReadable) [[likely]]
    return parse_readable(line, label, dense, categories, stride);
  // Near the end of the text: a copy that ends in a line feed, with one more behind it so that an early end shows as an
  // empty line.
  std::array<char, kReadable + 1> copy;
  copy.fill('\n');
  std::memcpy(copy.data(), line, end - line);
  const char* next = parse_readable(copy.data(), label, dense, categories, stride);
  if (next == nullptr) return nullptr;
  return next - copy.data() > end - line ? end : line + (next - copy.data());
}

std::string criteo_column_name(int column) {
  if (column == 0) return "label";
  return column <= kCriteoDense ? fmt::format("I{}", column) : fmt::format("C{}", column - kCriteoDense);
}

std::string explain_criteo_line(std::string_view line) {
  if (line.empty()) return fmt::format("the line is empty, {} columns expected", kCriteoColumns);
  if (line.back() == '\r')
    return "the line ends in CR LF (Windows); Criteo's files end lines in LF: convert it, e.g. by tr -d '\\r'";
  std::string reason;
  int columns = 0;
  for (size_t begin = 0; begin <= line.size(); ++columns) {
    const size_t end = std::min(line.find('\t', begin), line.size());
    if (reason.empty() && columns < kCriteoColumns) {
      const std::string fault = explain_field(columns, line.substr(begin, end - begin));
      if (!fault.empty()) reason = fmt::format("column {} ({}): {}", columns + 1, criteo_column_name(columns), fault);
    }
    begin = end + 1;
  }
  if (columns != kCriteoColumns) {
    reason += fmt::format("{}{} columns, {} expected", reason.empty() ? "" : "; ", columns, kCriteoColumns);
    if (columns < kCriteoColumns) reason += fmt::format(" (the line ends before {})", criteo_column_name(columns));
  }
  return reason;
}

}  // namespace sparrow
