// Where rows live, as one rank sees it: for every key the copy level, the rank that holds the copy this rank uses, and
// the slot of the rows this rank holds itself. Arithmetic on a short list of intervals; memory does not grow with the
// tables.
//
// Paths. A row with copy level l has one copy in each domain of level l. A rank that wants it asks, stage by stage from
// the leaves up, a **proxy** in the domain of that stage, which asks on behalf of all its ranks, until the domain that
// has a copy:
//
//   2 nodes of 2 ranks, copy level 0, holder rank 3: rank 0 asks the proxy of its node, rank 1 (stage 1, inside the
//   node); rank 1 asks rank 3 (stage 0, between the nodes). Rank 2 asks rank 3 at stage 1: where the holder is in the
//   domain, it is the proxy itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "embedding/hierarchy.hpp"
#include "embedding/tables.hpp"

namespace sparrow {

/// Rows [first, next interval's first) of a table have copies in every domain of `level`.
struct CopyInterval {
  int64_t first = 0;  ///< position
  int level = 0;
};

/// What every rank holds: per table intervals that start at position 0, ascending. offset: see Hierarchy; one per
/// table.
struct CopyPlan {
  std::vector<std::vector<CopyInterval>> tables;
  std::vector<int64_t> offsets;

  /// Every row of every table at one level, offsets spread so that the tables' hottest rows (position 0) take turns.
  static CopyPlan uniform(const Tables& tables, int level);
};

class Directory {
 public:
  /// Throws Error if the plan does not cover the tables. Keeps references to tables and hierarchy.
  /// combine = false: rows are asked for at their holder directly, at the stage of their copy level (no proxies).
  Directory(const Tables& tables, const Hierarchy& hierarchy, const CopyPlan& plan, int rank, bool combine = true);

  const Tables& tables() const { return tables_; }
  const Hierarchy& hierarchy() const { return hierarchy_; }
  int rank() const { return rank_; }

  int level(int64_t key) const { return intervals_[interval_of(key)].level; }

  /// The rank that holds the copy used by ranks of this rank's domain at the row's copy level.
  int holder(int64_t key) const { return holder(intervals_[interval_of(key)], key, rank_); }

  /// Whom this rank asks at `stage` for a row that it wants on behalf of its own domain at level stage + 1: a rank of
  /// its domain at level `stage` (perhaps itself), or -1 when there is nothing to ask (the copy level is below this
  /// stage: the row is here).
  int ask(int stage, int64_t key) const;

  /// Slot in this rank's store; the row must be held here.
  int64_t slot(int64_t key) const;
  /// Slots this rank's store needs (a few more than rows: rings are rounded up to whole turns).
  int64_t slots() const { return slots_; }

  /// Keys held here in slots [first, first + keys.size()); -1 for the few empty slots.
  void keys_of_slots(int64_t first, std::span<int64_t> keys) const;

 private:
  struct Interval {
    int64_t first_key, end_key;
    int table;
    int level;
    int64_t shift;       ///< position + offset = key + shift
    int64_t first_turn;  ///< turn of the ring in which the interval starts
    int64_t first_slot;
    std::vector<int>
        mine;  ///< for each place in this rank's ring: how many earlier places are this rank's, or -1 if it is not
    int64_t per_turn;  ///< places of the ring that are this rank's
  };
  size_t interval_of(int64_t key) const;
  int holder(const Interval& interval, int64_t key, int rank) const;

  const Tables& tables_;
  const Hierarchy& hierarchy_;
  int rank_;
  bool combine_;
  std::vector<Interval> intervals_;
  std::vector<int64_t> first_keys_;
  int64_t slots_ = 0;
};

}  // namespace sparrow
