// MPI's life in this process, and where this rank is. Does not expose mpi.h. Communicators are in mpi_comm.hpp.
#pragma once

namespace sparrow {

/// Initialises MPI (THREAD_MULTIPLE) and finalises it at the end; with or without mpirun (then: one rank). If MPI is
/// initialised already, its owner finalises it. Errors of MPI are returned, and thrown as Error, not fatal. Outlives
/// every communicator. One per process at a time.
class MpiRuntime {
 public:
  MpiRuntime();
  /// Finalises, which waits for all ranks; but when an exception passes by, the others may never come: then it aborts
  /// with code 1.
  ~MpiRuntime();
  MpiRuntime(const MpiRuntime&) = delete;
  MpiRuntime& operator=(const MpiRuntime&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }  ///< among the ranks of this node (those that share memory)
  int local_size() const { return local_size_; }
  int node() const { return node_; }  ///< nodes are numbered by their lowest rank
  int nodes() const { return nodes_; }
  /// Ranks, this one included, that may run on the same cores: of one kernel, with the same set of processors. More
  /// than local_size() where several nodes are emulated on one machine, fewer where ranks are bound apart.
  int ranks_on_cores() const { return ranks_on_cores_; }

  /// Ends all ranks at once, after flushing logs and standard output; mpirun exits with exit_code (1 to 255). For the
  /// catch of main.
  [[noreturn]] void abort(int exit_code) const noexcept;

 private:
  void find_node();
  void count_ranks_on_cores();

  bool owner_ = false;
  int exceptions_at_start_ = 0;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1, node_ = 0, nodes_ = 1, ranks_on_cores_ = 1;
};

}  // namespace sparrow
