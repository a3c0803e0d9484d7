// A linear programme with few coupling rows and many independent choices, solved by a primal-dual interior point
// method:
//
//   minimise  c . tau
//   subject to  sum over columns of column * x  +  G tau  <=  b        (m coupling rows)
//               sum of x over the columns of each class  =  1
//               x, tau >= 0
//
// Mehrotra's predictor-corrector (SIAM J. Optimization 2, 1992). The equations of the classes are eliminated one by
// one, which leaves a dense m x m system per iteration: O(columns * m^2) work, 20 to 40 iterations whatever the size or
// degeneracy. It gives a point in the interior of the optimal face; `to_vertex` moves from there to a vertex without
// changing any load, where at most m classes are split.
#pragma once

#include <cstddef>
#include <vector>

namespace sparrow::placement {

struct BlockProgram {
  int rows = 0;
  std::vector<double> b;          ///< [rows]; scale rows so that these are of order one
  std::vector<double> objective;  ///< c, [taus], >= 0
  struct Link {                   ///< an entry of G
    int row, tau;
    double value;
  };
  std::vector<Link> links;
  std::vector<int> class_start;  ///< columns of class i: class_start[i] .. class_start[i + 1] - 1
  std::vector<double> columns;   ///< [columns][rows]

  int classes() const { return static_cast<int>(class_start.size()) - 1; }
  int column_count() const { return class_start.back(); }
  const double* column(int j) const { return columns.data() + static_cast<size_t>(j) * static_cast<size_t>(rows); }
};

struct BlockSolution {
  std::vector<double> x;  ///< by column
  std::vector<double> tau;
  std::vector<double> price;  ///< of each row, >= 0: how much the objective falls per unit more of b
  double objective = 0;
  double relative_gap = 0;  ///< between primal and dual objective, plus residuals, at the end
  int iterations = 0;
};

/// Until relative_gap is below `accuracy`, or gets no smaller.
BlockSolution solve(const BlockProgram& program, double accuracy = 1e-10);

/// Changes x to a vertex of {x : the same loads, same sums}: at most `rows` classes keep more than one column. Entries
/// below `drop` are first set to zero and the class rescaled.
void to_vertex(const BlockProgram& program, std::vector<double>& x, double drop = 1e-7);

/// Sets entries below `drop` to zero and rescales their class.
void drop_slivers(const BlockProgram& program, std::vector<double>& x, double drop = 1e-5);

}  // namespace sparrow::placement
