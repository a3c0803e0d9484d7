// Where rows live, as one rank sees it: for every key the copy level, the rank that holds the copy this rank uses, and
// the slot of the rows this rank holds itself. Arithmetic on a short list of intervals; memory does not grow with the
// tables. The holder comes from the holder rule; slot() and keys_of_slots() alone know that slots do, too.
//
// Mapped rows (mapped_rows.hpp) are no arithmetic: a HolderMap says who holds them, and by arithmetic is
// only meant who answers for a row that nobody holds yet. They get slots one by one, when they are admitted, the last
// ones of device memory first; a table has them (slot_table.hpp). A rank is sometimes asked for a mapped row that it has
// no slot for: an evaluation reads rows that were never used. Such rows are guests: the very last slots of device memory
// are theirs, for as long as one route needs them.
//
// A **slot** is where a row is at its holder: first those in device memory, 0 .. device_slots() - 1, then those of the
// slower store, whose own numbers begin at device_slots(). Within an interval, the rows held here have consecutive
// slots in order of position.
//
// When rows change holders (follow), a row that stays keeps its slot, a row that leaves frees it, and a row that comes
// gets a free one: an interval is cut where its rows do not fit into one run of free slots. So no list of single rows
// is ever kept, and a plan's cuts mend when the rows of one option move in order. Example, slots 0 .. 5: rank 0 of 2
// holds positions 0 2 4 6 8 10; 0 2 4 leave, and positions 1 3 come: they get slots 0 1, slot 2 is free.
//
// Paths. A row with copy level l has one copy in each domain of level l. A rank that wants it asks, stage by stage from
// the leaves up, a **proxy** in the domain of that stage, which asks on behalf of all its ranks, until the domain that
// has a copy:
//
//   2 nodes of 2 ranks, copy level 0, holder rank 3: rank 0 asks the proxy of its node, rank 1 (stage 1, inside the
//   node); rank 1 asks rank 3 (stage 0, between the nodes). Rank 2 asks rank 3 at stage 1: where the holder is in the
//   domain, it is the proxy itself.
//
// Above the copies the same tree is used to add up the gradients of rows with several copies: `merger` names, per row
// and domain, the holder among its copies that adds for that domain.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "layout/free_slots.hpp"
#include "layout/holder_map.hpp"
#include "layout/mapped_rows.hpp"
#include "layout/resolved_plan.hpp"
#include "layout/slot_table.hpp"

namespace sparrow {

/// Slots of a rank's stores.
struct SlotRoom {
  int64_t device = 0, offloaded = 0;
};

/// What a directory needs to have mapped rows.
struct Mapping {
  HolderMap* map = nullptr;  ///< outlives the directory; null: all rows are where arithmetic says
  int64_t rows = 0;          ///< slots for them, beside those that the other rows of the plan need
  int64_t guests = 0;        ///< slots for rows of one route that have no slot of their own
};

class Directory {
 public:
  /// Throws Error if the plan does not cover the tables or names ranks outside a domain. Keeps references to tables and
  /// hierarchy.
  /// room: at least so many slots, for rows that come later; those of guests come on top.
  Directory(const Tables& tables, const Hierarchy& hierarchy, const ResolvedPlan& plan, int rank, SlotRoom room = {},
            Mapping mapped = {});

  /// From here on rows are where `plan`, of the same tables and hierarchy, says. The number of slots stays. Throws
  /// Error, and changes nothing, when a store has no room. Moves no data: see exchange/migration.hpp.
  void follow(const ResolvedPlan& plan);

  const Tables& tables() const { return tables_; }
  const Hierarchy& hierarchy() const { return hierarchy_; }
  const ResolvedPlan& plan() const { return *plan_; }
  int rank() const { return rank_; }

  /// Number of the row's option in the plan, and its level.
  int option(int64_t key) const { return intervals_[interval_of(key)].option; }
  int level(int64_t key) const { return intervals_[interval_of(key)].level; }
  Transport transport(int64_t key) const { return intervals_[interval_of(key)].rule.transport; }
  bool mapped(int64_t key) const { return intervals_[interval_of(key)].mapped; }
  /// Whether a copy at this rank is in its slower store.
  bool offloaded(int64_t key) const { return intervals_[interval_of(key)].offloaded; }

  /// The rank that holds the copy used by ranks of this rank's domain at the row's copy level.
  int holder(int64_t key) const { return holder(intervals_[interval_of(key)], key); }

  /// Whom this rank asks at `stage` for a row that it wants on behalf of its own domain at level stage + 1: a rank of
  /// its domain at level `stage` (perhaps itself), or -1 when there is nothing to ask (the copy level is below this
  /// stage: the row is here).
  /// Tables without staged transport have no proxies: their rows are asked for at the stage of their copy level, of the
  /// holder.
  int ask(int stage, int64_t key) const;

