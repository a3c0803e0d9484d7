// The main of every Catch2 executable that needs no MPI.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
