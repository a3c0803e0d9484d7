// The communicator over MPI, on host memory. Does not expose mpi.h.
//
// post() starts one MPI_Irecv and one MPI_Isend per peer with bytes (in chunks of at most max_message_bytes, because
// counts in MPI are ints); a rank without bytes costs no message. All messages of an operation carry its number as tag,
// so operations may be waited for in any order. wait() polls, and soon rests between polls, until everything has come
// and gone, or the time-out. Sizes that disagree are found by the receiver; only a small message to a rank that expects
// none can go unnoticed, if it arrives after the wait. A rank of a message is named by its number in MPI_COMM_WORLD.
// After an Error the communicator refuses all further work.
#pragma once

#include <cstdint>
#include <memory>

#include "comm/comm.hpp"
#include "comm/mpi_runtime.hpp"

namespace sparrow {

/// A duplicate of MPI_COMM_WORLD. Collective. One thread at a time may use a communicator; different ones may be used
/// by different threads. runtime must outlive it and those split from it. max_message_bytes in [1, 2^30], equal on all
/// ranks (tests make it small).
std::unique_ptr<Comm> make_mpi_comm(MpiRuntime& runtime, double timeout_seconds,
                                    int64_t max_message_bytes = int64_t{1} << 30);

}  // namespace sparrow
