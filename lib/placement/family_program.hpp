// The linear programme of one family while it is refined: groups of classes as its classes, some of their variants as
// its columns, the coupling rows that matter as its rows. Made and run in family.cpp, refined in refinement.cpp, made
// whole rows in rounding.cpp.
#pragma once

#include <vector>

#include "placement/interior_point.hpp"
#include "placement/linear_form.hpp"

namespace sparrow::placement {

struct Group {  // classes first .. last - 1 of a table, as one class of the programme
  int table;
  size_t first, last;
  std::vector<size_t> variants;
};

class FamilyProgram {
 public:
  FamilyProgram(LinearForm& form, const SolveOptions& settings)
      : form_(form), model_(form.model()), settings_(settings) {}
  FamilyResult run(const std::vector<PriceBook>& known, double cutoff);

 private:
  size_t f() const { return form_.features(); }
  void first_groups();
  BlockProgram program() const;
  double greedy_seconds();
  Prices prices_of(const BlockSolution& solution) const;
  bool wake_rows(const Prices& price, const std::vector<double>& x, const std::vector<double>& tau);
  std::vector<double> loads(const std::vector<double>& x) const;
  double refine(const Prices& price, const std::vector<double>& x, double bound);
  Placement round(const Prices& price, const std::vector<double>& x) const;
  void place_group(const Group& g, const double* x, const std::vector<std::vector<double>>& prices,
                   TablePlacement& placed) const;
  void report(const Prices& price, const std::vector<double>& x, FamilyResult& result) const;
  double row_constant(size_t k) const { return form_.rows()[k].constant + form_.pooled_constants()[k]; }

  LinearForm& form_;
  const CostModel& model_;
  const SolveOptions& settings_;
  std::vector<Group> groups_;
  std::vector<size_t> active_;  // coupling rows in the programme
  double unit_ = 1;             // seconds
};

}  // namespace sparrow::placement