  /// The holder that adds up the row's gradients for `domain` of `level`, which is not below the row's copy level; at
  /// the copy level it is the domain's holder, above it that of one of the child domains, chosen by row.
  int merger(int64_t key, int level, int domain) const;

  /// Slot in this rank's stores; the row must be held here.
  int64_t slot(int64_t key) const;
  /// The same; -1 for a mapped row that has none.
  int64_t find_slot(int64_t key) const;
  int64_t slots() const { return slots_; }
  int64_t device_slots() const { return device_slots_; }
  int64_t offloaded_slots() const { return slots_ - device_slots_; }

  /// Rows held here.
  SlotRoom held() const;
  /// The most that can be held here, or asked of this rank, under this plan.
  SlotRoom most_held() const;

  // --- Mapped rows ---

  HolderMap* holder_map() const { return mapped_.map; }
  /// Guests have slots first_guest() .. device_slots() - 1.
  int64_t guests() const { return mapped_.guests; }
  int64_t first_guest() const { return device_slots_ - mapped_.guests; }
  /// Slots that rows may have, those of guests apart: what was given as `room` would give them again.
  SlotRoom room() const { return {first_guest(), offloaded_slots()}; }
  /// Rows of the map that can have slots here.
  int64_t mapped_room() const;

  /// Gives slots to those of the rows that are mapped and have none, in their order, and adds these to `admitted` and
  /// `slots`. Throws Error if there is no room.
  void admit(std::span<const int64_t> keys, std::vector<int64_t>& admitted, std::vector<int64_t>& slots);
  /// Takes the slots of those of the rows that are mapped and have one.
  void dismiss(std::span<const int64_t> keys);

  /// Keys held here in slots [first, first + keys.size()); -1 for a free slot.
  void keys_of_slots(int64_t first, std::span<int64_t> keys) const;

  /// Runs of slots of one option: [first, first + count).
  struct SlotRun {
    int64_t first = 0, count = 0;
  };
  std::vector<SlotRun> slots_of_option(int option) const;  ///< in the order of the keys, which all ranks share

 private:
  struct Interval {
    int64_t first_key, end_key;
    int table, option, level;
    TableRule rule;
    Holders holders;            ///< in this rank's domain
    int64_t me;                 ///< this rank's number among them; -1: it holds none
    bool offloaded;             ///< this rank's rows
    bool mapped;                ///< their slots are in slot_table_
    int64_t before;             ///< this rank's rows in front of the interval, as the holder rule counts them
    int64_t first_slot, slots;  ///< first_slot < 0: not yet known
  };
  size_t interval_of(int64_t key) const;
  int64_t position(const Interval& interval, int64_t key) const { return key - tables_.first_key(interval.table); }
  int holder(const Interval& interval, int64_t key) const {
    const int known = interval.mapped ? mapped_.map->holder(key) : HolderMap::kNobody;
    return known != HolderMap::kNobody ? known : interval.holders.rank(position(interval, key));
  }
  /// The key of the row that has so many of this rank's rows of the interval in front of it.
  int64_t nth_key(const Interval& interval, int64_t n) const;
  // How intervals get their slots (directory_slots.cpp):
  void check(const ResolvedPlan& plan) const;
  std::vector<Interval> make_intervals(const ResolvedPlan& plan) const;
  void assign(std::vector<Interval> intervals);
  std::vector<Interval> with_kept_slots(const std::vector<Interval>& intervals) const;
  std::vector<SlotRun> left_slots(const std::vector<Interval>& pieces) const;
  std::vector<int64_t> left_mapped_keys(const std::vector<Interval>& pieces) const;
  void check_room(const std::vector<Interval>& pieces, const std::vector<SlotRun>& left, int64_t left_mapped) const;
  void give_slots(Interval piece, FreeSlots& free, std::vector<Interval>& result) const;
  void append(const Interval& piece, std::vector<Interval>& result) const;
  Interval part(const Interval& whole, int64_t first_key, int64_t end_key) const;

  const Tables& tables_;
  const Hierarchy& hierarchy_;
  std::unique_ptr<const ResolvedPlan> plan_;  ///< intervals refer to its rings
  int rank_;
  std::vector<Interval> intervals_;
  std::vector<int64_t> first_keys_;
  /// A guess, right or wrong: keys are looked up table by table. Threads share it (std::atomic_ref).
  mutable size_t last_interval_ = 0;
  std::vector<size_t> by_slot_;  ///< intervals in the order of their slots
  int64_t slots_ = 0, device_slots_ = 0;
  std::array<FreeSlots, 2> free_;  ///< of device memory, without those of guests, and of the slower store
  Mapping mapped_;
  std::unique_ptr<SlotTable> slot_table_;  ///< of mapped rows
};

}  // namespace sparrow
