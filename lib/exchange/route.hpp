// The route of one batch: which distinct rows this rank needs, who asks whom for which of them, and how gradients come
// together again. Made once per batch from its positions, ahead of the step that uses it.
//
// At every level of the hierarchy a rank has a **row list**: the distinct rows it needs there. At the lowest level
// these are the rows of its samples; at level j the rows it was asked for at stage j as proxy or holder. A list has
// first the rows whose copy is here, then those it asks for, by the rank it asks. Each row of a list has *members*,
// what it stands for: bags of samples, or requests.
//
// Example: two ranks, one table, rows 0..5, holder of row p is rank p mod 2 (copy level 0, one stage). Rank 0's samples
// look up 4 1 4 3, rank 1's 3 2 3 3.
//   level 1, rank 0: rows [4 | 1 3]  asks itself for 4, rank 1 for 1 3; members: 4 -> bags 0 2, 1 -> bag 1, 3 -> bag 3
//            rank 1: rows [2 | 3]    asks rank 0 for 2, itself for 3
//   stage 0, rank 0 is asked for [4 | 2], rank 1 for [1 3 | 3]
//   level 0, rank 0: rows [4 2], members: 4 -> request 0, 2 -> request 1
//            rank 1: rows [1 3], members: 1 -> request 0, 3 -> requests 1 2      each row is read and updated once
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/batch.hpp"
#include "exchange/list_part.hpp"
#include "exchange/row_split.hpp"
#include "layout/directory.hpp"

namespace sparrow {

/// Rows that one stage of the exchange brings to this rank: single ones first, then shared ones, each by peer.
struct ReceivedRows {
  explicit ReceivedRows(Backend& backend)
      : rows(backend, Memory::device), sent{{Mirrored<int32_t>(backend), Mirrored<int32_t>(backend)}} {}
  Scratch<float> rows;
  std::array<Mirrored<int32_t>, 2>
      sent;  ///< by half: rows of the stage's list that this rank sends, in order of request
};

struct Route {
  /// depth: of the hierarchy; peers[s]: ranks of stage s's communicator.
  Route(Backend& backend, std::span<const int> peers);
  int64_t samples = 0;
  int tables = 0;
  Bags bags;                        ///< of this rank's samples, in terms of the lowest list, in device memory
  std::vector<RowList> lists;       ///< by level, 0 .. depth
  std::vector<StageCounts> stages;  ///< by stage, 0 .. depth - 1
  Mirrored<int64_t> bag_offsets;    ///< copy of the batch's, empty for bags of one
  Scratch<int64_t> held_slots;      ///< of list 0, all of them the directory's
  // Division by the batches before and after (row_split.hpp):
  RowSplit with_previous, with_next;
  std::vector<ReceivedRows> received;          ///< by stage
  std::vector<std::array<ListPart, 2>> parts;  ///< by level and half with respect to the next batch

  const ListPart& part(size_t level, RowHalf half) const { return parts[level][index_of(half)]; }
  RowList& lowest() { return lists.back(); }
  /// Rows of the lowest list that the batch before uses too; all where it is not known.
  int64_t dirty_rows() const;
  int64_t lookups() const { return lists.back().members; }

  /// As RowList::reserve.
  void reserve(const ExchangeBounds& bounds) {
    reserve_rows(bounds);
    for (size_t level = 0; level < lists.size(); ++level) {
      for (const RowHalf half : {RowHalf::single, RowHalf::shared})
        if (bounds.overlapped || half == RowHalf::shared)
          parts[level][index_of(half)].reserve(bounds.lists[level], bounds.dim, bounds.overlapped);
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
  /// Routes are made on the host backend `host`.
  Router(Backend& host, const Directory& directory, const StageComms& comms);

  /// Collective: fills `route` for this rank's part of a batch, and queues what operations need of it to the device on
  /// `stream`, but for the slots: all are the directory's yet, and those in the slower store get places first.
  void build(Stream& stream, const Batch& batch, Route& route);

 private:
  void collect(int level, const int64_t* keys, std::span<const int64_t> segments, Route& route);

  Backend& host_;
  std::unique_ptr<Stream> host_stream_;
  const Directory& directory_;
  const StageComms& comms_;
  RowListMaker maker_;
  std::vector<int64_t> segments_;
  Scratch<int64_t> keys_;
};

}  // namespace sparrow
