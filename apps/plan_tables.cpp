// How often the rows of each table are used: from counts, or by a law.
#include "base/error.hpp"
#include "config/locality_file.hpp"
#include "plan_request.hpp"
#include "synthetic/presets.hpp"

namespace sparrow {
namespace {

constexpr int64_t kMostTables = 10'000;

PlanTables load_counts(const PlanRequest& request) {
  PlanTables tables;
  for (int64_t t = 0; t < kMostTables; ++t) {
    const auto histogram = load_histogram(request.counts, t);
    if (!histogram) break;
    tables.add(fmt::format("table_{:02}", t),
               request.sampled ? from_sample(*histogram, rows_of(*histogram)) : from_histogram(*histogram));
  }
  if (tables.access.empty()) fail("{}: neither histogram_00.npy nor table_00.npy is there", request.counts);
  return tables;
}

PlanTables make_tables(const PlanRequest& request) {
  PlanTables tables;
  const auto preset = find_preset(request.tables);
  if (!preset && request.distribution.empty())
    fail("--tables {}: a list of rows needs --distribution LAW", request.tables);
  if (!preset && request.multi_hot) fail("--bag-sizes multi-hot: known for criteo-terabyte only; give numbers");
  std::optional<Law> law;
  if (!request.distribution.empty()) law = parse_law(request.distribution);
  if (!preset)
    for (const int64_t rows : parse_table_rows(request.tables))
      tables.add(fmt::format("T{}", tables.names.size() + 1), from_law(*law, rows));
  else
    for (const auto& table : *preset)
      tables.add(table.name, law ? from_law(*law, table.rows) : preset_distribution(table),
                 request.multi_hot ? static_cast<double>(table.multi_hot) : 1);
  return tables;
}

}  // namespace

PlanTables load_plan_tables(const PlanRequest& request) {
  PlanTables tables = request.counts.empty() ? make_tables(request) : load_counts(request);
  if (!request.locality.empty()) tables.locality = load_locality(request.locality);
  return tables;
}

}  // namespace sparrow
