#include "base/text_file.hpp"

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/error.hpp"
#include "test/data/support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

TEST_CASE("AFileIsReplacedWholeAndNothingElseIsLeft") {
  const TempFolder folder;
  const std::string path = folder / "a.txt";
  for (const std::string& text : {std::string("first\n"), std::string(), std::string("a\0b\r\n", 5)}) {
    write_text_file(path, text);
    CHECK(read_text_file(path) == text);
  }
  CHECK(folder.names() == std::vector<std::string>{"a.txt"});
}

TEST_CASE("WhatCannotBeWrittenIsAnErrorWithItsNameAndLeavesNothing") {
  const TempFolder folder;
  CHECK_THAT(error_of([&] { write_text_file(folder / "absent/a.txt", "x"); }),
             Contains("absent/a.txt") && Contains("No such file"));
  std::filesystem::create_directory(folder / "b");
  CHECK_THAT(error_of([&] { write_text_file(folder / "b", "x"); }), Contains("/b: "));
  CHECK_THAT(error_of([&] { write_text_file("/dev/full", "x"); }), Contains("/dev/full: No space"));
  CHECK(folder.names() == std::vector<std::string>{"b"});
}

TEST_CASE("WhatIsNoRegularFileIsWrittenAsItIs") {
  write_text_file("/dev/null", "text");
  CHECK(std::filesystem::is_character_file("/dev/null"));
}

TEST_CASE("WhatCannotBeReadIsAnErrorWithItsName") {
  const TempFolder folder;
  CHECK_THAT(error_of([&] { read_text_file(folder / "absent"); }), Contains("/absent: No such file"));
  CHECK_THAT(error_of([&] { read_text_file(folder.path()); }), Contains("is a directory"));
  CHECK_THAT(error_of([&] { read_text_file("/dev/zero", 100000); }), Contains("longer than 100000 bytes"));
  write_file(folder / "ten", "0123456789");
  CHECK(read_text_file(folder / "ten", 10) == "0123456789");
  CHECK_THAT(error_of([&] { read_text_file(folder / "ten", 9); }), Contains("longer than 9 bytes"));
}
