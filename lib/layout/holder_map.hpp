// Which rank holds which row, where that is no arithmetic: one byte a row (two beyond 255 ranks), by key. Rows that
// were never used are held by nobody, and take no memory elsewhere.
//
// One map serves all ranks of a node: they share its memory, and one of them, the leader, writes it. It is changed batch
// by batch, in order: `settle` for batch k, then version() is k + 1. A row that is held keeps its holder, so whoever
// reads the map for batch k may find it newer, but not older: wait_for(k) first.
//
// A rank holds at most its room of rows: where it is full, the next in turn that is not takes the row. What is applied
// is the same on every node: it depends on the batches alone.
//
// Example, 2 ranks, room for 2 rows each: settle {5 -> 0, 7 -> 0, 9 -> 0}: 5 and 7 are held by rank 0, 9 by rank 1.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace sparrow {

/// Keys first .. end - 1.
struct KeyRange {
  int64_t first = 0, end = 0;
  bool operator==(const KeyRange&) const = default;
};

class HolderMap {
 public:
  static constexpr int kNobody = -1;

  struct NewHolder {
    int64_t key;
    int rank;
  };

  /// Bytes of memory that a map needs. Throws Error for more ranks than fit two bytes.
  static size_t bytes(int64_t keys, int ranks);

  /// memory: bytes() of it, zeros at first, kept alive by the map; shared by the ranks of a node (base/shared_memory.hpp)
  /// or of this rank alone. leader: this rank writes. room: most rows of each rank. remembered: how many steps recent()
  /// keeps: the delay of assignments, and the batches settled before the one that is trained. Everything but the memory
  /// is this rank's own.
  HolderMap(std::shared_ptr<std::byte> memory, int64_t keys, std::vector<int64_t> room, bool leader,
            int64_t remembered);
  HolderMap(const HolderMap&) = delete;
  HolderMap& operator=(const HolderMap&) = delete;

  int64_t keys() const { return keys_; }
  int ranks() const { return static_cast<int>(room_.size()); }
  const std::vector<int64_t>& room() const { return room_; }
  bool leader() const { return leader_; }

  /// The rank, or kNobody. Also while the leader writes.
  int holder(int64_t key) const {
    const int value = wide_ ? std::atomic_ref(wide()[key]).load(std::memory_order_acquire)
                            : std::atomic_ref(narrow()[key]).load(std::memory_order_acquire);
    return value - 1;
  }

  /// Batches settled so far (number of the last one + 1), over the whole run.
  int64_t version() const;
  /// Waits until the leader has settled batch `step`. Throws Error after `timeout_seconds`.
  void wait_for(int64_t step, double timeout_seconds) const;

  /// New holders that batch `step` brings, in the order in which they are applied; every rank calls it with the same
  /// ones, in order of the steps. A row that is held already is left as it is. The leader writes.
  void settle(int64_t step, std::span<const NewHolder> rows);

  /// Rows that got holders in one of the last steps: what a batch that is assigned with older knowledge must not know.
  struct Recent {
    int64_t step;
    std::vector<int64_t> keys;  ///< ascending
  };
  /// In order of the steps, the same on all ranks. Not while this rank settles.
  const std::deque<Recent>& recent() const { return recent_; }
  /// The same, at any time: once this rank has settled all that the leader has begun to write, so that whatever holder
  /// was read before is either older than these steps or among them. Throws Error after `timeout_seconds`.
  std::deque<Recent> recent_now(double timeout_seconds) const;
  /// Batches that the leader has begun to write: while this stays the same, so does the map.
  int64_t begun() const { return shared_begun().load(std::memory_order_relaxed); }

  // Between batches, when no rank reads or settles, on all ranks, who then wait for each other:
  /// Forgets what steps from `step` on brought, which must be remembered; version() is `step` then. Returns these rows,
  /// ascending.
  std::vector<int64_t> roll_back(int64_t step);
  /// Holders as they are given, where a row has none yet: at the start of a run, or for rows that lose their copies.
  /// within_room: those that are full leave rows to the next, as in settle.
  void place(std::span<const NewHolder> rows, bool within_room = true);
  /// Nobody holds the rows any more. To be followed by set_room.
  void forget(const KeyRange& rows);
  /// Most rows of each rank from here on, of which those in `counted` count, ranges without overlaps: where the plan
  /// changes.
  void set_room(std::vector<int64_t> room, std::span<const KeyRange> counted);
  /// The steps before the first one of a run that is continued, before any is settled.
  void remember(std::deque<Recent> recent);

 private:
  static constexpr size_t kHeader =
      4096;  ///< version() and how many batches the leader has begun, on a page of their own
  std::atomic_ref<int64_t> shared_version() const { return std::atomic_ref(header()[0]); }
  std::atomic_ref<int64_t> shared_begun() const { return std::atomic_ref(header()[1]); }
  int64_t* header() const { return reinterpret_cast<int64_t*>(memory_.get()); }
  uint8_t* narrow() const { return reinterpret_cast<uint8_t*>(memory_.get() + kHeader); }
  uint16_t* wide() const { return reinterpret_cast<uint16_t*>(memory_.get() + kHeader); }
  void set(int64_t key, int rank);
  void clear(int64_t key);
  void give(const NewHolder& row);
  bool is_recent(int64_t key) const;

  std::shared_ptr<std::byte> memory_;
  int64_t keys_;
  std::vector<int64_t> room_;
  std::vector<int64_t> held_;  ///< rows of each rank; the leader's
  bool leader_, wide_;
  int64_t remembered_;
  int64_t settled_ = 0;  ///< steps that this rank has settled: version() of the leader
  std::deque<Recent> recent_;
  mutable std::mutex mutex_;  ///< of settled_ and recent_, for recent_now
};

}  // namespace sparrow
