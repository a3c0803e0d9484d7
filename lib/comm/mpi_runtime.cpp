#include "comm/mpi_runtime.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "comm/mpi_check.hpp"

namespace sparrow {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) fail("{}: MPI error {}", call, code);
  fail("{}: {}", call, text);
}

MpiHandle::~MpiHandle() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (comm_ != MPI_COMM_NULL && !finalized) MPI_Comm_free(&comm_);
}

MpiRuntime::MpiRuntime() : exceptions_at_start_(std::uncaught_exceptions()) {
  int initialized = 0, provided = 0;
  check_mpi(MPI_Initialized(&initialized), "MPI_Initialized");
  if (initialized) {
    check_mpi(MPI_Query_thread(&provided), "MPI_Query_thread");
  } else {
    // Without mpirun Open MPI would start a daemon of its own for operations that we never use (spawning processes).
    if (std::getenv("PMIX_RANK") == nullptr) setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
    // Over TCP: what waits in a socket goes before all that comes later, Open MPI's own word that it is ready to
    // receive as well. A socket takes megabytes by itself, and a rank that comes late to an exchange would wait for
    // them before its own rows move. This much fills 25 Gbit/s; the environment and `mpirun --mca btl_tcp_sndbuf` have
    // precedence.
    setenv("OMPI_MCA_btl_tcp_sndbuf", "262144", 0);
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    owner_ = true;
  }
  if (provided < MPI_THREAD_MULTIPLE) fail("MPI_Init_thread: this MPI library has no MPI_THREAD_MULTIPLE");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  find_node();
  count_ranks_on_cores();
}

void MpiRuntime::find_node() {
  MpiHandle local, leaders;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, local.address()),
            "MPI_Comm_split_type");
  check_mpi(MPI_Comm_rank(local.get(), &local_rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(local.get(), &local_size_), "MPI_Comm_size");
  const int color = local_rank_ == 0 ? 0 : MPI_UNDEFINED;
  check_mpi(MPI_Comm_split(MPI_COMM_WORLD, color, rank_, leaders.address()), "MPI_Comm_split");
  int place[2] = {0, 1};  // index of this node, number of nodes
  if (local_rank_ == 0) {
    check_mpi(MPI_Comm_rank(leaders.get(), &place[0]), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(leaders.get(), &place[1]), "MPI_Comm_size");
  }
  check_mpi(MPI_Bcast(place, 2, MPI_INT, 0, local.get()), "MPI_Bcast");
  node_ = place[0];
  nodes_ = place[1];
}

void MpiRuntime::count_ranks_on_cores() {
  std::string machine;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> machine;  // without it all ranks count as on one machine
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) == 0)
    machine.append(reinterpret_cast<const char*>(&cores), sizeof cores);
  uint64_t own = std::hash<std::string>{}(machine);
  std::vector<uint64_t> all(size_);
  check_mpi(MPI_Allgather(&own, 1, MPI_UINT64_T, all.data(), 1, MPI_UINT64_T, MPI_COMM_WORLD), "MPI_Allgather");
  ranks_on_cores_ = static_cast<int>(std::count(all.begin(), all.end(), own));
}

MpiRuntime::~MpiRuntime() {
  if (!owner_) return;
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized) return;
  if (std::uncaught_exceptions() > exceptions_at_start_) abort(1);
  MPI_Finalize();
}

void MpiRuntime::abort(int exit_code) const noexcept {
  spdlog::default_logger_raw()->flush();
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);  // MPI_Abort does not return, but is not declared so
}

}  // namespace sparrow
