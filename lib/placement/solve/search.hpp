// The search over families of placements: which stages, stores and copies pay latency, and which tables are pooled. A
// best-first branch and bound; its leaves are linear programmes (family.hpp).
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
  double best_ = kInfinity, relaxed_ = kInfinity, closed_ = kInfinity, work_ = 0;
};

}  // namespace sparrow::placement
