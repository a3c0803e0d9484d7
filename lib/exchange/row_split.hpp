// Which rows two consecutive batches both use: **shared** rows, all others being **single**. While one batch computes,
// single rows of the next are fetched already (they are *clean*: nothing updates them any more); when its gradients
// exist, those of its shared rows are sent first, and the shared rows of the next batch (*dirty*) follow their update.
// The gradients of its single rows go *late*, behind computation of the next batch.
//
// A row's holder knows: it has the lists of both batches at level 0. It tells those who asked, a bit per request, down
// the stages. Rows with several copies are hot and count as shared, so nobody need ask for them.
//
// Example, the one of route.hpp, one stage. Batch k: rank 0 asks rank 1 for rows 1 3; batch k + 1: rank 0 asks rank 1
// for rows 3 5. Rank 1 finds 3 in both of its lists and answers: of k's request, bits 0 1; of k + 1's, bits 1 0. So
// rank 0 sends the gradient of 3, gets row 3 back updated, had row 5 long before, and sends the gradient of row 1
// later.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "exchange/row_list.hpp"
#include "layout/directory.hpp"

namespace sparrow {

struct Route;

/// The two halves of a batch's rows with respect to a neighbouring batch.
enum class RowHalf : uint8_t { single, shared };
constexpr size_t index_of(RowHalf half) {
  return static_cast<size_t>(half);
}

/// A batch's rows divided by whether a neighbouring batch uses them too.
struct RowSplit {
  RowSplit(Backend& backend, std::span<const int> peers);
  bool known = false;  ///< false: the neighbour is not known, all rows count as shared, and `shared` is not filled
  std::vector<Scratch<uint8_t>> shared;            ///< by level [rows of the list]
  std::vector<std::array<StageCounts, 2>> stages;  ///< by stage and half

  const StageCounts& counts(int stage, RowHalf half) const { return stages[stage][index_of(half)]; }
  /// Counts of a stage where all rows are shared.
  void take_all(size_t stage, const StageCounts& all);
};

class RowSplitter {
 public:
  RowSplitter(Backend& host, const Directory& directory, const StageComms& comms);

  /// Collective: divides the rows of two consecutive batches. One exchange per stage (Phase::ids).
  void split(const Route& batch, RowSplit& with_next, const Route& next, RowSplit& with_batch);

 private:
  struct Side {
    const Route& route;
    RowSplit& split;
  };
  void find_shared(const Side& a, const Side& b);
  void tell(int stage, std::span<const Side> sides);
  void count(int stage, const Side& side) const;

  const Directory& directory_;
  const StageComms& comms_;
  std::vector<uint64_t> marks_;  ///< a bit per slot of this rank, all 0 between calls
  std::vector<int64_t> send_bytes_, send_offsets_, recv_bytes_, recv_offsets_;
  Scratch<uint8_t> send_, recv_;
};

}  // namespace sparrow
