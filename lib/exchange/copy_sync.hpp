// Keeps the copies of rows equal: adds up their gradients over all domains that have a copy, so that every holder
// applies the same update. Rows of dense options are summed whole, by all-reduce among the holders of the same rows;
// rows of sparse options by sending the gradients of those that were touched, with their keys, to a merger per domain
// and level, and the sums back to every copy.
//
// Example, sparse: 2 ranks, both have copies of rows 0..3; the merger of row p is rank p mod 2. Rank 0 touched 0 1,
// rank 1 touched 1 3.
//   up     rank 0 sends (1, g1) to rank 1, keeps g0; rank 1 keeps g1 g3     rank 1 has g1 = g1 + g1', g3'; rank 0 has
//   g0 down   rank 0 sends (0, g0) to rank 1; rank 1 sends (1, sum), (3, g3') to rank 0      both update 0 1 3
// With more levels, mergers of domains merge again above, and sums come down the same tree.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "exchange/route.hpp"
#include "exchange/staged_all_reduce.hpp"

namespace sparrow {

/// Rows of one of this rank's stores and the sums of their gradients: what remains to be done to them.
struct RowUpdate {
  RowStore store;
  const int64_t* slots = nullptr;    ///< of store
  const float* gradients = nullptr;  ///< (count, dim)
  int64_t count = 0;
};

/// The part of a batch's route that concerns copies.
struct CopyRoute {
  CopyRoute(Backend& backend, std::span<const int> peers);
  struct Level {
    explicit Level(Backend& backend);
    RowList merged;           ///< rows this rank adds up for its domain at this level; members: requests, then own rows
    Scratch<int64_t> wanted;  ///< keys: requests, then own rows
    Mirrored<int32_t> own;    ///< rows of Route::lists[level] that join here
    int64_t own_count = 0;
    Scratch<int64_t> delivered;  ///< keys of the sums that come down to this rank for its domain
    int64_t delivered_count = 0;
    Mirrored<int32_t> final_rows;   ///< of the delivered, those whose copy is here: in device memory, then the others
    Mirrored<int64_t> final_slots;  ///< as RowList::slots
    int64_t final_count = 0, final_device = 0;
    Mirrored<int32_t> sent_rows;  ///< of the delivered, in the order they are sent on, by peer
    Scratch<float> received;      ///< gradients that came up: requests, then own rows
    Scratch<float> sums;          ///< (delivered, dim); at level 0 they are merged.gradients
    Scratch<float> final_sums;    ///< (final, dim)
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

class CopySync {
 public:
  /// Collective over the context's ranks. store: this rank's rows in device memory.
  CopySync(const RankContext& context, const Directory& directory, const StageComms& comms, const RowStore& store,
           DType wire);

  /// Whether any row has several copies; if not, the calls below do nothing.
  bool needed() const { return sparse_needed_ || !dense_.empty(); }

  /// Collective: finds out which touched rows go where. After Router::build. Queues all to the device but final_slots,
  /// which are the directory's yet.
  void build(Stream& stream, const Route& route, CopyRoute& copies);

  /// Collective: after RowExchange::return_gradients of the shared half. Afterwards updates() lists all rows with
  /// copies that must be updated here, valid until the next call. offloaded: where the batch's rows of the slower store
  /// are.
  void reduce(Stream& stream, const Route& route, CopyRoute& copies, const RowStore& offloaded);
  std::span<const RowUpdate> updates() const { return updates_; }

  /// As RowList::reserve: what all batches share. Blocks of dense options are there from the start.
  void reserve(const ExchangeBounds& bounds);

  /// Of the dense reductions, by stage; the sparse ones are counted by the stage communicators.
  Traffic stage_traffic(int stage) const;

 private:
  struct Dense {
    /// Slots first .. first + count - 1 are the block's rows from `block` on. The block is in the order of the keys,
    /// which all ranks share; slots need not be.
    struct Run {
      int64_t first, count, block;
    };
    int option;
    std::vector<Run> runs;  ///< by slot
    int64_t rows = 0;
    std::unique_ptr<Comm> group;
    std::unique_ptr<StagedAllReduce> all_reduce;
    Array<float> gradients;                   ///< (rows, dim)
    Mirrored<int64_t> slots;                  ///< [rows]
    Mirrored<int64_t> block_rows;             ///< touched rows of this rank, in the block
    std::vector<Directory::SlotRun> touched;  ///< runs of places in the batch's list
    explicit Dense(Backend& backend) : slots(backend), block_rows(backend) {}
    int64_t block_row(int64_t slot) const;
  };
  void make_dense(const RankContext& context, int option);
  bool is_sparse(int64_t key) const { return sparse_option_[directory_.option(key)]; }
  void build_up(int level, const Route& route, CopyRoute& copies);
  void build_down(int stage, CopyRoute& copies);
  void note_final(int level, CopyRoute& copies);
  void merge(Stream& stream, int level, const Route& route, CopyRoute& copies);
  void deliver(Stream& stream, int stage, CopyRoute& copies, const RowStore& offloaded);
  void reduce_dense(Stream& stream, Dense& dense, const Route& route);
  void round_to_wire(Stream& stream, float* values, int64_t rows);

  Backend& backend_;
  Backend& host_;
  std::unique_ptr<Stream> host_stream_;
  const Directory& directory_;
  const StageComms& comms_;
  RowStore store_;
  DType wire_;
  int64_t dim_;
  std::vector<char> sparse_option_;  ///< by option: level above 0 and reduced sparsely
  bool sparse_needed_ = false;
  std::vector<Dense> dense_;
  RowListMaker maker_;
  RowTransfer transfer_;
  Scratch<int32_t> down_rows_, down_peers_, down_offsets_, down_order_;
  Scratch<int64_t> send_keys_;
  Scratch<const float*> addresses_;
  Scratch<std::byte> send_, recv_;
  std::vector<RowUpdate> updates_;
};

}  // namespace sparrow
