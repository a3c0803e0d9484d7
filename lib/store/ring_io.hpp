// The io_uring way of disk_io.hpp.
#pragma once

#include <memory>
#include <string>

#include "store/disk_io.hpp"

namespace sparrow {

/// nullptr, and why, where the kernel has no io_uring, forbids it, or the build is without liburing.
std::unique_ptr<DiskIo> make_ring_io(const ScratchFile& file, std::string& reason);

}  // namespace sparrow
