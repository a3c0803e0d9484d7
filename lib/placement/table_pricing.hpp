// The least price of one table at given prices of the coupling rows: of a table that is not pooled class by class, of a
// pooled one by branch and bound, because its pairs are concave in the mass that an option holds (after J. E. Falk and
// R. M. Soland, "An algorithm for separable nonconvex programming problems", Management Science 15, 1969).
#pragma once

#include <vector>

#include "placement/linear_form.hpp"

namespace sparrow::placement {

/// A whole placement of a table.
struct TableChoice {
  double least = kInfinity;  ///< no placement of the table costs less
  TableColumn column;        ///< one that costs about that; empty where there is none
};

/// Not pooled.
TableChoice cheapest_plain(const LinearForm& form, int t, const Prices& price);
/// Pooled but for its local rows, every option within its interval. least is true; the column costs at most `tolerance`
/// seconds more unless that takes very many steps.
TableChoice cheapest_pooled(const LinearForm& form, int t, const Prices& price, double tolerance);

/// Every row at one option, for each variant of the table: where a programme begins.
std::vector<TableColumn> pure_columns(const LinearForm& form, int t);
/// Pairs of a column made under other limits, as these limits charge them.
void charge_pairs(const LinearForm& form, int t, TableColumn& column);

/// Seconds and bytes that a column adds to coupling row k.
double load_of(const LinearForm& form, int t, const TableColumn& column, size_t k);
double price_of(const LinearForm& form, int t, const TableColumn& column, const Prices& price);

/// The cheapest placements of a table that is whole.
struct TableChoices {
  TableChoice plain, pooled;  ///< plain: of tables that may be either
};
/// The Lagrangian: no placement of the family takes less. `price` must be feasible. choices, when given, gets those of
/// each table that is whole.
double lagrangian(const LinearForm& form, const Prices& price, double tolerance,
                  std::vector<TableChoices>* choices = nullptr);

}  // namespace sparrow::placement
