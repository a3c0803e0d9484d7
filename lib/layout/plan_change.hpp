// From one plan to another, a few rows at a time: which rows change holders, in which order they move, and the plan
// that holds while some have moved.
//
// The tables are cut where either plan changes its option. A piece whose rows are on the same ranks in both plans, at
// in the same turn, **stays**: it follows the new plan at once. The other pieces **move**, one after the
// other, each from its first position on: positions before the frontier follow the new plan, those behind it the old
// one. So the state between the plans is one number, `done`: how many positions have moved. Every such state is a plan
// like any other (with two rules per table), under which training is exact.
//
// Mapped rows (mapped_rows.hpp) that are mapped in both plans stay, whoever holds them. Where one plan maps a row and the
// other does not, it moves, from or to the rank that the map says: before anything moves, every such row has a holder.
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

#include "layout/directory.hpp"
#include "layout/resolved_plan.hpp"

namespace sparrow {

/// Whether rows can be mapped, and where they are, which must outlive what is made with it; null: they count as if they
/// were where arithmetic says.
struct MappedBy {
  bool mapping = false;
  const HolderMap* known = nullptr;
};

class PlanChange {
 public:
  /// Both plans are of these tables and this hierarchy, and none is itself on the way. Keeps references to tables and
  /// hierarchy. slices >= 1.
  PlanChange(const Tables& tables, const Hierarchy& hierarchy, const ResolvedPlan& from, const ResolvedPlan& to,
             int slices, MappedBy mapped = {});
  PlanChange(const PlanChange&) = delete;  // pieces refer to the plans in here

  /// Positions that move, of all tables.
  int64_t positions() const { return positions_; }

  /// The plan when the first `done` positions have moved. With done == positions() it places rows as the new plan does.
  ResolvedPlan plan(int64_t done) const;

  /// A copy that moves, or is made: row `key` from rank `source` to rank `destination` (perhaps the same rank, where
  /// the row gets another slot).
  struct RowMove {
    int64_t key;
    int source, destination;
  };
  /// All moves of positions number [begin, end) of the order, in order.
  void visit(int64_t begin, int64_t end, const std::function<void(const RowMove&)>& move) const;

  /// The end of the positions, from number `begin` on, that make at most so many copies; at least one position.
  int64_t end_of_step(int64_t begin, int64_t copies) const;

  /// Most rows that `rank` holds at any time on the way, in each of its stores (not at the same time, perhaps), but for
  /// mapped rows that stay.
  SlotRoom most_held(int rank) const;

  /// Mapped rows that stay: of all ranks, and those that `rank` holds so far.
  struct Staying {
    int64_t all = 0, held = 0;
  };
  Staying staying(int rank) const;
  /// Rows that become mapped and are `rank`'s then.
  int64_t coming_to_map(int rank) const;

  /// How many copies go from each rank to each other: copies[source * ranks + destination].
  std::vector<int64_t> copies_between_ranks() const;

 private:
  /// One of the plans, and the options of plan(done) that stand for its own while rows move; -1: no row with it moves.
  struct Plan {
    ResolvedPlan plan;
    std::vector<int> moving = {};
  };
  /// Rows of a piece in one of the plans.
  struct Side {
    int number = 0;  ///< of the option in the plan
    const ResolvedOption* option = nullptr;
    HolderRule rule;
    bool mapped = false;
    int domains() const { return static_cast<int>(option->rings.size()); }
    Holders holders(int domain) const { return {rule, option->rings[domain]}; }
  };
  /// Rows of both plans' intervals together.
  struct Piece {
    int table;
    int64_t first, end;  ///< positions
    Side from, to;
    std::vector<char> stays;  ///< by rank: its rows of the piece are the same in both plans
    bool moves;               ///< some rank's do not stay
    bool stays_mapped() const { return from.mapped && to.mapped; }
  };
  struct Slice {
    size_t piece;
    int64_t first, end;  ///< positions
    int64_t begin;       ///< in the order of all that move
    int64_t behind() const { return begin + end - first; }
  };
  Side side(const ResolvedPlan& plan, int table, const ResolvedInterval& interval) const;
  int rank(const Side& side, int domain, const Piece& piece, int64_t position) const;
  int64_t held(const Side& side, const Piece& piece, int64_t first, int64_t end, int rank) const;
  void cut_table(int table);
  bool stays(const Side& from, const Side& to, int rank) const;
  void order(int slices);
  void add_moving_option(Plan& plan, const Side& side);
  std::vector<Slice>::const_iterator slice_at(int64_t number) const;
  void visit_position(const Piece& piece, int64_t position, const std::function<void(const RowMove&)>& action) const;
  /// Adds the rows of positions [first, end) that the rank holds to those of the store they are in.
  void add_held(const Side& side, const Piece& piece, int64_t first, int64_t end, int rank, SlotRoom& rows) const;

  const Tables& tables_;
  const Hierarchy& hierarchy_;
  MappedBy mapped_;
  Plan from_, to_;
  std::vector<Piece> pieces_;  ///< table by table
  std::vector<Slice> slices_;
  std::vector<ResolvedOption> options_;  ///< of plan()
  int64_t positions_ = 0;
};

}  // namespace sparrow
