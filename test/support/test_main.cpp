// The main of every Catch2 executable that needs no MPI.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include "base/subnormals.hpp"

int main(int argc, char** argv) {
  const sparrow::SubnormalMode mode(sparrow::Subnormals::flush);
  return Catch::Session().run(argc, argv);
}
