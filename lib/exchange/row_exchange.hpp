// Rows to the ranks that need them, gradients back to the ranks that hold them, along the route of a batch.
//
// Fetch goes from the level of the copies down to the samples: at every stage a rank sends each asker its rows in one
// block, packed from its store or from what it was sent itself. Gradients go the other way: summed per distinct row at
// every level before they leave. Both go in two halves where the neighbouring batches are known (row_halves.hpp), each
// row whole in one of them; what is computed does not depend on the division.
//
// The example of route.hpp. Fetch, stage 0: rank 0 sends row 2 to rank 1; rank 1 sends rows 1 3 to rank 0. Rows that a
// rank asks of itself are not moved: their addresses point into the store. Then rank 0's samples read rows 4 1 3 at
// (store, block, block). Gradients: rank 0 sums g4 over bags 0 2 and keeps it, sends (g1, g3) to rank 1; rank 1 sums
// row 3 over requests 1 (rank 0's g3) and 2 (its own) and updates rows 1 and 3 once.
#pragma once

#include "exchange/rank_context.hpp"
#include "exchange/route.hpp"
#include "exchange/row_transfer.hpp"

namespace sparrow {

class RowExchange {
 public:
  /// store: this rank's rows in device memory, in the slots of the directory. transfer: of rows of its width.
  RowExchange(const RankContext& context, const StageComms& comms, const RowStore& store, RowTransfer& transfer);

  /// Says where each row's values will be: route.lowest().addresses, until the next call for this route. After the rows
  /// are divided, if they are. offloaded: where the batch's rows of the slower store will be.
  void address_rows(Stream& stream, Route& route, const RowStore& offloaded);
  /// Collective, after address_rows: brings one half of the rows. Values are those of now.
  void fetch(Stream& stream, Route& route, RowHalf half);
  /// address_rows and fetch of a batch that is not divided.
  void fetch_whole(Stream& stream, Route& route, const RowStore& offloaded);

  /// Collective. bag_gradients: (bags, dim) as Dlrm::backward gives them, read until sum_own has passed. Afterwards, in
  /// the half of every list, rows [0, here) have the gradient summed over all that came up to this rank.
  void sum_own(Stream& stream, Route& route, const Matrix& bag_gradients, RowHalf half);
  void return_gradients(Stream& stream, Route& route, RowHalf half);

 private:
  void address_received(int level, Route& route, const float** addresses);
  void send_rows(Stream& stream, int stage, Route& route, RowHalf half);
  void send_gradients(Stream& stream, int stage, Route& route, RowHalf half);
  void sum(Stream& stream, const Matrix& gradients, ListHalf& rows);

  Backend& backend_;
  const StageComms& comms_;
  RowStore store_;
  RowTransfer& transfer_;
  int64_t dim_;
};

}  // namespace sparrow
