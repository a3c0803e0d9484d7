#include "data/vocabulary.hpp"

#include "base/error.hpp"
#include "data/batch.hpp"

namespace sparrow {

int64_t TableShapes::lookups_per_sample() const {
  int64_t sum = 0;
  for (int t = 0; t < tables(); ++t) sum += bag_size(t);
  return sum;
}

void TableShapes::check() const {
  if (tables() != kCriteoTables) fail("rows are given for {} tables, the data have {}", tables(), kCriteoTables);
  if (!bag_sizes.empty() && bag_sizes.size() != rows.size())
    fail("data.bag_sizes: {} numbers for {} tables", bag_sizes.size(), rows.size());
  constexpr int kMaxBag = 1 << 20;
  for (int t = 0; t < tables(); ++t) {
    const int64_t n = rows[t];
    if (n < 1 || n > kMaxRows) fail("data.max_rows: {} for table {}, must be 1 to {}", n, t, kMaxRows);
    if (bag_size(t) < 1 || bag_size(t) > kMaxBag)
      fail("data.bag_sizes: {} for table {}, must be 1 to {}", bag_size(t), t, kMaxBag);
  }
}

}  // namespace sparrow
