#include "data/criteo_tsv.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <memory>

#include "base/random.hpp"
#include "support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

struct Parsed {
  float label = -1;
  float dense[kCriteoDense] = {};
  uint32_t categories[kCriteoTables] = {};
  int64_t bytes = -1;  ///< length of the line with its line feed; -1: refused
};

Parsed parse(const char* begin, const char* end) {
  Parsed parsed;
  const char* next = parse_criteo_line(begin, end, parsed.label, parsed.dense, parsed.categories, 1);
  if (next != nullptr) parsed.bytes = next - begin;
  return parsed;
}

/// From memory of exactly this size, so that a sanitizer sees every read outside it.
Parsed parse(const std::string& text) {
  const std::unique_ptr<char[]> exact(new char[text.size()]);
  std::memcpy(exact.get(), text.data(), text.size());
  return parse(exact.get(), exact.get() + text.size());
}

void check_equal(const Parsed& parsed, const Sample& sample) {
  CHECK(parsed.label == sample.label);
  for (int i = 0; i < kCriteoDense; ++i) {
    const int64_t x = sample.integers[i];
    // The definition, in double precision, rounded once: exact.
    CHECK(parsed.dense[i] == static_cast<float>(std::log(1.0 + static_cast<double>(std::max<int64_t>(x, 0)))));
  }
  for (int t = 0; t < kCriteoTables; ++t) CHECK(parsed.categories[t] == sample.categories[t]);
}

std::string valid_line() {
  return make_sample(3, 0).line();
}

/// The line with one field replaced.
std::string with_field(int column, const std::string& value) {
  std::string line = valid_line();
  size_t begin = 0;
  for (int c = 0; c < column; ++c) begin = line.find('\t', begin) + 1;
  const size_t end = line.find_first_of("\t\n", begin);
  return line.replace(begin, end - begin, value);
}

/// Why it is refused, which must agree with the parser, whether the line stands at the end of the text or far from it.
std::string refusal(std::string line) {
  CHECK(parse(line).bytes == -1);
  std::string far = line + std::string(2000, '\n');
  CHECK(parse(far).bytes == -1);
  return explain_criteo_line(std::string_view(line).substr(0, line.find('\n')));
}

}  // namespace

TEST_CASE("Lines are parsed to the values they were written from", "[tsv]") {
  const std::vector<Sample> samples = make_samples(1, 3000);
  const std::string text = text_of(samples);
  const char* p = text.data();
  for (const Sample& sample : samples) {
    const Parsed parsed = parse(p, text.data() + text.size());
    REQUIRE(parsed.bytes == static_cast<int64_t>(sample.line().size()));
    check_equal(parsed, sample);
    p += parsed.bytes;
  }
  CHECK(p == text.data() + text.size());
}

TEST_CASE("Missing values are 0, negative integers count as 0", "[tsv]") {
  std::string line = "1";
  line.append(kCriteoColumns - 1, '\t');
  const Parsed missing = parse(line + "\n");
  check_equal(missing, [] {
    Sample sample;
    sample.label = 1;
    return sample;
  }());
  for (const char* value : {"-1", "-3", "-9223372036854775808", "0", "-0", "00"})
    CHECK(parse(with_field(5, value)).dense[4] == 0.0f);
  CHECK(parse(with_field(5, "9223372036854775807")).dense[4] == static_cast<float>(std::log(9223372036854775808.0)));
  CHECK(parse(with_field(5, "00000000000000000007")).dense[4] == static_cast<float>(std::log(8.0)));
}

TEST_CASE("Hexadecimal digits may be small or capital", "[tsv]") {
  CHECK(parse(with_field(14, "deadbeef")).categories[0] == 0xdeadbeefu);
  CHECK(parse(with_field(39, "0FeDcBa9")).categories[25] == 0x0fedcba9u);
  CHECK(parse(with_field(39, "ffffffff")).categories[25] == 0xffffffffu);
}

TEST_CASE("The last line needs no line feed", "[tsv]") {
  for (const std::string& last : {std::string("12345678"), std::string()}) {
    std::string line = with_field(39, last);
    line.pop_back();
    CHECK(parse(line).bytes == static_cast<int64_t>(line.size()));
  }
}

