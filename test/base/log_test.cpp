#include "base/log.hpp"

#include <catch2/catch.hpp>

using namespace sparrow;

TEST_CASE("OtherRanksAreQuietUnlessAsked") {
  set_up_log(0);
  CHECK(spdlog::get_level() == spdlog::level::info);
  set_up_log(3);
  CHECK(spdlog::get_level() == spdlog::level::warn);
  set_up_log(3, spdlog::level::debug, true);
  CHECK(spdlog::get_level() == spdlog::level::debug);
  set_up_log(0, spdlog::level::debug);
  CHECK(spdlog::get_level() == spdlog::level::debug);
  set_up_log(0);
}
