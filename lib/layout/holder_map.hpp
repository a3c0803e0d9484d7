// Which rank holds which row, where that is no arithmetic: one byte a row (two beyond 255 ranks), by key. Rows that
// were never used are held by nobody, and take no memory elsewhere.
//
// One map serves all ranks of a node: they share its memory, and one of them, the leader, writes it. It is changed batch
// by batch, in order: `settle` for batch k, then version() is k. A row that is held keeps its holder, so whoever reads
// the map for batch k may find it newer, but not older: wait_for(k) first.
//
// A rank holds at most its room of rows: where it is full, the next in turn that is not takes the row. What is applied
// is the same on every node: it depends on the batches alone.
//
// Example, 2 ranks, room for 2 rows each: settle {5 -> 0, 7 -> 0, 9 -> 0}: 5 and 7 are held by rank 0, 9 by rank 1.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace sparrow {

class HolderMap {
 public:
  static constexpr int kNobody = -1;

  struct NewHolder {
    int64_t key;
    int rank;
  };

  /// Bytes of memory that a map needs.
  static size_t bytes(int64_t keys, int ranks);

  /// memory: bytes() of it, zeros at first, kept alive by the map; shared by the ranks of a node (base/shared_memory.hpp)
  /// or of this rank alone. leader: this rank writes. room: most rows of each rank. Everything but the memory is this
  /// rank's own.
  HolderMap(std::shared_ptr<std::byte> memory, int64_t keys, std::vector<int64_t> room, bool leader);

  int64_t keys() const { return keys_; }
  int ranks() const { return static_cast<int>(room_.size()); }

  /// The rank, or kNobody. Also while the leader writes.
  int holder(int64_t key) const {
    const int value = wide_ ? std::atomic_ref(wide()[key]).load(std::memory_order_relaxed)
                            : std::atomic_ref(narrow()[key]).load(std::memory_order_relaxed);
    return value - 1;
  }

  /// Batches settled so far (number of the last one + 1), over the whole run.
  int64_t version() const;
  /// Waits until the leader has settled batch `step`. Throws Error after `timeout_seconds`.
  void wait_for(int64_t step, double timeout_seconds) const;

  /// New holders that batch `step` brings, in the order in which they are applied; every rank calls it with the same
  /// ones, in order of the steps. A row that is held already is left as it is. The leader writes.
  void settle(int64_t step, std::span<const NewHolder> rows);

  /// Rows that got holders in the last `kRemembered` steps, with the step: what a batch that is assigned with older
  /// knowledge must not know.
  struct Recent {
    int64_t step;
    std::vector<int64_t> keys;
  };
  const std::vector<Recent>& recent() const { return recent_; }

  /// Between batches, when no rank reads or settles, on all ranks: forgets what steps from `step` on brought.
  void roll_back(int64_t step);
  /// The same, at the start of a run or for rows that lose their copies: holders as they are given. Leader: writes.
  void place(std::span<const NewHolder> rows);

 private:
  uint8_t* narrow() const { return reinterpret_cast<uint8_t*>(memory_.get() + kHeader); }
  uint16_t* wide() const { return reinterpret_cast<uint16_t*>(memory_.get() + kHeader); }
  static constexpr size_t kHeader = 4096;  ///< the version and rows per rank, on a page of their own

  std::shared_ptr<std::byte> memory_;
  int64_t keys_;
  std::vector<int64_t> room_;
  bool leader_, wide_;
  std::vector<Recent> recent_;
};

}  // namespace sparrow
