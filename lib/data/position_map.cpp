#include "data/position_map.hpp"

#include <algorithm>
#include <filesystem>

#include "base/error.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {
namespace {

std::string file_name(const std::string& folder, size_t table) {
  return (std::filesystem::path(folder) / fmt::format("positions_{:02}.npy", table)).string();
}

/// The position of each id of one table. Counts below kSmall, which nearly all rows have, are sorted by counting:
/// O(rows).
std::vector<int32_t> positions_by_count(const std::vector<int64_t>& counts) {
  constexpr int64_t kSmall = 1 << 16;
  std::vector<int32_t> large;  // ids
  std::vector<int64_t> next(kSmall + 1,
                            0);  // next[c]: first of the rows of count c, then the next free position among them
  for (size_t id = 0; id < counts.size(); ++id) {
    const int64_t count = counts[id];
    if (count < 0) fail("counts: row {} has the count {}", id, count);
    if (count >= kSmall) {
      large.push_back(static_cast<int32_t>(id));
    } else {
      ++next[count];
    }
  }
  std::stable_sort(large.begin(), large.end(), [&](int32_t a, int32_t b) { return counts[a] > counts[b]; });
  int64_t before = static_cast<int64_t>(large.size());
  for (auto group = next.rbegin(); group != next.rend(); ++group) before += std::exchange(*group, before);

  std::vector<int32_t> positions(counts.size());
  for (size_t p = 0; p < large.size(); ++p) positions[large[p]] = static_cast<int32_t>(p);
  for (size_t id = 0; id < counts.size(); ++id)
    if (counts[id] < kSmall) positions[id] = static_cast<int32_t>(next[counts[id]]++);
  return positions;
}

bool is_identity(std::span<const int32_t> permutation) {
  for (size_t i = 0; i < permutation.size(); ++i)
    if (permutation[i] != static_cast<int32_t>(i)) return false;
  return true;
}

void check_permutation(const std::string& path, std::span<const int32_t> values) {
  std::vector<bool> seen(values.size(), false);
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t value = values[i];
    if (value < 0 || value >= static_cast<int64_t>(values.size()) || seen[value])
      fail("{}: no permutation: value {} at {} is out of range or there twice", path, value, i);
    seen[value] = true;
  }
}

}  // namespace

PositionMap::PositionMap(std::vector<int64_t> rows) : rows_(std::move(rows)), views_(rows_.size()) {
  for (size_t t = 0; t < rows_.size(); ++t)
    if (rows_[t] < 1 || rows_[t] > TableShapes::kMaxRows) fail("table {}: {} rows", t, rows_[t]);
}

PositionMap PositionMap::by_count(const std::vector<std::vector<int64_t>>& counts) {
  std::vector<std::vector<int32_t>> positions;
  for (const std::vector<int64_t>& table : counts) positions.push_back(positions_by_count(table));
  return of(std::move(positions));
}

PositionMap PositionMap::of(std::vector<std::vector<int32_t>> positions) {
  std::vector<int64_t> rows;
  for (const std::vector<int32_t>& table : positions) rows.push_back(static_cast<int64_t>(table.size()));
  PositionMap map(std::move(rows));
  for (size_t t = 0; t < positions.size(); ++t) {
    check_permutation(fmt::format("positions of table {}", t), positions[t]);
    if (sparrow::is_identity(positions[t])) positions[t] = {};
    map.views_[t] = map.owned_.emplace_back(std::move(positions[t]));
  }
  return map;
}

PositionMap PositionMap::load(const std::string& folder, const std::vector<int64_t>& rows) {
  PositionMap map(rows);
  for (size_t t = 0; t < rows.size(); ++t) {
    const NpyFile& file = map.files_.emplace_back(file_name(folder, t));
    const std::span<const int32_t> values = file.values<int32_t>();
    if (!values.empty() && static_cast<int64_t>(values.size()) != rows[t])
      fail("{}: {} positions, but table {} has {} rows", file.path(), values.size(), t, rows[t]);
    check_permutation(file.path(), values);
    map.views_[t] = values;
  }
  return map;
}

void PositionMap::save(const std::string& folder) const {
  std::filesystem::create_directories(folder);
  for (size_t t = 0; t < views_.size(); ++t)
    write_npy(file_name(folder, t), views_[t], {static_cast<int64_t>(views_[t].size())});
}

PositionMap PositionMap::inverse() const {
  PositionMap map(rows_);
  for (size_t t = 0; t < views_.size(); ++t) {
    std::vector<int32_t>& ids = map.owned_.emplace_back(views_[t].size());
    for (size_t id = 0; id < views_[t].size(); ++id) ids[views_[t][id]] = static_cast<int32_t>(id);
    map.views_[t] = ids;
  }
  return map;
}

}  // namespace sparrow
