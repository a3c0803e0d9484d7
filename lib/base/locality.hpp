// Where a PCI device sits in this machine, by hwloc, and binding this process to the processors beside it.
#pragma once

#include <string>
#include <vector>

namespace sparrow {

/// Processors as Linux lists them: "0-3,8".
struct Locality {
  int numa_node = -1;      ///< -1: the machine does not say
  std::string processors;  ///< nearest to the device; empty: unknown
  std::string bound;       ///< those of them that the calling thread could run on, to which the process is now bound
  std::vector<std::string> nearest_adapters;  ///< InfiniBand devices where there are any, else Ethernet, sorted
};

/// Binds every thread of this process, and those that they start, to the processors beside the device that the calling
/// thread may run on; where there is none, who started the process has bound it elsewhere, and it stays so. pci: for
/// example 0000:17:00.0; a device that is not there has no locality.
Locality bind_near(const std::string& pci);

}  // namespace sparrow
