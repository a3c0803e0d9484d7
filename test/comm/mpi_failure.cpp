// How a program ends when its last rank fails in the given way, while the others wait for it: see CMakeLists.txt for
// the exit codes expected.
#include <cstdio>
#include <string_view>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "comm/mpi_comm.hpp"

namespace {

void work(sparrow::MpiRuntime& runtime, bool fails) {
  const auto comm = sparrow::make_mpi_comm(runtime, 20);
  if (fails && comm->rank() == comm->size() - 1) sparrow::fail("rank {} fails, as asked", comm->rank());
  sparrow::barrier(*comm);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view way = argc > 1 ? argv[1] : "";
  if (way == "unwind") {
    try {
      sparrow::MpiRuntime runtime;
      work(runtime, true);
    } catch (const std::exception&) {
      return 99;  // never: the runtime has ended all ranks on the way here
    }
    return 0;
  }
  sparrow::MpiRuntime runtime;
  try {
    work(runtime, way == "abort");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", runtime.rank(), error.what());
    runtime.abort(7);
  }
  return 0;
}
