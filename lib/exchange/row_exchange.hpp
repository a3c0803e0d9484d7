// Rows to the ranks that need them, gradients back to the ranks that hold them, along the route of a batch.
//
// Fetch goes from the level of the copies down to the samples: at every stage a rank sends each asker its rows in one
// block, packed from its store or from what it was sent itself. Gradients go the other way: summed per distinct row at
// every level before they leave.
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
  RowExchange(Backend& backend, const StageComms& comms, const RowStore& store, DType wire);

  /// Collective. Afterwards route.lowest().addresses says where each row's values are, until the next fetch or an
  /// update. fetched: where the batch's rows of the slower store are, loaded.
  void fetch(Stream& stream, Route& route, const RowStore& fetched);

  /// Collective. bag_gradients: (bags, dim) as Dlrm::backward gives them. Afterwards, in every list, rows [0, here)
  /// have the gradient summed over all that came up to this rank.
  void return_gradients(Stream& stream, Route& route, const Matrix& bag_gradients);

 private:
  struct Block {  ///< what one stage received
    explicit Block(Backend& backend) : f32(backend, Memory::device), wire(backend, Memory::device) {}
    Scratch<float> f32;
    Scratch<std::byte> wire;
  };
  void find_rows(Stream& stream, Route& route, const RowStore& fetched);
  void send_rows(Stream& stream, int stage, Route& route);
  void send_gradients(Stream& stream, int stage, Route& route);
  Backend& backend_;
  const StageComms& comms_;
  RowStore store_;
  DType wire_;
  int64_t dim_;
  std::vector<Block> blocks_;  ///< by stage: rows received
  Scratch<std::byte> send_;
  Scratch<std::byte> received_gradients_;
  RowTransfer transfer_;
};

}  // namespace sparrow
