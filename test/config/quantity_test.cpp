#include "config/quantity.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "base/error.hpp"

namespace sparrow {

TEST_CASE("Quantities take the units of their kind") {
  CHECK(parse_quantity("80GiB", Quantity::bytes) == 80 * 0x1p30);
  CHECK(parse_quantity("1.5 TB", Quantity::bytes) == 1.5e12);
  CHECK(parse_quantity("4096", Quantity::bytes) == 4096);
  CHECK(parse_quantity("25GB/s", Quantity::bytes_per_second) == 25e9);
  CHECK(parse_quantity("200Gbit/s", Quantity::bytes_per_second) == 25e9);
  CHECK(std::isinf(parse_quantity("unlimited", Quantity::bytes_per_second)));
  CHECK(parse_quantity("5us", Quantity::seconds) == Approx(5e-6));
  CHECK(parse_quantity("0", Quantity::seconds) == 0);
  CHECK(parse_quantity("2G/s", Quantity::per_second) == 2e9);
  CHECK(parse_quantity("60Tflop/s", Quantity::flop_per_second) == 60e12);
}

TEST_CASE("Everything else is refused") {
  for (const char* text : {"", "GiB", "80Gib", "80 GiB ", "80  GiB", "-1GiB", "-0", "nan", "inf", "1e400", "0x10GiB",
                           "80GB/s", "unlimited", "8,0GB"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_quantity(text, Quantity::bytes), Error);
  }
  for (const char* text : {"25", "25GB", "25gb/s", "25Gbit", "1e308TB/s"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_quantity(text, Quantity::bytes_per_second), Error);
  }
  CHECK_THROWS_WITH(parse_quantity("-5us", Quantity::seconds), Catch::Contains("negative"));
  CHECK_THROWS_AS(parse_bytes("0.5"), Error);
  CHECK_THROWS_AS(parse_bytes("2000PiB"), Error);  // above 2^60
}

TEST_CASE("Written quantities read back exactly") {
  for (double value : {0.0, 1.0, 117.6e6, 941e6 / 8, 3.35e12, 0x1p30 * 76, 1.0 / 3, 12345.678e9})
    CHECK(parse_quantity(format_quantity(value, Quantity::bytes_per_second), Quantity::bytes_per_second) == value);
  CHECK(format_quantity(80 * 0x1p30, Quantity::bytes) == "80GiB");
  CHECK(format_quantity(25e9, Quantity::bytes_per_second) == "25GB/s");
  CHECK(format_quantity(HUGE_VAL, Quantity::per_second) == "unlimited");
  CHECK_THROWS_AS(format_quantity(-1, Quantity::bytes), Error);
}

}  // namespace sparrow
