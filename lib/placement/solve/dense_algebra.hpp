// Linear algebra of small dense systems: Cholesky's factors of symmetric positive semidefinite matrices, which are n
// rows one after another, of which the lower half is used.
#pragma once

#include <vector>

namespace sparrow::placement {

double dot(const double* a, const double* b, int n);

/// In place. A pivot of which rounding leaves next to nothing stands for a dependent row: a huge one in its place
/// leaves that row's unknown where it is.
void factorise(std::vector<double>& a, int n);

/// Overwrites the right-hand side v with the solution.
void solve_factorised(const std::vector<double>& a, int n, std::vector<double>& v);

}  // namespace sparrow::placement
