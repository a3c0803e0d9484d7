#include "access/counts.hpp"

#include <filesystem>

#include "access/count_lookups.hpp"
#include "access/histogram.hpp"
#include "base/error.hpp"
#include "data/npy.hpp"

namespace sparrow {

Counts zero_counts(const TableShapes& shapes) {
  shapes.check();
  Counts counts;
  for (const int64_t rows : shapes.rows) counts.emplace_back(rows, 0);
  return counts;
}

void count_ids(const Dataset& data, SampleRange range, const TableShapes& shapes, Counts& counts) {
  SPARROW_CHECK(std::ssize(counts) == shapes.tables(), "counts of other tables");
  for (int t = 0; t < shapes.tables(); ++t)
    SPARROW_CHECK(std::ssize(counts[t]) == shapes.rows[t], "counts of other tables");
  count_lookups(data, {&range, 1}, shapes,
                [&](int t) { return [of_table = counts[t].data()](int64_t id) { ++of_table[id]; }; });
}

void save_histograms(const std::string& folder, const Counts& counts) {
  std::filesystem::create_directories(folder);
  for (size_t t = 0; t < counts.size(); ++t) save_histogram(folder, t, histogram_of(counts[t]));
}

void save_counts(const std::string& folder, const Counts& counts) {
  save_histograms(folder, counts);
  for (size_t t = 0; t < counts.size(); ++t)
    write_npy<int64_t>(counts_file(folder, "table", t), counts[t], {std::ssize(counts[t])});
}

Counts load_counts(const std::string& folder, const std::vector<int64_t>& rows) {
  Counts counts;
  for (size_t t = 0; t < rows.size(); ++t) {
    const NpyFile file(counts_file(folder, "table", t));
    const std::span<const int64_t> values = file.values<int64_t>();
    if (file.shape().size() != 1 || file.rows() != rows[t])
      fail("{}: {} counts, but table {} has {} rows (data.max_rows)", file.path(), values.size(), t, rows[t]);
    const auto negative = std::find_if(values.begin(), values.end(), [](int64_t n) { return n < 0; });
    if (negative != values.end())
      fail("{}: row {} has the count {}", file.path(), negative - values.begin(), *negative);
    counts.emplace_back(values.begin(), values.end());
  }
  return counts;
}

}  // namespace sparrow
