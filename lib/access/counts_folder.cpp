#include "access/counts_folder.hpp"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.hpp"
#include "data/npy.hpp"

namespace sparrow {
namespace {

constexpr int64_t kChunk = 1024;

std::string file_name(const std::string& folder, const char* what, size_t table) {
  return (std::filesystem::path(folder) / fmt::format("{}_{:02}.npy", what, table)).string();
}

void count_table(int table, const TableShapes& shapes, const uint32_t* values, int64_t samples,
                 std::vector<int64_t>& counts) {
  const int64_t rows = shapes.rows[table];
  const Modulo modulo(static_cast<uint32_t>(rows));
  for (int64_t i = 0; i < samples; ++i) {
    const uint32_t id = modulo(values[i]);
    ++counts[id];
    for (int j = 1; j < shapes.bag_size(table); ++j) ++counts[bag_id(table, id, j, rows)];
  }
}

}  // namespace

Counts zero_counts(const TableShapes& shapes) {
  shapes.check();
  Counts counts;
  for (const int64_t rows : shapes.rows) counts.emplace_back(rows, 0);
  return counts;
}

void count_ids(const Dataset& data, SampleRange range, const TableShapes& shapes, Counts& counts) {
  shapes.check();
  for (int t = 0; t < shapes.tables(); ++t) {
    SPARROW_CHECK(counts.size() == shapes.rows.size() && static_cast<int64_t>(counts[t].size()) == shapes.rows[t],
                  "counts of other tables");
  }
  SampleBlock block(kChunk);
  for (int64_t first = range.first; first < range.last; first += kChunk) {
    const int64_t samples = std::min(kChunk, range.last - first);
    data.read(first, samples, block.target());
    for (int t = 0; t < shapes.tables(); ++t) count_table(t, shapes, block.table(t), samples, counts[t]);
  }
}

std::vector<CountGroup> count_histogram(const std::vector<int64_t>& counts) {
  constexpr int64_t kSmall = 1 << 16;
  std::vector<int64_t> small(kSmall, 0);
  std::map<int64_t, int64_t, std::greater<>> large;
  for (const int64_t count : counts) {
    if (count < kSmall) {
      ++small[count];
    } else {
      ++large[count];
    }
  }
  std::vector<CountGroup> groups;
  for (const auto& [count, rows] : large) groups.push_back({count, rows});
  for (int64_t count = kSmall - 1; count >= 0; --count)
    if (small[count] > 0) groups.push_back({count, small[count]});
  return groups;
}

void save_histograms(const std::string& folder, const Counts& counts) {
  std::filesystem::create_directories(folder);
  for (size_t t = 0; t < counts.size(); ++t) {
    const std::vector<CountGroup> groups = count_histogram(counts[t]);
    std::vector<int64_t> flat;
    for (const CountGroup& group : groups) flat.insert(flat.end(), {group.count, group.rows});
    write_npy<int64_t>(file_name(folder, "histogram", t), flat, {static_cast<int64_t>(groups.size()), 2});
  }
}

void save_counts(const std::string& folder, const Counts& counts) {
  save_histograms(folder, counts);
  for (size_t t = 0; t < counts.size(); ++t)
    write_npy<int64_t>(file_name(folder, "table", t), counts[t], {static_cast<int64_t>(counts[t].size())});
}

Counts load_counts(const std::string& folder, const std::vector<int64_t>& rows) {
  Counts counts;
  for (size_t t = 0; t < rows.size(); ++t) {
    const NpyFile file(file_name(folder, "table", t));
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

std::vector<std::vector<CountGroup>> load_histograms(const std::string& folder, const std::vector<int64_t>& rows) {
  std::vector<std::vector<CountGroup>> histograms;
  for (size_t t = 0; t < rows.size(); ++t) {
    const NpyFile file(file_name(folder, "histogram", t));
    const std::span<const int64_t> values = file.values<int64_t>();
    if (file.columns() != 2) fail("{}: {} columns, 2 expected (count, rows)", file.path(), file.columns());
    std::vector<CountGroup>& groups = histograms.emplace_back();
    int64_t left = rows[t];
    for (size_t i = 0; i < values.size(); i += 2) {
      const CountGroup group{values[i], values[i + 1]};
      const bool falling = groups.empty() || group.count < groups.back().count;
      if (group.count < 0 || group.rows < 1 || group.rows > left || !falling) {
        fail("{}: group {} ({} rows of count {}) is out of order or beyond the {} rows of table {}", file.path(), i / 2,
             group.rows, group.count, rows[t], t);
      }
      left -= group.rows;
      groups.push_back(group);
    }
    if (left != 0) fail("{}: {} rows of table {} are missing", file.path(), left, t);
  }
  return histograms;
}

}  // namespace sparrow
