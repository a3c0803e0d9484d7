// Collectives on host memory, composed of Comm's all-to-all. All are collective calls and wait; sizes must agree on all
// ranks.
//
// Messages of one rank among P (at 16,384 ranks latency is what counts; nothing here keeps P^2 of anything):
//   barrier      ceil(log2 P)    dissemination (Hensgen, Finkel, Manber, 1988): in round k each tells the one 2^k away
//   broadcast    ceil(log2 P)    binomial tree: in round k the 2^k ranks that have the data pass it on
//   all_gather   ceil(log2 P)    Bruck et al., TPDS 1997: in round k each passes on its 2^k blocks; sums and max too
//   gather       1, root P - 1   straight to the root: forwarding would move every byte log2 P times
//   AllReduce    2 (P - 1)       the fewest bytes; for many ranks, use it within the stages of a topology
//
// Worked examples:
//   broadcast from 0 of 4 ranks   round 0: 0 -> 1   round 1: 0 -> 2, 1 -> 3
//   all_gather over 3 ranks       before [a] [b] [c]   round 0: [a b] [b c] [c a]
//                                 round 1: [a b c] [b c a] [c a b]   each turned to begin with a
//   AllReduce of 2 values by 2    before [1 2] [10 20]   rank 0 adds 1 + 10, rank 1 adds 2 + 20   after [11 22] [11 22]
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/comm.hpp"

namespace sparrow {

void barrier(Comm& comm);

/// In place; root's values reach everybody.
void broadcast(Comm& comm, std::span<std::byte> data, int root, Phase phase = Phase::control);
std::string broadcast_string(Comm& comm, const std::string& text, int root);

/// Everybody's value, by rank.
std::vector<int64_t> all_gather(Comm& comm, int64_t value, Phase phase = Phase::control);
std::vector<double> all_gather(Comm& comm, double value, Phase phase = Phase::control);
/// Everybody's strings, by rank.
std::vector<std::string> all_gather(Comm& comm, const std::string& text);
/// Everybody's spans (any lengths) concatenated by rank, at root; empty elsewhere.
std::vector<float> gather(Comm& comm, std::span<const float> values, int root);
/// Everybody's strings, by rank, at root; empty elsewhere.
std::vector<std::string> gather(Comm& comm, const std::string& text, int root);

/// Sum over ranks, in place, in rank order whoever computes it, so all ranks get the same bits: a reduce-scatter (each
/// rank adds its n / size part) and an all-gather; sends 2 (size - 1) / size * n floats per rank. Keeps its scratch;
/// make it once per n.
class AllReduce {
 public:
  AllReduce(Comm& comm, int64_t n);
  void sum(std::span<float> values, Phase phase = Phase::allreduce);  ///< values.size() == n; waits

 private:
  void add_parts(std::byte* result);

  Comm& comm_;
  int64_t n_;
  std::vector<int64_t> part_bytes_, part_offsets_, own_bytes_, own_offsets_, scratch_offsets_;
  std::vector<float> scratch_;  ///< everybody's values of my part, by rank
};

double sum(Comm& comm, double value);  ///< in rank order
int64_t sum(Comm& comm, int64_t value);
int64_t max(Comm& comm, int64_t value);

}  // namespace sparrow
