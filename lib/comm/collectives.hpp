// Collectives on host memory, composed of Comm's all-to-all. All are collective calls and wait; sizes must agree on all ranks.
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

/// Sum over ranks, in place, in rank order whoever computes it, so all ranks get the same bits: a reduce-scatter (each rank adds
/// its n / size part) and an all-gather; sends 2 (size - 1) / size * n floats per rank. Keeps its scratch; make it once per n.
class AllReduce {
 public:
  AllReduce(Comm& comm, int64_t n);
  void sum(std::span<float> values, Phase phase = Phase::allreduce);  ///< values.size() == n; waits

 private:
  Comm& comm_;
  int64_t n_;
  std::vector<int64_t> part_bytes_, part_offsets_, own_bytes_, own_offsets_;
  std::vector<float> scratch_;
};

double sum(Comm& comm, double value);      ///< in rank order
int64_t sum(Comm& comm, int64_t value);
int64_t max(Comm& comm, int64_t value);

}  // namespace sparrow
