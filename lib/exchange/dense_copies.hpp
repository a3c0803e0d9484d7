// Keeps copies of rows equal whose options are reduced densely: the gradients of all rows of an option, in one block,
// are all-reduced among the ranks that hold the same rows, so that every holder applies the same update.
#pragma once

#include <memory>
#include <vector>

#include "exchange/rank_context.hpp"
#include "exchange/route.hpp"
#include "exchange/row_update.hpp"
#include "exchange/staged_all_reduce.hpp"

namespace sparrow {

class DenseCopies {
 public:
  /// Collective over the context's ranks. store: this rank's rows in device memory. wire: type of sums between ranks.
  DenseCopies(const RankContext& context, const Directory& directory, const RowStore& store, DType wire);

  /// Collective: after the gradients of the dirty half came up along `route`. Adds all rows of dense options here to
  /// updates, valid until the next call.
  void reduce(Stream& stream, const Route& route, std::vector<RowUpdate>& updates);

  /// As RowList::reserve: what all batches share. Blocks are there from the start.
  void reserve(const ExchangeBounds& bounds);

  /// Bytes of a stage: the stage communicators do not count them.
  Traffic stage_traffic(int stage) const;

 private:
  /// The rows of one option in the order of the keys, which all ranks share; slots need not be.
  struct Block {
    explicit Block(Backend& backend) : slots(backend), touched_rows(backend) {}
    /// Slots first .. first + count - 1 are rows first_row .. of the block.
    struct Run {
      int64_t first, count, first_row;
    };
    int option = 0;
    std::vector<Run> runs;  ///< by slot
    int64_t rows = 0;
    std::unique_ptr<Comm> group;  ///< of those who hold the same rows
    std::unique_ptr<StagedAllReduce> all_reduce;
    Array<float> gradients;                   ///< (rows, dim)
    Mirrored<int64_t> slots;                  ///< [rows]
    Mirrored<int64_t> touched_rows;           ///< of the block; by row of the batch's list
    std::vector<Directory::SlotRun> touched;  ///< runs of rows of the batch's list
    int64_t row_of(int64_t slot) const;
  };
  void make_block(const RankContext& context, int option, DType wire);
  void reduce(Stream& stream, const Route& route, Block& block);

  Backend& backend_;
  const Directory& directory_;
  RowStore store_;
  std::vector<Block> blocks_;
};

}  // namespace sparrow
