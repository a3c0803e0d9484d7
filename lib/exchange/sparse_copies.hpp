// Keeps copies of rows equal whose options are reduced sparsely: the gradients of those that were touched are sent,
// with their keys, to a merger per domain and level, and the sums back to every copy, so that every holder applies the
// same update. Upwards this is the tree of lists, requests and sums that the gradients of a route take, with other
// ranks asked: mergers.
//
// Example: 2 ranks, both have copies of rows 0..3; the merger of row p is rank p mod 2. Rank 0 touched 0 1, rank 1
// touched 1 3.
//   up     rank 0 sends (1, g1) to rank 1, keeps g0; rank 1 keeps g1' g3'    rank 1 has g1 + g1', g3'; rank 0 has g0
//   down   rank 0 sends (0, g0) to rank 1; rank 1 sends (1, g1 + g1'), (3, g3') to rank 0      both update 0 1 3
// With more levels, mergers of domains merge again above, and sums come down the same tree.
#pragma once

#include <span>
#include <vector>

#include "exchange/rank_context.hpp"
#include "exchange/route.hpp"
#include "exchange/row_transfer.hpp"
#include "exchange/row_update.hpp"

namespace sparrow {

/// The part of a batch's route that concerns them.
struct CopyRoute {
  CopyRoute(Backend& backend, std::span<const int> peers);
  struct Level {
    explicit Level(Backend& backend);
    RowList merged;         ///< rows this rank adds up for its domain at this level; requests: of others, then own rows
    Mirrored<int64_t> own;  ///< rows of Route::lists[level] that join here
    int64_t own_count = 0;
    Scratch<float> received;     ///< gradients that came up: requests, then own rows
    Scratch<int64_t> delivered;  ///< keys of the sums that come down to this rank for its domain
    int64_t delivered_count = 0;
    Scratch<float> sums;            ///< (delivered, dim); at level 0 they are merged.gradients
    Mirrored<int64_t> sent_rows;    ///< of the delivered, in the order they are sent on, by peer
    Mirrored<int64_t> final_rows;   ///< of the delivered, those whose copy is here: in device memory, then the others
    Mirrored<int64_t> final_slots;  ///< as RowList::slots
    int64_t final_count = 0, final_device = 0;
    Scratch<float> final_sums;  ///< (final, dim)
  };
  std::vector<Level> levels;          ///< 0 .. depth
  std::vector<StageCounts> up, down;  ///< by stage

  /// As RowList::reserve.
  void reserve(const ExchangeBounds& bounds) {
    for (size_t level = 0; level < bounds.copies.levels.size(); ++level) {
      const ExchangeBounds::Copies::Level& most = bounds.copies.levels[level];
      Level& at = levels[level];
      at.merged.reserve(most.merged);
      at.merged.gradients.reserve_exactly(most.merged.count * bounds.dim);
      at.own.reserve_exactly(most.own);
      at.final_rows.reserve_exactly(most.delivered);
      at.final_slots.reserve_exactly(most.delivered);
      at.sent_rows.reserve_exactly(most.sent);
      at.received.reserve_exactly((most.requested + most.own) * bounds.dim);
      if (level > 0) at.sums.reserve_exactly(most.delivered * bounds.dim);
      at.final_sums.reserve_exactly(most.final_count * bounds.dim);
    }
  }
};

class SparseCopies {
 public:
  /// store: this rank's rows in device memory. transfer: of rows of its width.
  SparseCopies(const RankContext& context, const Directory& directory, const StageComms& comms, const RowStore& store,
               RowTransfer& transfer);

  /// Collective: finds out which touched rows go where. After Router::build. Queues all to the device but final_slots,
  /// which are the directory's yet.
  void build(Stream& stream, const Route& route, CopyRoute& copies);

  /// Collective: after the gradients of the dirty half came up along `route`. Adds all such rows here to updates, valid
  /// until the next call. offloaded: where the batch's rows of the slower store are.
  void reduce(Stream& stream, const Route& route, CopyRoute& copies, const RowStore& offloaded,
              std::vector<RowUpdate>& updates);

 private:
  int depth() const { return directory_.hierarchy().depth(); }
  void list_up(int level, const Route& route, CopyRoute& copies);
  void list_down(int stage, CopyRoute& copies);
  void list_final(int level, CopyRoute& copies);
  void merge(Stream& stream, int level, const Route& route, CopyRoute& copies);
  void deliver(Stream& stream, int stage, CopyRoute& copies);
  void gather(Stream& stream, float* rows, const int64_t* which, const Matrix& out);

  Backend& backend_;
  const Directory& directory_;
  const StageComms& comms_;
  RowStore store_;
  RowTransfer& transfer_;
  int64_t dim_;
  std::vector<char> sparse_;  ///< by option: level above 0 and reduced sparsely
  bool needed_ = false;       ///< some option is
  RowListMaker maker_;
  KeyExchange key_exchange_;
  Scratch<int64_t> keys_, down_rows_;
};

}  // namespace sparrow
