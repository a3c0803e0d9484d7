// Keys of rows to the ranks that are asked for them, in as few bytes as they need.
#pragma once

#include <cstdint>
#include <span>

#include "comm/item_exchange.hpp"
#include "exchange/scratch.hpp"
#include "layout/tables.hpp"

namespace sparrow {

/// Rows of one stage's exchange, by peer.
struct StageCounts {
  explicit StageCounts(int peers) : asked(peers), requested(peers) {}
  ItemsByRank asked;      ///< rows this rank asks of each (or sends to each), in list order
  ItemsByRank requested;  ///< rows each asks of this rank (or sends to it)
};

class KeyExchange {
 public:
  KeyExchange(Backend& host, const Tables& tables);

  /// Collective over `comm`: sends keys[0 .. counts.asked.total), grouped by peer, sets counts.requested, and returns
  /// the keys the others sent here, valid until the next call. Two exchanges: counts, then keys. Throws Error for keys
  /// that no table has.
  std::span<const int64_t> run(Comm& comm, Phase phase, const int64_t* keys, StageCounts& counts);

 private:
  int64_t key_bytes_, total_rows_;
  ItemExchange exchange_;
  Scratch<int64_t> requests_;
  Scratch<uint32_t> send_, recv_;
};

}  // namespace sparrow
