// The rows of one batch at this rank that are in its slower store: those it sends, pools or updates as their holder.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "store/offloaded_rows.hpp"

namespace sparrow {

class OffloadedRoute {
 public:
  /// Begins to read rows of a batch, in the background; the batch before must be finished. lists: their slots in the
  /// directory, in any order, some perhaps twice; they become the slots in rows(). store may be null where there are
  /// none; device_slots: the directory's.
  void start(OffloadedRows* store, int64_t device_slots, std::span<const std::span<int64_t>> lists);

  /// The store's numbers of the rows, ascending: what tells clean rows from dirty ones when batches overlap.
  const std::vector<int64_t>& slots() const { return slots_; }

  /// Waits until all rows are there.
  void load();
  /// The same for those that the batch before, which is under way, does not use; and for the others, once it has passed
  /// them on.
  void load_clean(const OffloadedRoute& before);
  void load_dirty();
  /// Hands the rows on, as updated so far, to the batch that follows; this one is not finished yet.
  void pass_on();
  /// Where the rows are. Empty where there is no store.
  RowStore rows() const { return batch_ ? batch_->rows() : RowStore{}; }
  /// The batch is done with the rows; see OffloadedBatch.
  void finish(bool updated);

 private:
  std::unique_ptr<OffloadedBatch> batch_;
  std::vector<int64_t> slots_;
  std::vector<int32_t> clean_, dirty_;  ///< indices in slots_, as load_clean divided them
};

}  // namespace sparrow
