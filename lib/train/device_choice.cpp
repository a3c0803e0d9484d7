#include "train/device_choice.hpp"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.hpp"

namespace sparrow {

namespace {

/// Gives every rank a device; returns why that is unavailable, or "".
std::string assign(const std::vector<FoundDevices>& ranks, std::vector<int>& device) {
  std::map<std::pair<int, std::vector<std::string>>, int> taken;  // of the devices that ranks of a node see together
  std::map<int, int> ranks_of_node;
  std::set<std::pair<int, std::string>> used;
  for (const FoundDevices& rank : ranks) ++ranks_of_node[rank.node];
  for (size_t r = 0; r < ranks.size(); ++r) {
    const FoundDevices& rank = ranks[r];
    if (rank.devices.empty()) return fmt::format("rank {}: {}", r, rank.why_none);
    const int next = taken[{rank.node, rank.devices}]++;
    const auto count = static_cast<int>(rank.devices.size());
    if (next >= count || !used.insert({rank.node, rank.devices[next]}).second)
      return fmt::format("node {} has {} ranks, and {} GPU{} that rank {} sees: start at most one rank for each GPU",
                         rank.node, ranks_of_node[rank.node], count, count == 1 ? "" : "s", r);
    device.push_back(next);
  }
  return "";
}

}  // namespace

DeviceChoice choose_devices(BackendChoice wanted, const std::vector<FoundDevices>& ranks) {
  DeviceChoice choice;
  if (wanted == BackendChoice::host) {
    choice.why = "as requested";
    return choice;
  }
  const std::string unavailable = assign(ranks, choice.device);
  if (!unavailable.empty()) {
    if (wanted == BackendChoice::cuda) fail("CUDA backend unavailable: {}", unavailable);
    choice.why = fmt::format("auto: CUDA unavailable: {}", unavailable);
    return choice;
  }
  choice.cuda = true;
  choice.why = wanted == BackendChoice::cuda ? "as requested" : "auto: every rank has a GPU";
  return choice;
}

std::string write_found(const FoundDevices& found) {
  return nlohmann::json{{"node", found.node}, {"devices", found.devices}, {"why_none", found.why_none}}.dump();
}

FoundDevices parse_found(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text);
  return {json.at("node").get<int>(), json.at("devices").get<std::vector<std::string>>(),
          json.at("why_none").get<std::string>()};
}

}  // namespace sparrow
