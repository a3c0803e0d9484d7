// How the system shares a core between threads of one rank.
#pragma once

namespace sparrow {

/// Asks the system for short time slices for the calling thread: one that mostly waits and then has little to do, such
/// as a thread that exchanges messages beside one that computes. It gets no more of a core, but gets it at once when it
/// is woken (Linux 6.12 and later, sched_setattr(2)). A wish: where it is not granted nothing changes.
void prefer_short_time_slices() noexcept;

}  // namespace sparrow
