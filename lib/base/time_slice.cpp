#include "base/time_slice.hpp"

#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace sparrow {

void prefer_short_time_slices() noexcept {
  constexpr uint64_t kSliceNanoseconds = 100000;  // the least the system grants
  sched_attr attributes{};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  attributes.size = sizeof attributes;
  attributes.sched_runtime = kSliceNanoseconds;
  static_cast<void>(syscall(SYS_sched_setattr, 0, &attributes, 0));
}

}  // namespace sparrow
