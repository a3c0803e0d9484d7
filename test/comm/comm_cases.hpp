// Facts that hold for every communicator, whatever carries it. Each case is called by all ranks and throws when the
// fact does not hold.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "comm/comm.hpp"

namespace sparrow::test {

struct CommCase {
  const char* name;
  void (*run)(Comm&);
};
const std::vector<CommCase>& comm_cases();

/// Owns the arrays of an all-to-all: sizes by peer, data packed in order of the peers.
class OwnedAllToAll {
 public:
  OwnedAllToAll(Phase phase, std::vector<int64_t> send_bytes, std::vector<int64_t> recv_bytes);
  AllToAll view() const;
  std::byte* send(int peer) { return send_.data() + send_offsets_[peer]; }
  const std::byte* received(int peer) const { return recv_.data() + recv_offsets_[peer]; }

 private:
  Phase phase_;
  std::vector<int64_t> send_bytes_, send_offsets_, recv_bytes_, recv_offsets_;
  std::vector<std::byte> send_;
  mutable std::vector<std::byte> recv_;
};

// The ways to fail. Each returns what the Error said on this rank, or "" where nothing was thrown. Needs two ranks or
// more; afterwards the communicator must not be used.

/// The last rank never posts, the others expect bytes from it.
std::string last_rank_is_silent(Comm& comm);
/// Rank 0 sends `sent` bytes to rank 1, which expects `expected`; then all meet in an operation posted later but waited
/// for first.
std::string sizes_disagree(Comm& comm, int64_t sent, int64_t expected);

}  // namespace sparrow::test
