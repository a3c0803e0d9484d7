// Rows to the ranks that need them, gradients back to the ranks that hold them, along the route of a batch.
//
// Fetch goes from the level of the copies down to the samples: at every stage a rank sends each asker its rows in one
// block, packed from its store or from what it was sent itself. Gradients go the other way: summed per distinct row at
// every level before they leave. Both go in two halves where the neighbouring batches are known (row_split.hpp), each
// row whole in one of them; what is computed does not depend on the division.
//
// The example of route.hpp. Fetch, stage 0: rank 0 sends row 2 to rank 1; rank 1 sends rows 1 3 to rank 0. Rows that a
// rank asks of itself are not moved: their addresses point into the store. Then rank 0's samples read rows 4 1 3 at
// (store, block, block). Gradients: rank 0 sums g4 over bags 0 2 and keeps it, sends (g1, g3) to rank 1; rank 1 sums
// row 3 over requests 1 (rank 0's g3) and 2 (its own) and updates rows 1 and 3 once.
#pragma once

#include "exchange/route.hpp"

namespace sparrow {

class RowExchange {
 public:
  /// store: this rank's rows in device memory, in the slots of the directory. wire: type of rows and gradients between
  /// ranks (sums are in fp32).
  RowExchange(const RankContext& context, const StageComms& comms, const RowStore& store, DType wire);

  /// As RowList::reserve: what all batches share.
  void reserve(const ExchangeBounds& bounds);

  /// No batch before (after) this one is known: all of its rows are shared.
  void leave_rows_whole(Route& route) const { leave_whole(route, route.with_previous); }
  void leave_gradients_whole(Route& route);
  /// Collective: divides the gradients of `batch` and the rows of `next`, the batch after it.
  void divide(Stream& stream, Route& batch, Route& next, RowSplitter& splitter);

  /// Says where each row's values will be: route.lowest().addresses, until the next call for this route. After the rows
  /// are divided or left whole. offloaded: where the batch's rows of the slower store will be.
  void place(Stream& stream, Route& route, const RowStore& offloaded);
  /// Collective, after place: brings one half of the rows. Values are those of now.
  void fetch(Stream& stream, Route& route, RowHalf half);
  /// place and fetch of a batch without neighbours.
  void fetch_whole(Stream& stream, Route& route, const RowStore& offloaded);

  /// Collective. bag_gradients: (bags, dim) as Dlrm::backward gives them, read until sum_own has passed. Afterwards, in
  /// the half's part of every list, rows [0, here) have the gradient summed over all that came up to this rank.
  void sum_own(Stream& stream, Route& route, const Matrix& bag_gradients, RowHalf half);
  void return_gradients(Stream& stream, Route& route, RowHalf half);

 private:
  void leave_whole(const Route& route, RowSplit& split) const;
  void send_rows(Stream& stream, int stage, Route& route, RowHalf half);
  void send_gradients(Stream& stream, int stage, Route& route, RowHalf half);
  void choose_sent(Stream& stream, int stage, Route& route);

  Backend& backend_;
  const StageComms& comms_;
  RowStore store_;
  DType wire_;
  int64_t dim_;
  ListDivider divider_;
  Scratch<std::byte> send_, recv_;
  RowTransfer transfer_;
};

}  // namespace sparrow
