// Ranks as threads of one process: what tests use to run many ranks without mpirun, and under ThreadSanitizer. Not for
// training at speed.
//
// A rank's wait ends when all it exchanges bytes with have posted. That is MPI's behaviour for big messages, the
// strictest one: code that relies on the buffering of small messages hangs here, and times out. Data arrive at the
// wait, not before; a send buffer that is changed before the wait throws there. Sizes that disagree throw in the post
// of the second of the two, always.
#pragma once

#include <functional>

#include "comm/comm.hpp"

namespace sparrow {

/// Runs body(comm) on `ranks` threads, comm being that thread's rank in a communicator of all. Returns when all have
/// ended. When one throws, the others' posts, waits and splits throw too, and the first exception is rethrown here.
/// Each communicator belongs to its thread.
void run_ranks(int ranks, const std::function<void(Comm&)>& body, double timeout_seconds = 20);

}  // namespace sparrow
