#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "config/yaml_reader.hpp"
#include "test/support/error_of.hpp"

using namespace sparrow;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using test::error_of;

namespace {

YamlNode value_of(const std::string& text) {
  return YamlNode::parse("k: " + text, "f").map().at("k");
}

std::string parse_error(const std::string& text) {
  return error_of([&] { YamlNode::parse(text, "f"); });
}

/// A file that goes at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content)
      : path_(std::filesystem::temp_directory_path() / fmt::format("sparrow_yaml_{}", getpid())) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("TypedValuesAreRead") {
  CHECK(value_of("hello").text() == "hello");
  CHECK(value_of("'a: b'").text() == "a: b");
  CHECK(value_of("2024").text() == "2024");
  CHECK(value_of("-17").integer() == -17);
  CHECK(value_of("+17").integer() == 17);
  CHECK(value_of("9223372036854775807").integer() == INT64_MAX);
  CHECK(value_of("1e9").integer() == 1000000000);
  CHECK(value_of("2.5e3").integer() == 2500);
  CHECK(value_of("1.0e-8").real() == 1e-8);
  CHECK(value_of("3").real() == 3.0);
  CHECK(value_of("true").boolean());
  CHECK_FALSE(value_of("false").boolean());
  CHECK(value_of("b").choice({"a", "b"}) == "b");
  CHECK(value_of("[1, 2, 3]").items()[2].integer() == 3);
  CHECK(value_of("[]").items().empty());
  CHECK(value_of("").map().empty());
}

TEST_CASE("BytesTakeUnits") {
  CHECK(value_of("4096").bytes() == 4096);
  CHECK(value_of("1e9").bytes() == 1000000000);
  CHECK(value_of("1.5e+3").bytes() == 1500);
  CHECK(value_of("4GiB").bytes() == int64_t{4} << 30);
  CHECK(value_of("512 MiB").bytes() == int64_t{512} << 20);
  CHECK(value_of("1.5GiB").bytes() == int64_t{3} << 29);
  CHECK(value_of("2kB").bytes() == 2000);
  CHECK(value_of("16GB").bytes() == 16000000000);
  CHECK(value_of("1TiB").bytes() == int64_t{1} << 40);
  for (const char* bad : {"4gib", "4Gi", "GiB", "4 G i B", "4GiBs", "-4GiB", "0", "0.5", "nan", "inf", "1e30", "0x10",
                          "4GiB4", "1e", "e9", "1e9e9", "4..5GiB", "''", "auto"}) {
    INFO(bad);
    CHECK_THAT(error_of([&] { value_of(bad).bytes(); }), StartsWith("f:1: k: "));
  }
}

TEST_CASE("WrongTypesAreErrorsWithPlaceAndKey") {
  for (const char* bad :
       {"1.5", "x", "'1'", "1e400", "1e17", "0x10", "010", "1_000", "99999999999999999999", "true", "1 2", ".5"}) {
    INFO(bad);
    CHECK_THAT(error_of([&] { value_of(bad).integer(); }), StartsWith("f:1: k: ") && Contains("not a whole number"));
  }
  for (const char* bad : {"nan", ".nan", "-.inf", "inf", "infinity", "1e999", "1,5", "'1'", "x1", "1x"}) {
    INFO(bad);
    CHECK_THAT(error_of([&] { value_of(bad).real(); }), StartsWith("f:1: k: ") && Contains("not a finite number"));
  }
  for (const char* bad : {"yes", "on", "1", "True", "'true'"}) {
    INFO(bad);
    CHECK_THAT(error_of([&] { value_of(bad).boolean(); }), Contains("neither true nor false"));
  }
  for (const char* bad : {"[1]", "{a: 1}", "", "~", "null"}) {
    INFO(bad);
    CHECK_THAT(error_of([&] { value_of(bad).integer(); }), Contains("expected a whole number"));
    CHECK_THAT(error_of([&] { value_of(bad).text(); }), Contains("expected a string"));
  }
  CHECK_THAT(error_of([] { value_of("7").items(); }), Contains("expected a list"));
  CHECK_THAT(error_of([] { value_of("7").map(); }), Contains("expected a map"));
  CHECK_THAT(error_of([] { value_of("[7]").map(); }), Contains("expected a map"));
  CHECK_THAT(error_of([] { value_of("5").integer(6, 9); }), Contains("f:1: k: 5 is less than 6"));
  CHECK_THAT(error_of([] { value_of("10").integer(6, 9); }), Contains("f:1: k: 10 is more than 9"));
  CHECK_THAT(error_of([] { value_of("-0.5").real(0); }), Contains("-0.5 is less than 0"));
}

TEST_CASE("PathsAndLinesNameTheValue") {
  const auto root = YamlNode::parse("a:\n  b:\n    - c: 1\n    - c: x\n", "f");
  const auto items = root.map().at("a").map().at("b").items();
  CHECK(error_of([&] { items[1].map().at("c").integer(); }) == "f:4: a.b[1].c: 'x' is not a whole number");
  CHECK(error_of([&] { items[1].map().at("d"); }) == "f:4: a.b[1]: key d is missing");
}

TEST_CASE("KeysThatNobodyAsksForAreErrorsWithASuggestion") {
  const auto root = YamlNode::parse("seed: 1\nepohcs: 2\n", "f");
  YamlMap map = root.map();
  map.find("seed");
  map.find("epochs");
  CHECK(error_of([&] { map.finish(); }) == "f:2: epohcs: unknown key; did you mean epochs?");
  map.find("epohcs");
  CHECK_NOTHROW(map.finish());
  CHECK(value_of("{x: 1, y: 2}").map().entries().size() == 2);
}

TEST_CASE("NearestWordsAreNear") {
  const std::vector<std::string> words = {"global_batch", "epochs", "seed", "lr"};
  CHECK(nearest_word("globalbatch", words) == "global_batch");
  CHECK(nearest_word("sede", words) == "seed");
  CHECK(nearest_word("l", words) == "lr");
  CHECK(nearest_word("xy", words).empty());
  CHECK(nearest_word("momentum", words).empty());
  CHECK(nearest_word(std::string(100000, 'a'), words).empty());
}

TEST_CASE("WhatIsNotTakenOfYamlIsRefused") {
  CHECK_THAT(parse_error("a: 1\nb: 2\na: 3\n"), StartsWith("f:3: a: duplicate key, first in line 1"));
  CHECK_THAT(parse_error("a: {b: 1, b: 2}"), StartsWith("f:1: b: duplicate key"));
  CHECK_THAT(parse_error("a: &x 1\nb: *x\n"), StartsWith("f:1: anchors"));
  CHECK_THAT(parse_error("a: !!int 1"), Contains("tags"));
  CHECK_THAT(parse_error("[a]: 1"), Contains("a key must be a word"));
  CHECK_THAT(parse_error(": 1"), Contains("a key must be a word"));
  CHECK_THAT(parse_error("a: 1\n---\nb: 2\n"), Contains("more than one document"));
  CHECK_THAT(parse_error("a:\n\tb: 1\n"), StartsWith("f:2: a tab in the indentation"));
  CHECK_THAT(parse_error(std::string("a: 1\nb: \0\n", 10)), StartsWith("f:2: not a text: byte 0x00"));
  CHECK_THAT(parse_error("a: \x7f"), StartsWith("f:1: not a text"));
  CHECK_THAT(parse_error(""), Contains("empty"));
  CHECK_THAT(parse_error("# only a comment\n"), Contains("empty"));
  CHECK_THAT(parse_error("a: [1, 2\nb: 3\n"), StartsWith("f:"));
  CHECK_THAT(parse_error("a: 1\n b: 2\n"), StartsWith("f:2: "));
  CHECK_THAT(parse_error("a: \"x"), StartsWith("f:"));
}

TEST_CASE("NothingDeepOrHugeIsFollowed") {
  for (const char* bracket : {"[", "{", "- ", "? ", "a: [", "{a: "}) {
    std::string text;
    for (int i = 0; i < 20000; ++i) text += bracket;
    INFO(bracket);
    CHECK_THAT(parse_error(text), StartsWith("f:"));
  }
  const std::string deep = std::string(YamlNode::kDeepest + 1, '[') + std::string(YamlNode::kDeepest + 1, ']');
  CHECK_THAT(parse_error(deep), Contains("levels"));
  CHECK_THAT(parse_error(std::string(YamlNode::kMostBytes + 1, ' ')), Contains("longer than"));
  std::string keys;  // many keys are no problem, nor is finding a duplicate among them
  for (int i = 0; i < 100000; ++i) keys += fmt::format("k{}: 1\n", i);
  CHECK(parse_error(keys).empty());
  CHECK_THAT(parse_error(keys + "k7: 1\n"), StartsWith("f:100001: k7: duplicate key, first in line 8"));
}

TEST_CASE("FilesThatCannotBeReadAreErrors") {
  CHECK_THAT(error_of([] { YamlNode::load("/nowhere/x.yaml"); }), Contains("/nowhere/x.yaml: No such file"));
  CHECK_THAT(error_of([] { YamlNode::load("/"); }), Contains("is a directory"));
  CHECK_THAT(error_of([] { YamlNode::load("/dev/null"); }), Contains("empty"));
  CHECK_THAT(error_of([] { YamlNode::load("/dev/zero"); }), Contains("longer than"));
  const TemporaryFile junk(std::string("\x7f\x45LF\x02\x01\x01\x00\x00", 9));
  CHECK_THAT(error_of([&] { YamlNode::load(junk.path()); }), Contains("not a text"));
}

TEST_CASE("AnyBytesEitherParseOrAreAnError") {
  // Mutations of a text with everything in it: never a crash, never another type of exception.
  const std::string good = "a: [1, {b: \"x\\n\"}, 'y']\nc:\n  d: |\n    text\n  - e\n# f\ng: {h: 1e9}\n";
  const std::string bytes("\0\t\n\r\x1b\x7f\x80\xff \"'#%&()*+,-.0:<>?@[\\]`a{|}~!", 37);
  CHECK_NOTHROW([&] {
    for (size_t i = 0; i < good.size(); ++i) {
      for (const char byte : bytes) {
        std::string text = good;
        text[i] = byte;
        error_of([&] { YamlNode::parse(text, "f"); });
        error_of([&] { YamlNode::parse(text.substr(i), "f"); });
      }
    }
  }());
}

TEST_CASE("SettingReplacesAndAdds") {
  const auto root = YamlNode::parse("a:\n  b: 1\n  c: 2\n", "f");
  const auto changed = root.with("a.b=5").with("x.y=[1, 2]").with("a.b=7").with("e=");
  CHECK(changed.map().at("a").map().at("b").integer() == 7);
  CHECK(changed.map().at("a").map().at("c").integer() == 2);
  CHECK(changed.map().at("x").map().at("y").items().size() == 2);
  CHECK(changed.map().at("e").text().empty());
  CHECK(root.map().at("a").map().at("b").integer() == 1);  // the old document is as it was
  CHECK(changed.map().at("a").map().at("c").place() == "f:3");
  CHECK(error_of([&] { changed.map().at("a").map().at("b").integer(9); }) == "--set a.b=7: a.b: 7 is less than 9");
}

TEST_CASE("FaultySettingsNameTheSetting") {
  const auto root = YamlNode::parse("a: 1\n", "f");
  for (const char* bad : {"a", "=1", "", ".=1", "a.=1", ".a=1", "a..b=1"}) {
    INFO(bad);
    CHECK_THAT(error_of([&] { root.with(bad); }), StartsWith(fmt::format("--set {}: expected key=value", bad)));
  }
  CHECK_THAT(error_of([&] { root.with("a.b=1"); }),
             StartsWith("--set a.b=1: ") && Contains("not a map") && Contains("f:1"));
  CHECK_THAT(error_of([&] { root.with("b=[1"); }), StartsWith("--set b=[1: "));
  CHECK_THAT(error_of([&] { root.with("b={c: 1, c: 2}"); }), StartsWith("--set b={c: 1, c: 2}: c: duplicate key"));
  YamlMap map = root.with("sede=1").map();
  map.find("a");
  map.find("seed");
  CHECK(error_of([&] { map.finish(); }) == "--set sede=1: sede: unknown key; did you mean seed?");
}
