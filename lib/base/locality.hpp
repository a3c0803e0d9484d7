// Where a PCI device sits in this machine, as Linux tells under /sys: its NUMA node, the processors beside it, the
// network adapters that share most of its way to the processor. And binding this process to some processors.
#pragma once

#include <string>
#include <vector>

namespace sparrow {

struct Locality {
  int numa_node = -1;           ///< -1: the machine does not say
  std::vector<int> processors;  ///< nearest to the device, ascending; empty: unknown
  std::vector<std::string>
      nearest_adapters;  ///< names; InfiniBand devices where there are any, else Ethernet; the nearest alone
};

/// pci: as in /sys/bus/pci/devices, for example 0000:17:00.0. A device that is not there has no locality. sys: for
/// tests.
Locality locality_of(const std::string& pci, const std::string& sys = "/sys");

/// "0-3,8" -> 0 1 2 3 8. Throws Error for anything else.
std::vector<int> parse_processors(const std::string& text);
/// The inverse.
std::string format_processors(const std::vector<int>& processors);

/// Binds every thread of this process, and those that they start, to those of `processors` that the calling thread may
/// run on, and returns them. Does nothing and returns none where there is none: who started the process has bound it
/// elsewhere.
std::vector<int> bind_process(const std::vector<int>& processors);

}  // namespace sparrow
