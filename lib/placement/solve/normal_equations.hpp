// The linear system of an iteration of the interior point method (interior_point.hpp), the equations of its classes
// eliminated: with weights d_j of the columns a_j of a class and their mean a, what is left for the coupling rows is
//
//   N = sum over classes of sum_j d_j (a_j - a)(a_j - a)^T  +  G D G^T  +  D of the slacks
//
// in this form because it keeps its digits where the difference of two large matrices would not.
#pragma once

#include <vector>

#include "placement/solve/interior_point.hpp"

namespace sparrow::placement {

class NormalEquations {
 public:
  /// program must outlive it.
  explicit NormalEquations(const BlockProgram& program);

  /// weight: d, one per column, then tau, then slack.
  void factorise(const std::vector<double>& weight);

  /// Overwrites right-hand sides with the solution: of the coupling rows, and of the classes.
  void solve(std::vector<double>& rows, std::vector<double>& classes) const;

 private:
  void add_class(int c, const std::vector<double>& weight);
  void add_products();

  const BlockProgram& p_;
  int m_;
  std::vector<double> normal_, centre_, class_weight_;
  std::vector<double> difference_, scales_;  // of the columns that are added together
};

}  // namespace sparrow::placement
