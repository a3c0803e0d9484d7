#include "base/error.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

using namespace sparrow;
using Catch::Matchers::Contains;
using Catch::Matchers::Message;

TEST_CASE("FailFormatsItsMessage") {
  CHECK_THROWS_MATCHES(fail("{} of {}", 3, "x"), Error, Message("3 of x"));
}

TEST_CASE("FailAtNamesFileAndLine") {
  CHECK_THROWS_MATCHES(fail_at("a.tsv", 12, "{} columns", 5), Error, Message("a.tsv:12: 5 columns"));
}

TEST_CASE("FailErrnoExplainsTheSystemError") {
  errno = ENOENT;
  CHECK_THROWS_MATCHES(fail_errno("open x"), Error, Message("open x: No such file or directory"));
}

TEST_CASE("AFailedCheckNamesPlaceConditionAndMessage") {
  const int rows = 3;
  CHECK_NOTHROW([&] { SPARROW_CHECK(rows == 3, "{} rows", rows); }());
  try {
    SPARROW_CHECK(rows == 4, "{} rows", rows);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Contains("error_test.cpp:") && Contains("check failed: rows == 4: 3 rows"));
  }
}

TEST_CASE("ACheckNeedsNoMessage") {
  try {
    SPARROW_CHECK(1 > 2);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Contains("check failed: 1 > 2") && !Contains("1 > 2:"));
  }
}
