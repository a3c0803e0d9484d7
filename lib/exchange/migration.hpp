// Moves rows, values and optimiser state, from one plan to another: some between every two steps, so that no step waits
// for all of them. Between such moves the directory follows a plan on the way (layout/plan_change.hpp), under which
// training is exact.
//
// One move, for a chunk of positions in the order of the change: every rank packs the rows that it sends, the directory
// follows the next plan, rows travel in one exchange, and every rank writes those it got into the slots they have now.
// A copy comes from the rank that holds the row for the domain of its new holder. Because rows are packed before any
// slot is given away, slots that leave in a chunk are used again in the same chunk, and no second store is needed: the
// memory is the most that the change lets a rank hold (PlanChange::most_held), plus the buffers of one chunk.
//
// Mapped rows (layout/mapped_rows.hpp) that become others, or were others: what the map says of them is settled before,
// and they travel like all. One that was never used gets its initial values from its holder.
//
// Example, 2 ranks, rows 0..3 held by rank 0 1 0 1, in the new plan all by both. Chunk {0 1}: rank 0 packs row 0 for
// itself and for rank 1; rank 1 packs row 1 for rank 0 and itself; each then has rows 0 1 at neighbouring slots.
//
// Bytes are sent over the whole system's communicator in phase `control`: they are not part of an iteration, and
// counted here.
#pragma once

#include <span>
#include <vector>

#include "base/timer.hpp"
#include "exchange/offloaded_route.hpp"
#include "exchange/rank_context.hpp"
#include "exchange/row_transfer.hpp"
#include "layout/plan_change.hpp"
#include "store/row_admission.hpp"
#include "store/store.hpp"

namespace sparrow {

/// How a migration goes; with the two plans, all that a run must keep to continue it.
struct MigrationState {
  int64_t copies_per_move = 0;  ///< most copies of rows between two steps; at least one position moves
  int slices = 1;               ///< see PlanChange
  int64_t done = 0;             ///< positions
};

/// What has been moved so far.
struct MigrationTotals {
  int64_t positions = 0;
  int64_t sent_rows = 0, sent_bytes = 0;  ///< by this rank to others
  double seconds = 0;                     ///< that training waited

  MigrationTotals& operator+=(const MigrationTotals& other);
};

class Migration {
 public:
  /// From the directory's plan to `to`, which is to have holders in the map for all rows that only one of the plans
  /// maps. state.done > 0: of a run that is continued; the directory follows the plan on
  /// the way at once, what is in the store is undefined afterwards. Everything passed by reference must outlive it.
  Migration(const RankContext& context, Directory& directory, Store& store, ResolvedPlan to,
            const MigrationState& state);

  /// The fewest slices (a power of 4) with which the room of every rank suffices on the way; 0, and why, if there is no
  /// such number up to 1,024. Collective; the same on all ranks.
  static int slices_that_fit(Comm& comm, const Directory& directory, const ResolvedPlan& to, std::string& why_not);

  /// Rows on their way, and where they are.
  struct Buffers {
    Buffers(Backend& backend, const RowStore& rows);
    Mirrored<const float*> value_addresses, state_addresses;
    RowTransfer values, state;
    /// For moves of at most `copies` copies.
    void reserve(int64_t copies);
  };

  /// Collective, between steps, when nothing of a batch is under way: the next rows. With the last ones the directory
  /// follows the new plan.
  void move(Stream& stream);
  bool finished() const { return state_.done == change_.positions(); }

  /// The plan that rows move to.
  const ResolvedPlan& to() const { return to_; }
  /// Mapped rows that this rank may hold from now on, so that there is room for all others at any time on the way.
  int64_t room_of_mapped_rows() const;
  const MigrationState& state() const { return state_; }
  int64_t positions() const { return change_.positions(); }
  const MigrationTotals& totals() const { return totals_; }

 private:
  /// Rows that go to each rank or come from it.
  struct Rows {
    std::vector<std::vector<int64_t>> by_rank;  ///< keys; of those sent, slots in the end
    ItemsByRank counts{0};
    void count();
  };
  void list(Stream& stream, int64_t begin, int64_t end);
  void pack(Stream& stream);
  void exchange(Stream& stream);
  void unpack(Stream& stream);
  void write(Stream& stream, const RowStore& rows, std::vector<std::pair<int64_t, int64_t>>& slot_and_item);
  void load_offloaded(std::span<int64_t> slots);

  RankContext context_;
  Backend& backend_;
  Directory& directory_;
  Store& store_;
  RowAdmission admission_;
  ResolvedPlan to_;
  PlanChange change_;
  MigrationState state_;
  MigrationTotals totals_;
  Rows sent_, received_;
  OffloadedRoute offloaded_;
  Buffers buffers_;
  Matrix values_, state_values_;  ///< packed, then received
};

}  // namespace sparrow
