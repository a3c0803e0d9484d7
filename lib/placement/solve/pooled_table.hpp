// The least price of a pooled table at given prices of the coupling rows, by branch and bound, because its pairs are
// concave in the mass that an option holds (after J. E. Falk and R. M. Soland, "An algorithm for separable nonconvex
// programming problems", Management Science 15, 1969): a line below the pairs of each option makes the table's classes
// independent, and the interval of mass whose line is furthest off is halved.
#pragma once

#include "placement/solve/table_column.hpp"

namespace sparrow::placement {

/// Pooled but for its local rows, every option within its interval. least is true; the column costs at most `tolerance`
/// seconds more unless that takes very many steps.
TableChoice cheapest_pooled(const LinearForm& form, int t, const Prices& price, double tolerance);

}  // namespace sparrow::placement
