#include "base/subnormals.hpp"

#include <catch2/catch.hpp>
#include <future>

using namespace sparrow;

namespace {

/// 1e-40, which is subnormal, or 0. volatile: not computed by the compiler.
float subnormal_product() {
  volatile float factor = 1e-20f;
  return factor * factor;
}

/// A subnormal operand, made normal, or 0.
float enlarged_subnormal() {
  volatile float operand = 1e-40f;
  return operand * 1e10f;
}

}  // namespace

TEST_CASE("SubnormalResultsAndOperandsAreZeroWhereTheyAreFlushed") {
  {
    const SubnormalMode mode(Subnormals::flush);
    CHECK(SubnormalMode::here() == Subnormals::flush);
    CHECK(subnormal_product() == 0);
    CHECK(enlarged_subnormal() == 0);
  }
  const SubnormalMode mode(Subnormals::keep);
  CHECK(SubnormalMode::here() == Subnormals::keep);
  CHECK(subnormal_product() > 0);
  CHECK(enlarged_subnormal() > 0);
}

TEST_CASE("TheModeBeforeComesBack") {
  for (const Subnormals outer : {Subnormals::keep, Subnormals::flush}) {
    const SubnormalMode mode(outer);
    for (const Subnormals inner : {Subnormals::keep, Subnormals::flush}) {
      const SubnormalMode other(inner);
      CHECK(SubnormalMode::here() == inner);
    }
    CHECK(SubnormalMode::here() == outer);
  }
}

TEST_CASE("ThreadsTakeTheModeOfTheOneThatStartsThem") {
  for (const Subnormals mode : {Subnormals::keep, Subnormals::flush}) {
    const SubnormalMode here(mode);
    CHECK(std::async(std::launch::async, SubnormalMode::here).get() == mode);
    CHECK((std::async(std::launch::async, subnormal_product).get() == 0) == (mode == Subnormals::flush));
  }
}
