// How often the rows of each table are used: from counts, or by a law.
#include <filesystem>

#include "base/error.hpp"
#include "data/npy.hpp"
#include "data/npy_stream.hpp"
#include "plan_request.hpp"
#include "synthetic/presets.hpp"

namespace sparrow {
namespace {

using placement::CountBin;

constexpr int64_t kMostTables = 10'000;

std::string counts_file(const std::string& folder, const char* kind, int64_t table) {
  return (std::filesystem::path(folder) / fmt::format("{}_{:02}.npy", kind, table)).string();
}

std::vector<CountBin> read_histogram(const std::string& path) {
  const NpyFile file(path);
  if (file.columns() != 2) fail("{}: {} columns, 2 expected (count, rows)", path, file.columns());
  const auto values = file.values<int64_t>();
  std::vector<CountBin> bins;
  for (size_t i = 0; i + 1 < values.size(); i += 2) {
    if (values[i] < 0 || values[i + 1] < 1)
      fail("{}: group {}: {} rows of count {}", path, i / 2, values[i + 1], values[i]);
    bins.push_back({values[i], values[i + 1]});
  }
  if (bins.empty()) fail("{}: no rows", path);
  return bins;
}

std::vector<CountBin> read_counts(const std::string& path) {
  NpyStream file(path);
  if (file.columns() != 1 || file.rows() < 1)
    fail("{}: shape ({}, {}), one count per row expected", path, file.rows(), file.columns());
  placement::CountHistogram histogram;
  try {
    for (auto values = file.next(); !values.empty(); values = file.next()) histogram.add(values);
  } catch (const Error& error) {
    fail("{}: {}", path, error.what());
  }
  return histogram.bins();
}

int64_t total_rows(const std::vector<CountBin>& bins) {
  int64_t rows = 0;
  for (const CountBin& bin : bins)
    if (__builtin_add_overflow(rows, bin.rows, &rows)) fail("counts: more rows than 2^63");
  return rows;
}

PlanTables load_counts(const PlanRequest& request) {
  PlanTables tables;
  for (int64_t t = 0; t < kMostTables; ++t) {
    std::string path = counts_file(request.counts, "histogram", t);
    const bool has_histogram = std::filesystem::exists(path);
    if (!has_histogram) path = counts_file(request.counts, "table", t);
    if (!std::filesystem::exists(path)) break;
    const auto bins = has_histogram ? read_histogram(path) : read_counts(path);
    try {
      tables.add(fmt::format("table_{:02}", t),
                 request.sampled ? placement::from_sample(bins, total_rows(bins)) : placement::from_histogram(bins));
    } catch (const Error& error) {
      fail("{}: {}", path, error.what());
    }
  }
  if (tables.access.empty()) fail("{}: neither histogram_00.npy nor table_00.npy is there", request.counts);
  return tables;
}

PlanTables make_tables(const PlanRequest& request) {
  PlanTables tables;
  const auto preset = placement::find_preset(request.tables);
  if (!preset && request.distribution.empty())
    fail("--tables {}: a list of rows needs --distribution LAW", request.tables);
  if (!preset && request.multi_hot) fail("--bag-sizes multi-hot: known for criteo-terabyte only; give numbers");
  std::optional<placement::Law> law;
  if (!request.distribution.empty()) law = placement::parse_law(request.distribution);
  if (!preset)
    for (const int64_t rows : placement::parse_table_rows(request.tables))
      tables.add(fmt::format("T{}", tables.names.size() + 1), placement::from_law(*law, rows));
  else
    for (const auto& table : *preset)
      tables.add(table.name, law ? placement::from_law(*law, table.rows) : placement::preset_distribution(table),
                 request.multi_hot ? static_cast<double>(table.multi_hot) : 1);
  return tables;
}

}  // namespace

PlanTables load_plan_tables(const PlanRequest& request) {
  return request.counts.empty() ? make_tables(request) : load_counts(request);
}

}  // namespace sparrow
