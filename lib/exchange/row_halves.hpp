// Which rows two consecutive batches both use: those are **dirty**, all others **clean**. While one batch computes,
// clean rows of the next are fetched already (nothing updates them any more); when its gradients exist, those of its
// dirty rows are sent first, and the dirty rows of the next batch follow their update. The gradients of its clean rows
// go behind computation of the next batch.
//
// A row's holder knows: it has the lists of both batches at level 0. It tells those who asked, a bit per request, down
// the stages. Rows with several copies are hot and count as dirty, so nobody need ask for them.
//
// Example, the one of route.hpp, one stage. Batch k: rank 0 asks rank 1 for rows 1 3; batch k + 1: rank 0 asks rank 1
// for rows 3 5. Rank 1 finds 3 in both of its lists and answers: of k's request, bits 0 1; of k + 1's, bits 1 0. So
// rank 0 sends the gradient of 3, gets row 3 back updated, had row 5 long before, and sends the gradient of row 1
// later. Rank 0's list [4 | 1 3] of batch k becomes halves [4 | 1], for bags 0 2 and bag 1, and [| 3], for bag 3. One
// level up, each half's requests come in a message of their own: there a group's items count the requests of its half.
#pragma once

#include <cstdint>
#include <vector>

#include "exchange/route.hpp"

namespace sparrow {

class RowDivider {
 public:
  RowDivider(Backend& host, const Directory& directory, const StageComms& comms);

  /// Collective, for consecutive batches that are built: divides the gradients of `batch` and the rows of `next`, and
  /// queues the lists of their halves to the device. One exchange per stage (Phase::ids).
  void divide(Stream& stream, Route& batch, Route& next);

 private:
  /// A batch, and its division by the other one.
  struct Side {
    Route& route;
    RowSplit& split;
  };
  void find_dirty(const Side& a, const Side& b);
  void tell(int stage, std::span<const Side> sides);
  static void count(const Side& side, int stage, size_t peer, ItemsByRank StageCounts::*which, int64_t dirty_rows);
  void divide_list(Stream& stream, const RowList& list, const uint8_t* dirty, bool of_requests,
                   std::array<ListHalf, 2>& halves);
  static void choose_sent(Stream& stream, int stage, Route& route);

  const Directory& directory_;
  const StageComms& comms_;
  std::vector<uint64_t> marks_;  ///< a bit per slot of this rank, all 0 between calls
  ItemExchange exchange_;
  ItemsByRank sent_{0}, received_{0};  ///< bytes
  Scratch<uint8_t> send_, recv_;
  Scratch<int32_t> request_in_half_;
};

}  // namespace sparrow
