#include "synthetic/criteo_statistics.hpp"

#include <charconv>

#include "base/error.hpp"

namespace sparrow {

const CriteoStatistics& criteo_statistics(std::string_view name) {
  if (name == "terabyte") return terabyte_statistics();
  if (name == "kaggle") return kaggle_statistics();
  fail("unknown data set '{}'; expected: terabyte, kaggle", name);
}

int column_index(std::string_view name) {
  int number = 0;
  if (name.size() >= 2 && (name[0] == 'C' || name[0] == 'I')) {
    const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), number);
    const int columns = name[0] == 'C' ? kCriteoTables : kCriteoDense;
    if (error == std::errc() && end == name.data() + name.size() && number >= 1 && number <= columns) return number - 1;
  }
  fail("unknown column '{}'; expected I1 to I13 or C1 to C26", name);
}

}  // namespace sparrow
