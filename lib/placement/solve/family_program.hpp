// The linear programme of one family while it is refined: groups of classes as its classes, some of their variants as
// its columns, the coupling rows that matter as its rows. A table whose pairs count truly is one class, its columns
// whole placements of it (Dantzig and Wolfe's decomposition). Made and run in family.cpp, refined in refinement.cpp,
// made whole rows in rounding.cpp.
#pragma once

#include <vector>

#include "placement/solve/interior_point.hpp"
#include "placement/solve/linear_form.hpp"
#include "placement/solve/table_pricing.hpp"

namespace sparrow::placement {

struct Group {  // classes first .. last - 1 of a table, as one class of the programme
  int table;
  size_t first, last;
  std::vector<size_t> variants;
  std::vector<TableColumn> placements = {};     // instead of variants, of a whole table
  std::vector<std::vector<double>> loads = {};  // of these, by coupling row
  bool whole() const { return !placements.empty(); }
  size_t columns() const { return whole() ? placements.size() : variants.size(); }
};

class FamilyProgram {
 public:
  FamilyProgram(LinearForm& form, const SolveOptions& settings)
      : form_(form), model_(form.model()), settings_(settings) {}
  FamilyResult run(const std::vector<PriceBook>& known, double cutoff,
                   const std::vector<std::vector<TableColumn>>& columns);

 private:
  size_t f() const { return form_.features(); }
  double tolerance(double seconds) const;
  void decide(double bound, double cutoff, std::vector<Pooling>& pooling) const;
  double pricing_work() const;
  double dominance_work() const;
  void first_rows(const std::vector<PriceBook>& known);
  void first_groups(const std::vector<std::vector<TableColumn>>& columns);
  void add_placement(Group& g, TableColumn placement) const;
  std::vector<double> feature_sums(const Group& g) const;
  double load(const Group& g, size_t column, size_t k, const std::vector<double>& sums) const;
  BlockProgram program() const;
  double greedy_seconds();
  Prices prices_of(const BlockSolution& solution) const;
  bool impossible() const;
  size_t group_columns() const;
  void follow_memory_prices(Prices price, FamilyResult& result) const;
  bool wake_rows(const Prices& price, const std::vector<double>& x, const std::vector<double>& tau);
  std::vector<double> loads(const std::vector<double>& x) const;
  double refine(const Prices& price, const std::vector<double>& x, double bound);
  void split_groups(const std::vector<double>& lost, const std::vector<std::vector<size_t>>& cuts, double bound);
  void keep_cheapest(Group& g, const double* x, const Prices& price) const;
  Placement round(const Prices& price, const std::vector<double>& x) const;
  void place_group(const Group& g, const double* x, const std::vector<std::vector<double>>& prices,
                   TablePlacement& placed) const;
  void report(const Prices& price, const std::vector<double>& x, FamilyResult& result) const;
  void report_masses(const std::vector<double>& x, FamilyResult& result) const;
  TableMix mix_of(const Group& g, const double* x, const Prices& price) const;
  double row_constant(size_t k) const { return form_.rows()[k].constant + form_.pooled_constants()[k]; }

  LinearForm& form_;
  const CostModel& model_;
  const SolveOptions& settings_;
  std::vector<Group> groups_;
  std::vector<size_t> active_;         // coupling rows in the programme
  std::vector<TableChoices> offered_;  // by table: the cheapest at the last prices, for the next programme
  double unit_ = 1;                    // seconds
};

}  // namespace sparrow::placement
