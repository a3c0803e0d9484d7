// From one plan to another, a few rows at a time: which rows change holders, in which order they move, and the plan
// that holds while some have moved.
//
// The tables are cut where either plan changes its option. A piece whose rows are on the same ranks in both plans, at
// the same places of their rings, **stays**: it follows the new plan at once. The other pieces **move**, one after the
// other, each from its first position on: positions before the frontier follow the new plan, those behind it the old
// one. So the state between the plans is one number, `done`: how many positions have moved. Every such state is a plan
// like any other (with two rules per table), under which training is exact.
//
// Copies of moving rows are kept equal by touched rows alone (sparse), because their number changes all the time; dense
// reductions of rows that stay go on.
//
// Order and memory. Pieces that need fewer copies than before go first, so that they make room. A rank may still hold
// more on the way than before and after; with `slices` > 1 every piece moves in that many parts, taking turns with the
// others: at any time all have moved by about the same share, and what a rank holds lies between what it held and what
// it will hold. Example: table A moves from rank 0 to rank 1, table B of the same size from 1 to 0. One slice: after A,
// rank 1 holds both. Ten slices: it never holds more than a tenth above its share.
//
// Example of a plan on the way: 6 positions held by 2 ranks in turn, in the new plan all replicated. After 2 positions:
// positions 0 1 have copies on both ranks; 2 4 are held by rank 0, 3 5 by rank 1.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "layout/copy_plan.hpp"
#include "layout/directory.hpp"

namespace sparrow {

class PlanChange {
 public:
  /// Both plans are of these tables and this hierarchy, and none is itself on the way. Keeps references to tables and
  /// hierarchy. slices >= 1.
  PlanChange(const Tables& tables, const Hierarchy& hierarchy, const CopyPlan& from, const CopyPlan& to, int slices);

  /// Positions that move, of all tables.
  int64_t positions() const { return positions_; }

  /// The plan when the first `done` positions have moved. With done == positions() it places rows as the new plan does.
  CopyPlan plan(int64_t done) const;

  /// A copy that moves, or is made: row `key` from rank `source` to rank `destination` (perhaps the same rank, where
  /// the row gets another slot).
  struct CopyMove {
    int64_t key;
    int source, destination;
  };
  /// All moves of positions number [begin, end) of the order, in order.
  void visit(int64_t begin, int64_t end, const std::function<void(const CopyMove&)>& move) const;

  /// The end of the positions, from number `begin` on, that make at most so many copies; at least one position.
  int64_t end_of_step(int64_t begin, int64_t copies) const;

  /// Most rows that `rank` holds at any time on the way, in each of its stores (not at the same time, perhaps).
  SlotRoom most_held(int rank) const;

  /// How many copies go from each rank to each other: copies[source * ranks + destination].
  std::vector<int64_t> copies_between_ranks() const;

 private:
  /// Rows of a piece in one of the plans.
  struct Side {
    int option = 0;  ///< of that plan
    int level = 0;
    CopyRule rule;
    std::vector<std::vector<int>> rings;  ///< by domain, of one rank where the table has a fixed holder
    std::vector<char> offloaded;          ///< by domain
    int holder(int domain, int64_t position) const {
      const auto& ring = rings[domain];
      return ring[static_cast<uint64_t>(position + rule.offset) % ring.size()];
    }
  };
  struct Segment {
    int64_t first, end;  ///< positions
    int from, to;        ///< sides
    int move = -1;       ///< its number among those that move
  };
  struct Move {
    int table;
    size_t segment;  ///< of the table
    int64_t first, end;
    int from, to;
    std::vector<char> stays;  ///< by rank: its rows of the piece are the same in both plans
  };
  struct Slice {
    size_t move;
    int64_t first, end;  ///< positions
    int64_t begin;       ///< in the order of all that move
  };
  int side(const CopyPlan& plan, int table, const CopyInterval& interval, std::vector<Side>& sides) const;
  void cut_table(int table, const CopyPlan& from, const CopyPlan& to);
  std::vector<char> stays(const Side& from, const Side& to) const;
  void order(int slices);
  int moving_option(const CopyPlan& plan, int option);
  void visit_position(const Move& move, int64_t position, const std::function<void(const CopyMove&)>& action) const;
  /// Rows of positions [first, end) that the rank holds, in each store.
  SlotRoom held(const Side& side, int64_t first, int64_t end, int rank) const;

  const Tables& tables_;
  const Hierarchy& hierarchy_;
  CopyPlan to_;
  std::vector<CopyRule> from_rules_;  ///< by table
  std::vector<Side> from_sides_, to_sides_;
  std::vector<int> from_option_, to_option_;  ///< by option: the option of moving rows in plan()
  std::vector<std::vector<Segment>> segments_;
  std::vector<Move> moves_;
  std::vector<Slice> slices_;
  std::vector<CopyOption> options_;  ///< of plan()
  int64_t positions_ = 0;
};

}  // namespace sparrow
