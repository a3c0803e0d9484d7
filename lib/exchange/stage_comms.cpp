#include "exchange/stage_comms.hpp"

#include "base/error.hpp"

namespace sparrow {

StageComms::StageComms(Comm& host, Comm& device, const Hierarchy& hierarchy) {
  SPARROW_CHECK(host.size() == hierarchy.ranks(), "{} ranks run, the topology has {}", host.size(), hierarchy.ranks());
  for (int stage = 0; stage < hierarchy.depth(); ++stage) {
    const int domain = hierarchy.domain(stage, host.rank());
    const auto& members = hierarchy.members(stage, domain);
    host_.push_back(host.group(members));
    if (&device != &host) device_.push_back(device.group(members));
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
