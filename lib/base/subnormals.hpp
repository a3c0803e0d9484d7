// Subnormal numbers, below the smallest normal one (1.2e-38 in fp32): processors compute with them up to a hundred
// times slower, and weights that decay, as under Adagrad with a large learning rate, become many of them. Host code of
// this program therefore takes them as zero, as operands and as results; make_host_backend() sees to it that no thread
// computes otherwise.
//
// Set once, at the start of main: a thread inherits the mode of the one that starts it (POSIX: pthread_create), so the
// lanes of an overlapped step, the loader, OpenMP's and oneDNN's workers, and ranks that are threads all have it. That
// all have the same one is what makes results independent of plans and of ranks. GPUs compute with subnormals at full
// speed and keep them (nvcc's default, -ftz=false), so results of host and device may differ where a value is that
// small: by less than 1.2e-38 times what it is multiplied with, and of an Adagrad step, whose state is a square, by less
// than lr * 1.1e-19 / (eps + sqrt(state)). Both are far below rounding where values are of order one.
#pragma once

#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sparrow {

enum class Subnormals { keep, flush };

/// Sets the mode of the calling thread while it lives, and of the threads that this one starts meanwhile. Does nothing
/// on processors other than x86-64 and aarch64.
class SubnormalMode {
 public:
  explicit SubnormalMode(Subnormals mode) noexcept : before_(control()) {
    set_control(mode == Subnormals::flush ? before_ | kFlush : before_ & ~kFlush);
  }
  ~SubnormalMode() { set_control(before_); }
  SubnormalMode(const SubnormalMode&) = delete;
  SubnormalMode& operator=(const SubnormalMode&) = delete;

  /// Of the calling thread.
  static Subnormals here() noexcept { return (control() & kFlush) == kFlush ? Subnormals::flush : Subnormals::keep; }

 private:
#if defined(__x86_64__)
  using Control = unsigned;
  static constexpr Control kFlush = 0x8040;  ///< of MXCSR: flush to zero (results), denormals are zero (operands)
  static Control control() noexcept {
    return _mm_getcsr();
  }
  static void set_control(Control value) noexcept {
    _mm_setcsr(value);
  }
#elif defined(__aarch64__)
  using Control = uint64_t;
  static constexpr Control kFlush = uint64_t{1} << 24;  ///< FZ of FPCR, both
  static Control control() noexcept {
    Control value = 0;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void set_control(Control value) noexcept {
    asm volatile("msr fpcr, %0" : : "r"(value));
  }
#else
  using Control = unsigned;
  static constexpr Control kFlush = 0;
  static Control control() noexcept {
    return 0;
  }
  static void set_control(Control) noexcept {}
#endif

  Control before_;
};

}  // namespace sparrow
