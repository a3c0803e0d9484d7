#include "exchange/stage_comms.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace sparrow {

std::vector<int> parting_levels(const Hierarchy& hierarchy, int own, std::span<const int> ranks) {
  std::vector<int> levels;
  for (const int rank : ranks) {
    int level = 0;
    while (level + 1 < hierarchy.depth() && hierarchy.domain(level + 1, rank) == hierarchy.domain(level + 1, own))
      ++level;
    levels.push_back(std::min(level, Traffic::kLevels - 1));
  }
  return levels;
}

StageComms::StageComms(Comm& host, Comm& device, const Hierarchy& hierarchy) {
  SPARROW_CHECK(host.size() == hierarchy.ranks(), "{} ranks run, the topology has {}", host.size(), hierarchy.ranks());
  for (int stage = 0; stage < hierarchy.depth(); ++stage) {
    const int domain = hierarchy.domain(stage, host.rank());
    const auto& members = hierarchy.members(stage, domain);
    const std::vector<int> levels = parting_levels(hierarchy, host.rank(), members);
    host_.push_back(host.group(members));
    host_.back()->set_levels(levels);
    if (&device != &host) {
      device_.push_back(device.group(members));
      device_.back()->set_levels(levels);
    }
    sizes_.push_back(host_.back()->size());
    std::vector<int> peer(host.size(), -1);
    for (size_t i = 0; i < members.size(); ++i) peer[members[i]] = static_cast<int>(i);
    peer_of_.push_back(std::move(peer));
  }
}

Traffic StageComms::traffic(int stage) const {
  return device_.empty() ? host(stage).traffic() : host(stage).traffic() + device(stage).traffic();
}

Traffic StageComms::traffic() const {
  Traffic total;
  for (int stage = 0; stage < count(); ++stage) total = total + traffic(stage);
  return total;
}

}  // namespace sparrow
