// Bags pooled where their rows are: a rank sends the keys of its lookups to the holders, each holder adds up what it
// holds of a bag and sends one vector back; the gradient of the bag goes to each of them. Nothing is deduplicated. This
// is how table-wise and row-wise sharding move data (TorchRec), and for long bags of cold rows it can be the least
// there is to move.
//
// A **part** is what one holder has of one bag. Example: rank 0 has the bag {5, 8, 2} of a table; rank 0 holds row 8,
// rank 1 rows 5 and 2.
// Parts: (bag, rank 0): 8; (bag, rank 1): 5 2. Rank 0 sends keys 5 2 to rank 1, gets the vector row5 + row2, and
// adds row 8. With partial sums, every holder has a part of every bag, an empty one if it holds none of its rows.
#pragma once

#include <span>
#include <vector>

#include "exchange/key_exchange.hpp"
#include "exchange/rank_context.hpp"
#include "exchange/row_list.hpp"
#include "exchange/row_transfer.hpp"
#include "exchange/stage_comms.hpp"
#include "layout/directory.hpp"

namespace sparrow {

/// Lookups of a batch that are pooled at their holders.
struct BagRoute {
  explicit BagRoute(Backend& backend, int ranks);
  // As the rank that asks:
  StageCounts parts;  ///< asked: parts of this rank's bags at each holder; requested: parts each rank has here
  Mirrored<int32_t> bag_of_part;  ///< [parts.asked.total], by holder, bags ascending
  Scratch<float> vectors;         ///< (parts.asked.total, dim), by holder
  // As holder:
  int64_t lookups = 0;  ///< requested of this rank
  /// By requested part, in device memory: slots in the store or, where this rank has a slower store, rows of `rows`.
  Groups rows_by_part;
  Mirrored<int32_t> part_offsets, slots;
  RowList rows;  ///< distinct rows of these lookups, all here; requests: lookups

  /// As RowList::reserve.
  void reserve(const ExchangeBounds& bounds) {
    if (!bounds.pooled.any) return;
    bag_of_part.reserve_exactly(bounds.pooled.bag_of_part);
    vectors.reserve_exactly(bounds.pooled.asked * bounds.dim);
    part_offsets.reserve_exactly(bounds.pooled.requested + 1);
    slots.reserve_exactly(bounds.pooled.rows.requests);
    rows.reserve(bounds.pooled.rows);
    rows.gradients.reserve_exactly(bounds.pooled.rows.count * bounds.dim);
  }
};

class BagExchange {
 public:
  /// comms: of a hierarchy whose stage 0 joins all ranks. store: this rank's rows.
  BagExchange(const RankContext& context, const Directory& directory, const StageComms& comms, const RowStore& store,
              RowTransfer& transfer);

  /// As RowList::reserve: what all batches share.
  void reserve(const ExchangeBounds& bounds);

  /// One lookup to be pooled at its holder. Lookups come in the order of their bags.
  struct Lookup {
    int32_t bag;
    int64_t key;
  };

  /// Collective. Queues what operations need to the device but for the slots of route.rows, which are the directory's
  /// yet. bag_is_partial: for each bag of this rank, whether every holder has a part of it (partial sums).
  /// one_per_bag: on all ranks every bag has one lookup at most and no partial sums are asked for.
  void build(Stream& stream, std::span<const Lookup> lookups, bool one_per_bag, const std::vector<char>& bag_is_partial,
             BagRoute& route);
  /// Collective: route.vectors gets the pooled part vectors. offloaded: where the batch's rows of the slower store are,
  /// loaded.
  void fetch(Stream& stream, BagRoute& route, const RowStore& offloaded);
  /// Collective: bag_gradients (bags, dim). Afterwards route.rows has the gradient sums of its rows.
  void return_gradients(Stream& stream, BagRoute& route, const Matrix& bag_gradients);

 private:
  void order_parts(std::span<const Lookup> lookups, const std::vector<char>& bag_is_partial, BagRoute& route);
  void exchange_lengths(BagRoute& route);
  void find_rows(BagRoute& route, std::span<const int64_t> keys);
  Matrix pack(Stream& stream, BagRoute& route, const RowStore& offloaded);

  Backend& backend_;
  const Directory& directory_;
  Comm& host_comm_;
  Comm& device_comm_;
  RowStore store_;
  RowTransfer& transfer_;
  RowListMaker maker_;
  KeyExchange key_exchange_;
  ItemExchange item_exchange_;
  StageCounts keys_;  ///< lookups per peer
  std::vector<std::vector<Lookup>> by_holder_;
  std::vector<uint8_t> lengths_, peer_lengths_;  ///< lookups per part, to and from the holders
  std::vector<int64_t> send_keys_;
  Scratch<int32_t> part_of_lookup_;
  Scratch<float> sums_, packed_;
  Scratch<const float*> addresses_;
};

}  // namespace sparrow
