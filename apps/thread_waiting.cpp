#include "thread_waiting.hpp"

#include <unistd.h>

#include <cstdlib>

namespace sparrow {

void shorten_thread_waiting(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  if (setenv("GOMP_SPINCOUNT", "2000", 1) == 0) execv("/proc/self/exe", argv);
}

}  // namespace sparrow
