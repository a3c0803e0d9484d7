// All-to-alls of items of one size: rows, keys, counts, lengths, bits.
//
// Example, 2 ranks, rank 0 sends 1 item to itself and 2 to rank 1: sent = {count 1 2, offset 0 1, total 3}.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/comm.hpp"

namespace sparrow {

/// The items of a block that go to, or come from, each rank of a communicator: one run of items per rank, in their
/// order.
struct ItemsByRank {
  explicit ItemsByRank(int ranks) : count(ranks), offset(ranks) {}
  std::vector<int64_t> count;   ///< by rank
  std::vector<int64_t> offset;  ///< by rank: items before its own
  int64_t total = 0;
  /// Sets offsets and total from the counts.
  void sum_up();
};

class ItemExchange {
 public:
  /// Collective: posts and waits. Items are of `item_bytes` bytes; the communicator says which memory they are in, and
  /// what `stream` is for. own: whether this rank's items for itself are copied too.
  void run(Stream* stream, Comm& comm, Phase phase, const void* send, const ItemsByRank& sent, void* recv,
           const ItemsByRank& received, int64_t item_bytes, bool own = true);
  /// Collective, in host memory: says every rank how many items it will get. Throws Error for counts that cannot be.
  void run_counts(Comm& comm, Phase phase, const ItemsByRank& sent, ItemsByRank& received);

 private:
  std::vector<int64_t> send_bytes_, send_offsets_, recv_bytes_, recv_offsets_;
  ItemsByRank one_each_{0};
};

}  // namespace sparrow
