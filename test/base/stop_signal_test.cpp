#include "base/stop_signal.hpp"

#include <catch2/catch.hpp>

using namespace sparrow;

TEST_CASE("TheSignalLeavesAMarkUntilTheNextObject") {
  struct sigaction before {
  }, after{};
  sigaction(SIGUSR1, nullptr, &before);
  {
    const StopSignal signal;
    CHECK_FALSE(signal.asked());
    std::raise(SIGUSR1);
    CHECK(signal.asked());
    std::raise(SIGUSR1);  // again does no harm
    CHECK(signal.asked());
  }
  CHECK_FALSE(StopSignal().asked());
  sigaction(SIGUSR1, nullptr, &after);
  CHECK(after.sa_handler == before.sa_handler);
}
