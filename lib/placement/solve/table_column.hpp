// Whole placements of a table, as columns of a programme: what they load and what they cost at given prices.
#pragma once

#include <vector>

#include "placement/solve/linear_form.hpp"

namespace sparrow::placement {

/// A whole placement of a table.
struct TableChoice {
  double least = kInfinity;  ///< no placement of the table costs less
  TableColumn column;        ///< one that costs about that; empty where there is none
};

/// Every row at one option, for each variant of the table: where a programme begins.
std::vector<TableColumn> pure_columns(const LinearForm& form, int t);
/// Pairs of a column made under other limits, as these limits charge them.
void charge_pairs(const LinearForm& form, int t, TableColumn& column);

/// Seconds and bytes that a column adds to coupling row k.
double load_of(const LinearForm& form, int t, const TableColumn& column, size_t k);
double price_of(const LinearForm& form, int t, const TableColumn& column, const Prices& price);

}  // namespace sparrow::placement
