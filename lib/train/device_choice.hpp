// Which backend a run uses, and which GPU each rank: one decision for all ranks, from what every rank has found.
#pragma once

#include <string>
#include <vector>

#include "config/options.hpp"

namespace sparrow {

/// What one rank has found.
struct FoundDevices {
  int node = 0;
  std::vector<std::string> devices;  ///< unique names of the GPUs it sees, by its numbers
  std::string why_none;              ///< where it sees none
};

struct DeviceChoice {
  bool cuda = false;
  std::vector<int> device;  ///< by rank, in that rank's numbers; of cuda
  std::string why;          ///< for the log
};

/// Ranks of a node that see the same GPUs take one each, in order of rank; a launcher may also let every rank see
/// its own alone. automatic:  cuda when every rank gets a GPU of its own, else host. Throws
/// Error when cuda is wanted and a rank gets none: a rank sees none, or ranks outnumber the GPUs of their node.
DeviceChoice choose_devices(BackendChoice wanted, const std::vector<FoundDevices>& ranks);

/// One rank's findings as text to send, and back.
std::string write_found(const FoundDevices& found);
FoundDevices parse_found(const std::string& text);

}  // namespace sparrow
