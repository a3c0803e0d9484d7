// The least price of tables at given prices of the coupling rows: of a table that is not pooled class by class, of a
// pooled one as pooled_table.hpp says; of all tables, which is the bound of the optimiser.
#pragma once

#include <vector>

#include "placement/solve/pooled_table.hpp"
#include "placement/solve/table_column.hpp"

namespace sparrow::placement {

/// Not pooled.
TableChoice cheapest_plain(const LinearForm& form, int t, const Prices& price);

/// The cheapest placements of a table that is whole.
struct TableChoices {
  TableChoice plain, pooled;  ///< plain: of tables that may be either
};
/// The Lagrangian: no placement of the family takes less. `price` must be feasible. choices, when given, gets those of
/// each table that is whole.
double lagrangian(const LinearForm& form, const Prices& price, double tolerance,
                  std::vector<TableChoices>* choices = nullptr);

}  // namespace sparrow::placement
