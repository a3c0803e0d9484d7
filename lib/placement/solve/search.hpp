// The search over families of placements: which stages, stores and copies pay latency, and which tables are pooled. A
// best-first branch and bound; its leaves are linear programmes (family.hpp).
//
// What the branching buys, of 559 draws with bags of up to 100 (`gap_sweep configs/topologies 400 SEED 100 0 0 both`,
// seeds 1 and 31); without it every family still gives its first plan. T longer without it, and the gap to the bound:
//
//                                           T longer without it           gap above 5 %   mean s of planning
//                                   draws   mean    above 1 %   most      with  without   with    without
//   configs/topologies, sequential    229   0.15 %     6         9.3 %      0      5      0.07    0.05
//   configs/topologies, overlapped    201   0.13 %     5        11.0 %      0      2      0.10    0.06
//   random trees, sequential           59   0.36 %     5         8.4 %      0      3      0.22    0.13
//   random trees, overlapped           70   0.91 %     8        32.2 %      1      5      0.51    0.34
//
// Little on average, and what keeps plans from being a tenth slower where ranks or domains are unlike. Without the
// branch and bound within the pricing of a table (pooled_table.hpp) the bound is worth nothing: mean gap 14 %.
#pragma once

#include <vector>

#include "placement/solve/family.hpp"
#include "placement/solve/solve.hpp"

namespace sparrow::placement {

/// The families whose union is every placement that the options allow: first those without pooling.
std::vector<FamilyLimits> families(const CostModel& model, const SolveOptions& options);

class Search {
 public:
  /// Fills plan, cost, prices, bound and relaxed_seconds of `solution`.
  Search(const CostModel& model, const SolveOptions& options, Solution& solution);
  void run();

 private:
  struct Node {  // a part of a family: some tables are decided, some options held to intervals of mass
    FamilyLimits limits;
    double bound = 0;  // no placement of it is faster
    std::vector<std::vector<TableColumn>> columns;
  };

  void close(double bound) { closed_ = std::min(closed_, bound); }
  double good_enough() const;
  void solve_plain(const FamilyLimits& limits);
  void visit(const Node& node);
  void branch(const Node& node, const FamilyResult& result);
  void try_rounding(const Node& node, const std::vector<TableMix>& mixes);
  FamilyResult rounded(const FamilyLimits& limits, const SolveOptions& settings);
  bool make_room(const Placement& placement, int attempt, std::vector<std::vector<double>>& extra) const;
  bool keep_if_best(const FamilyLimits& limits, const FamilyResult& result);
  std::vector<std::vector<double>> no_extra() const;
  std::vector<PriceBook> recent() const;

  const CostModel& model_;
  const SolveOptions& options_;
  SolveOptions exploring_;  // of families with pooled tables, of which many are tried
  Solution& solution_;
  std::vector<Node> open_;
  std::vector<PriceBook> known_;
  // Seconds, but for samples that move: they add the less, the less there is without them.
  double best_ = kInfinity, relaxed_ = kInfinity, closed_ = kInfinity;
  double work_ = 0;
};

}  // namespace sparrow::placement
