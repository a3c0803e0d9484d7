// The route of one batch: which distinct rows this rank needs, who asks whom for which of them, and how gradients come
// together again. Made once per batch from its positions, ahead of the step that uses it.
//
// At every level of the hierarchy a rank has a **row list**: the distinct rows it needs there. At the lowest level
// these are the rows of its samples; at level j the rows it was asked for at stage j as proxy or holder. A list has
// first the rows whose copy is here, then those it asks for, by the rank it asks. Each row of a list stands for
// *requests*: lookups of samples, whose gradients are those of their bags, or requests of other ranks.
//
// Example: two ranks, one table, rows 0..5, holder of row p is rank p mod 2 (copy level 0, one stage). Rank 0's samples
// look up 4 1 4 3, rank 1's 3 2 3 3.
//   level 1, rank 0: rows [4 | 1 3]  asks itself for 4, rank 1 for 1 3; stand for: 4 -> bags 0 2, 1 -> bag 1, 3 -> bag 3
//            rank 1: rows [2 | 3]    asks rank 0 for 2, itself for 3
//   stage 0, rank 0 is asked for [4 | 2], rank 1 for [1 3 | 3]
//   level 0, rank 0: rows [4 2], stand for: 4 -> request 0, 2 -> request 1
//            rank 1: rows [1 3], stand for: 1 -> request 0, 3 -> requests 1 2      each row is read and updated once
//
// Where the batches before and after are known, rows travel in two halves (row_halves.hpp); a route that is not divided
// has all rows in the dirty half.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/batch.hpp"
#include "exchange/key_exchange.hpp"
#include "exchange/row_list.hpp"
#include "exchange/stage_comms.hpp"
#include "layout/directory.hpp"
#include "store/row_admission.hpp"

namespace sparrow {

/// The two halves of a batch's rows with respect to a neighbouring batch.
enum class RowHalf : uint8_t { clean, dirty };
constexpr size_t index_of(RowHalf half) {
  return static_cast<size_t>(half);
}

/// Which rows of a batch a neighbouring batch uses too.
struct RowSplit {
  RowSplit(Backend& backend, std::span<const int> peers);
  bool known = false;  ///< false: the neighbour is not known, all rows are dirty, and nothing below is filled
  std::vector<Scratch<uint8_t>> dirty;             ///< by level [rows of the list]
  std::vector<std::array<StageCounts, 2>> stages;  ///< by stage and half
};

/// The rows of a list whose gradients travel together: one half, or all of them. Rows keep their order, and so do the
/// requests of each row: its gradient is summed in the same order whichever half it is in.
struct ListHalf {
  explicit ListHalf(Backend& backend);
  int64_t count = 0, here = 0, device = 0;  ///< as in RowList
  Groups groups;                            ///< in device memory
  const int64_t* slots = nullptr;           ///< [here], in device memory
  Scratch<float> gradients;                 ///< (count, dim)
  Mirrored<int32_t> own_offsets, own_items;
  Mirrored<int64_t> own_slots;

  /// All rows of the list. Refers to it.
  void take_all(const RowList& list);

