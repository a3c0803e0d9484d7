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
  /// Forgets the rows of the batch before, which must be finished.
  void clear() { slots_.clear(); }
  /// Adds rows by their slots in the directory, in any order, some perhaps twice. Before start.
  void add(std::span<const int64_t> directory_slots) {
    slots_.insert(slots_.end(), directory_slots.begin(), directory_slots.end());
  }
  /// Begins to read what was added, in the background. store may be null where there is nothing to read; device_slots:
  /// the directory's.
  void start(OffloadedRows* store, int64_t device_slots);

  /// The store's numbers of the rows, ascending: what tells clean rows from dirty ones when batches overlap.
  const std::vector<int64_t>& slots() const { return slots_; }
  /// Null before the first batch of a rank that has such a store.
  OffloadedBatch* batch() const { return batch_.get(); }

  /// Waits until all rows are there.
  void load();
  /// The same for those that the batch before, which is under way, does not use; and for the others, once it has passed
  /// them on.
  void load_clean(const OffloadedRoute& before);
  void load_dirty();
  /// Hands the rows on, as updated so far, to the batch that follows; this one is not finished yet.
  void pass_on();
  /// Turns slots of the directory into those of rows(). After start.
  void to_batch_slots(std::span<int64_t> directory_slots) const;
  /// Where the rows are. Empty where there is no store.
  RowStore rows() const { return batch_ ? batch_->rows() : RowStore{}; }
  /// The batch is done with the rows; see OffloadedBatch.
  void finish(bool updated);

 private:
  std::unique_ptr<OffloadedBatch> batch_;
  std::vector<int64_t> slots_;
  std::vector<int32_t> clean_, dirty_;  ///< indices in slots_, as load_clean divided them
  int64_t device_slots_ = 0;
};

}  // namespace sparrow
