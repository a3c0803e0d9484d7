// A plan: what `solve` decides and a run applies, as plain data; what plan files hold. Rows are named by position
// (falling frequency).
//
// Holders. Within one domain of an option's level the copies live on the instances of site.domain in that domain,
// numbered 0 .. k-1 in tree order; which of them holds a position is the table's holder rule (holder_rule.hpp). Example,
// a table with offset 1, option "held" on 4 ranks: positions 0 1 2 3 4 are held by ranks 1 2 3 0 1. A slower store
// shared by several ranks (host memory of a node) is read and written by the ranks below it in turn: all of them, store
// by store for one rank each, are the holders then.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placement/cost/cost.hpp"
#include "placement/model/holder_rule.hpp"

namespace sparrow::placement {

/// Positions first .. last - 1 take options[option].
struct Interval {
  int64_t first = 0, last = 0;
  int option = 0;
  bool operator==(const Interval&) const = default;
};

struct TablePlan {
  std::string name;
  int64_t rows = 0;
  Transport transport = Transport::staged;
  HolderRule holders;
  std::vector<Interval> intervals;  ///< ascending, without gaps, covering 0 .. rows

  /// Whether rows of the option are held by whoever uses them first, if it holds rows in device memory.
  bool by_first_use(const Option& option) const {
    return holders.first_use && holders.fixed < 0 && option.level == 0 && transport <= Transport::direct;
  }
};

/// Which rank trains which sample of a global batch.
struct SampleAssignment {
  bool local = false;  ///< a sample goes where its rows are; else contiguous parts
  int delay = 1;       ///< W: a batch is assigned by the holders as they were known W batches before; at most the ranks
  int passes = 4;  ///< of refinement: each takes a tenth of the first one's time and leaves 1 to 2 % fewer rows to move
  bool operator==(const SampleAssignment&) const = default;

  /// In which a batch leaves its reader at most, one in each of the next iterations.
  static constexpr int kMostPieces = 16;
};

struct Plan {
  int version = 1;
  std::string strategy;  ///< "optimal", "held", ...
  std::string topology;  ///< its name
  int64_t global_batch = 0;
  std::vector<double>
      batch_shares;  ///< of one rank, per rank type (Tree::at_level(L)); sums, with their instances, to 1
  std::vector<Option> options;
  std::vector<TablePlan> tables;
  SampleAssignment assignment;
  /// Whether some table's holders are a map, or samples are assigned: batches are read in turn then.
  bool in_turn() const;
};

/// The option of a position.
int option_at(const TablePlan& table, int64_t position);

/// Independent of how the plan was made: throws Error naming the table, position or store unless every row is placed
/// exactly once per domain of its option's level, at a site inside it, and no instance of a store holds more than its
/// capacity less `reserved` (bytes per rank type, in order of Tree::at_level(L); empty: nothing), counted row by row
/// through the holder rule.
void check(const Plan& plan, const Topology& topology, const Workload& workload,
           const std::vector<double>& reserved = {});

/// Bytes of rows on the fullest instance of each store, by domain and store, counted through the holder rule.
std::vector<std::vector<int64_t>> fullest_instances(const Plan& plan, const Tree& tree, const Workload& workload);

/// Whether no instance of a store holds more rows than its capacity less buffers, counted so.
bool fits(const CostModel& model, const Plan& plan);

/// A placement of whole rows as a plan: shares of each class in order become intervals, options that no row takes are
/// dropped, and the tables get offsets such that their hottest held rows spread evenly over the holders.
Plan to_plan(const CostModel& model, const Placement& placement, const std::string& strategy = {});

/// The cost of a plan as it is dealt: of the busiest instance of every resource, by what each slot really gets.
/// reads_each: where nothing is deduplicated, slower stores read a row for every lookup (no run does).
Cost evaluate(const CostModel& model, const Plan& plan, bool reads_each = false);

/// The plan as a placement by classes.
Placement to_placement(const Plan& plan, const Workload& workload);

}  // namespace sparrow::placement
