// The main of Catch2 executables that run under mpirun: the worst exit code of all ranks is everybody's; rank 0
// reports, others only failures.
#define CATCH_CONFIG_RUNNER
#include <mpi.h>

#include <catch2/catch.hpp>
#include <iostream>
#include <sstream>

#include "base/subnormals.hpp"

int main(int argc, char** argv) {
  const sparrow::SubnormalMode mode(sparrow::Subnormals::flush);
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  std::ostringstream kept;
  std::streambuf* const output = std::cout.rdbuf();
  if (rank != 0) std::cout.rdbuf(kept.rdbuf());
  const int failed = Catch::Session().run(argc, argv);
  std::cout.rdbuf(output);  // before kept goes: the stream is flushed at exit
  if (rank != 0 && failed != 0) std::cout << "On rank " << rank << ":\n" << kept.str() << std::flush;
  int worst = 0;
  MPI_Allreduce(&failed, &worst, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return worst;
}
