// How OpenMP's threads wait for each other. libgomp spins for milliseconds by default, which on cores that are shared (several ranks, a
// loader thread, other people's jobs) keeps the very threads from running that are waited for: measured 8 times slower on two busy cores.
#pragma once

namespace sparrow {

/// Sets a short spin (GOMP_SPINCOUNT) unless the user chose one, and starts the program anew, because libgomp reads it before main.
/// Returns where nothing had to be done or the program could not be started again.
void shorten_thread_waiting(char** argv);

}  // namespace sparrow