  /// As RowList::reserve; divided: the list will be divided, not only taken whole.
  void reserve(const ListBounds& bounds, int64_t dim, bool divided) {
    gradients.reserve_exactly(bounds.count * dim);
    if (!divided) return;
    own_offsets.reserve_exactly(bounds.count + 1);
    own_items.reserve_exactly(bounds.requests);
    own_slots.reserve_exactly(bounds.here);
  }
};

/// Rows that one stage of the exchange brings to this rank: clean ones first, then dirty ones, each by peer.
struct ReceivedRows {
  explicit ReceivedRows(Backend& backend)
      : rows(backend, Memory::device), sent{{Mirrored<int32_t>(backend), Mirrored<int32_t>(backend)}} {}
  Scratch<float> rows;
  /// By half, where divided: rows of the stage's list that this rank sends, in order of request.
  std::array<Mirrored<int32_t>, 2> sent;
};

struct Route {
  /// peers[s]: ranks of stage s's communicator.
  Route(Backend& backend, std::span<const int> peers);
  int64_t samples = 0;
  int tables = 0;
  Bags bags;                        ///< of this rank's samples, in terms of the lowest list, in device memory
  std::vector<RowList> lists;       ///< by level, 0 .. depth
  std::vector<StageCounts> stages;  ///< by stage, 0 .. depth - 1
  Mirrored<int64_t> bag_offsets;    ///< copy of the batch's, empty for bags of one
  Scratch<int64_t> held_slots;      ///< of list 0, all of them the directory's
  std::vector<int64_t> guests;  ///< keys of rows of list 0 that have no slot of their own (Directory), in their order
  RowSplit with_previous, with_next;
  std::vector<ReceivedRows> received;           ///< by stage, divided as with_previous says
  std::vector<std::array<ListHalf, 2>> halves;  ///< by level, as with_next says

  const ListHalf& half_of(size_t level, RowHalf half) const { return halves[level][index_of(half)]; }
  /// Rows of one half that a stage moves, with respect to a neighbour.
  const StageCounts& counts(const RowSplit& split, int stage, RowHalf half) const {
    return split.known ? split.stages[stage][index_of(half)] : stages[stage];
  }
  RowList& lowest() { return lists.back(); }
  /// Rows of the lowest list that the batch before uses too; all where it is not known.
  int64_t dirty_rows() const;

  /// As RowList::reserve.
  void reserve(const ExchangeBounds& bounds) {
    reserve_rows(bounds);
    for (size_t level = 0; level < lists.size(); ++level) {
      for (const RowHalf half : {RowHalf::clean, RowHalf::dirty})
        if (bounds.overlapped || half == RowHalf::dirty)
          halves[level][index_of(half)].reserve(bounds.lists[level], bounds.dim, bounds.overlapped);
    }
    for (size_t stage = 0; stage < received.size() && bounds.overlapped; ++stage)
      for (Mirrored<int32_t>& sent : received[stage].sent) sent.reserve_exactly(bounds.requested[stage]);
  }
  /// The same of those that bringing the rows of a whole batch needs.
  void reserve_rows(const ExchangeBounds& bounds) {
    for (size_t level = 0; level < lists.size(); ++level) lists[level].reserve(bounds.lists[level]);
    for (size_t stage = 0; stage < received.size(); ++stage)
      received[stage].rows.reserve_exactly(bounds.asked[stage] * bounds.dim);
    if (bounds.with_offsets || bounds.pooled.any) bag_offsets.reserve_exactly(bounds.bags + 1);
  }
};

class Router {
 public:
  /// Routes are made on the host backend `host`. admission: of mapped rows that are trained for the first time; null:
  /// no batch is trained on, or no row is mapped.
  Router(Backend& host, const Directory& directory, const StageComms& comms, RowAdmission* admission = nullptr);

  /// Collective: fills `route` for this rank's part of a batch, undivided, and queues what operations need of it to the
  /// device on `stream`, but for the slots: all are the directory's yet, and those in the slower store become the
  /// batch's first. Mapped rows that have no slot at their holder yet get one, and their initial values, if the batch
  /// is for training; else they are guests, whose values the caller writes (RowAdmission::fill_guests).
  void build(Stream& stream, const Batch& batch, Route& route, bool training);

 private:
  void find_slots(int level, Route& route);
  void place_unknown(Stream& stream, bool training, Route& route);
  void collect(int level, const int64_t* keys, std::span<const int64_t> segments, Route& route);

  Backend& host_;
  std::unique_ptr<Stream> host_stream_;
  const Directory& directory_;
  const StageComms& comms_;
  RowListMaker maker_;
  KeyExchange key_exchange_;
  RowAdmission* admission_;
  std::vector<int64_t> unknown_, unknown_keys_;  ///< rows of list 0 that have no slots
  std::vector<int64_t> segments_;
  Scratch<int64_t> keys_;
};

}  // namespace sparrow
