// Batches read in turn: rank k mod R reads the whole of global batch k (of the R ranks that train any samples), decides
// which rank trains which of its samples, and sends them there, ahead of use. Every rank gets exactly the number of
// samples that it would get of contiguous parts (part_of_batch), in the order in which the batch has them, so what is
// trained depends neither on the reader nor on a clock.
//
// Three threads beside the caller's:
//
//   loader      reads this rank's turns, one ahead
//   assignment  of a turn: finds the rows, waits until holders are known as of W steps before, assigns, packs
//   exchange    in rounds, in which all ranks take part and which are numbered like the batches:
//
//   round t   the new holders of batch t go from its reader to all (or why      pieces of batches t - 1 .. t - P: each of
//             the batch cannot be had), and all ranks settle them               their readers sends one of P to all
//
// So a rank's batch leaves it over P rounds (P = readers, 16 at most), and in every round one reader sends as many samples
// as another. The whole batch at once would be a burst on one link, while all other ranks wait for that one's rows.
// Batch k is complete after round k + P. Round t is due once batch t - P - ahead is taken (the first ones at once): that
// depends on the number of next() calls alone, so all ranks make the same exchanges, and none hangs at an end.
//
// Example, 2 ranks, first batches, P = 2. Round 0: new holders of 0 (from rank 0). Round 1: new holders of 1 (rank 1),
// half of 0 (rank 0). Round 2: new holders of 2 (rank 0), half of 1 (rank 1), the rest of 0 (rank 0): batch 0 is
// complete.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>

#include "assign/assigner.hpp"
#include "assign/batch_assignment.hpp"
#include "assign/row_places.hpp"
#include "comm/comm.hpp"
#include "data/batch_source.hpp"
#include "data/dataset.hpp"
#include "data/loader.hpp"
#include "data/position_map.hpp"
#include "layout/holder_map.hpp"
#include "layout/tables.hpp"

namespace sparrow {

struct AssignedBatchesOptions {
  /// As for a rank that reads its contiguous part. split_data and every are not used; ahead: batches that are complete
  /// ahead of use.
  LoaderOptions loader;
  SampleAssignment assignment;
  AssignerTree tree;
  int64_t first_step = 0;  ///< number of batch loader.first_batch over the whole run: steps made before it
  int64_t batches = std::numeric_limits<int64_t>::max();  ///< of the pass that will be taken, if fewer than all
  int assigner_threads = 1;                               ///< of one batch
  /// Called by next() with what the exchanges that brought the batch have sent. Rounds before the first batch is
  /// complete are the first batch's.
  std::function<void(const Traffic&)> book;
};

class AssignedBatches : public BatchSource {
 public:
  /// Collective. comm: of its own, over all ranks. `data`, `positions` and `map` must outlive it. map: where rows are
  /// held by first use, as of first_step, and all ranks change it together from here on; null: nowhere.
  /// Throws Error for options that make no sense.
  AssignedBatches(std::unique_ptr<Comm> comm, const Dataset& data, SampleRange range, const PositionMap& positions,
                  const Tables& tables, const RowPlaces& places, HolderMap* map, AssignedBatchesOptions options);
  /// Collective: completes the rounds that are due. Where an exception passes by it ends as soon as the round under way
  /// has ended, which may take as long as the communicator's time-out.
  ~AssignedBatches() override;

  /// Collective: the same number of calls on all ranks. What goes wrong with a batch at its reader is thrown by all.
  const Batch* next() override;

  /// Most batches that have settled their holders beyond the one that is trained, of which the next may be taken already.
  static int64_t settled_ahead(const LoaderOptions& loader);

  /// Most bytes of memory that batches under way take at this rank, but for the assigner's own.
  /// The parts of batches that come, P + ahead + 2 of them; at a reader also 3 whole batches as read, 2 packed, and lists
  /// for one. As if no row were looked up twice, and all were new: the most there can be; but new rows that come because
  /// other ranks are full are not counted.
  static int64_t memory_bytes(const AssignedBatchesOptions& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sparrow
