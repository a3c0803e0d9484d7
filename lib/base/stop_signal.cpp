#include "base/stop_signal.hpp"

#include "base/error.hpp"

namespace sparrow {

namespace {

volatile std::sig_atomic_t signalled = 0;  // a handler reaches nothing else

void mark(int) {
  signalled = 1;
}

}  // namespace

StopSignal::StopSignal() {
  signalled = 0;
  struct sigaction action {};
  action.sa_handler = mark;
  action.sa_flags = SA_RESTART;
  if (sigaction(SIGUSR1, &action, &before_) != 0) fail_errno("sigaction SIGUSR1");
}

StopSignal::~StopSignal() {
  sigaction(SIGUSR1, &before_, nullptr);
}

bool StopSignal::asked() const noexcept {
  return signalled != 0;
}

}  // namespace sparrow
