// Communicators per stage of the hierarchy, for host and for device memory (one and the same where these are): stage s
// joins the ranks of this rank's domain at level s. Ranks are numbered anew in it: these numbers are *peers*.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "comm/comm.hpp"
#include "layout/hierarchy.hpp"

namespace sparrow {

/// Of each rank, the lowest level at which it is in one domain with `own`, as Comm::set_levels takes it: messages to it
/// go through that domain.
std::vector<int> parting_levels(const Hierarchy& hierarchy, int own, std::span<const int> ranks);

class StageComms {
 public:
  /// Collective over both communicators, whose ranks are the hierarchy's.
  StageComms(Comm& host, Comm& device, const Hierarchy& hierarchy);
  Comm& host(int stage) const { return *host_[stage]; }
  Comm& device(int stage) const { return *(device_.empty() ? host_ : device_)[stage]; }
  int count() const { return static_cast<int>(host_.size()); }
  std::span<const int> sizes() const { return sizes_; }
  /// Number in stage s's communicator of a rank of the world.
  int peer(int stage, int world_rank) const { return peer_of_[stage][world_rank]; }
  /// Bytes and messages of a stage, and of all stages together.
  Traffic traffic(int stage) const;
  Traffic traffic() const;

 private:
  std::vector<std::unique_ptr<Comm>> host_, device_;  ///< device_ is empty where they are the same
  std::vector<int> sizes_;
  std::vector<std::vector<int>> peer_of_;
};

}  // namespace sparrow