TEST_CASE("Every malformed field is refused and named", "[tsv]") {
  CHECK_THAT(refusal(with_field(0, "2")), StartsWith("column 1 (label): the label is '2', not 0 or 1"));
  CHECK_THAT(refusal(with_field(0, "")), StartsWith("column 1 (label)"));
  CHECK_THAT(refusal(with_field(0, "01")), StartsWith("column 1 (label)"));
  CHECK_THAT(refusal(with_field(0, "-1")), StartsWith("column 1 (label)"));
  CHECK_THAT(refusal(with_field(1, "x")), StartsWith("column 2 (I1): 'x' is not an integer"));
  for (const char* bad : {"1.5", "+1", " 1", "1 ", "--1", "-", "0x1", "1234567x", "12345678x", "1e3"})
    CHECK_THAT(refusal(with_field(13, bad)), StartsWith("column 14 (I13)") && Contains("not an integer"));
  for (const char* bad :
       {"9223372036854775808", "-9223372036854775809", "99999999999999999999999", "000000000000000000001"})
    CHECK_THAT(refusal(with_field(7, bad)), StartsWith("column 8 (I7)") && Contains("out of range"));
  for (const char* bad : {"1234567", "123456789", "1234567g", "G2345678", "12 45678", "0x345678", "1234/678",
                          "1234:678", "1234@678", "1234`678", "\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7", "1"})
    CHECK_THAT(refusal(with_field(20, bad)), StartsWith("column 21 (C7)") && Contains("eight hexadecimal digits"));
  CHECK_THAT(refusal(with_field(39, "1234567")), StartsWith("column 40 (C26)"));
  CHECK_THAT(refusal(with_field(39, "123456789")), StartsWith("column 40 (C26)"));
}

TEST_CASE("A wrong number of columns is refused with their number", "[tsv]") {
  std::string twelve = valid_line();  // without I13: what follows is shifted
  twelve = with_field(13, "X");
  twelve.erase(twelve.find("X\t"), 2);
  CHECK_THAT(refusal(twelve), Contains("39 columns, 40 expected"));
  std::string more = valid_line();
  more.insert(more.size() - 1, "\t12345678");
  CHECK_THAT(refusal(more), Contains("41 columns, 40 expected"));
  CHECK_THAT(refusal("\n"), Contains("empty"));
  CHECK_THAT(refusal("0\n"), Contains("1 columns, 40 expected (the line ends before I1)"));
  std::string crlf = valid_line();
  crlf.insert(crlf.size() - 1, "\r");
  CHECK_THAT(refusal(crlf), Contains("CR LF"));
}

TEST_CASE("A line cut anywhere is refused, unless only the last category is missing", "[tsv]") {
  const std::string line = with_field(39, "12345678");
  for (size_t length = 1; length + 1 < line.size(); ++length) {
    const bool complete = length == line.size() - 9;  // just behind the last tab: an empty C26
    CHECK((parse(line.substr(0, length)).bytes == static_cast<int64_t>(length)) == complete);
    const std::string followed = line.substr(0, length) + "\n" + line;
    CHECK((parse(followed).bytes == static_cast<int64_t>(length) + 1) == complete);
  }
}

TEST_CASE("Randomly damaged lines are parsed or refused as their explanation says", "[tsv]") {
  constexpr std::string_view kLikely = "\t\n\r 0189afAFgGxX-+.\0\x80\xff";
  int refused = 0;
  for (uint64_t i = 0; i < 20000; ++i) {
    std::string line = make_sample(5, i).line();
    const uint32_t damages = 1 + random_words(11, 0, i, 0).v[3] % 3;
    for (uint32_t k = 0; k < damages && !line.empty(); ++k) {
      const Philox4 words = random_words(11, 1, i, k);
      const size_t at = words.v[0] % line.size();
      const char c = words.v[1] % 8 == 0 ? static_cast<char>(words.v[2]) : kLikely[words.v[2] % (kLikely.size())];
      if (words.v[3] % 4 == 0) line[at] = c;
      if (words.v[3] % 4 == 1) line.insert(at, 1, c);
      if (words.v[3] % 4 == 2) line.erase(at, 1 + words.v[2] % 9);
      if (words.v[3] % 4 == 3) line.resize(at);
    }
    if (line.empty()) continue;
    const Parsed alone = parse(line);
    const Parsed followed = parse(line + (line.back() == '\n' ? "" : "\n") + std::string(2000, '\t'));
    CHECK((alone.bytes < 0) == (followed.bytes < 0));
    const std::string first = line.substr(0, line.find('\n'));
    CHECK((alone.bytes < 0) == !explain_criteo_line(first).empty());
    refused += alone.bytes < 0;
  }
  CHECK(refused > 5000);
  CHECK(refused < 20000);
}
