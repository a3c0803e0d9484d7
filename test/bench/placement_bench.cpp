// How long planning takes: full Criteo Terabyte (26 tables, 882,774,559 rows) on 16 nodes of 8 GPUs, from a law, from
// histograms with up to 25,000 classes a table, from int64 counts files; and 2,048 nodes of 8 from the law. Prints a
// line each. usage: placement_bench [--counts ROWS]   ROWS: rows in all of the 26 counts files, which are written to
// the current folder and removed: the real size is 882774559 (7 GB); 0: left out
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "access/distributions.hpp"
#include "apps/plan_request.hpp"
#include "base/error.hpp"
#include "base/timer.hpp"
#include "data/npy.hpp"
#include "placement/placement.hpp"

using namespace sparrow;
using namespace sparrow::placement;

namespace {

Port link(double bytes_per_s, double latency_s, int first_stage, int last_stage) {
  Port port;
  port.in_bytes_per_s = port.out_bytes_per_s = bytes_per_s;
  port.latency_s = latency_s;
  port.overhead_s = 1e-7;
  port.first_stage = first_stage;
  port.last_stage = last_stage;
  return port;
}

/// Nodes of 8 GPUs, 16 GB for rows each, with host memory; pods of 64 nodes above them when there are many. Round
/// figures.
Topology cluster(int64_t nodes) {
  Topology topology;
  topology.name = fmt::format("{} x 8", nodes);
  Domain root, pod, node, gpu;
  root.name = "cluster";
  topology.domains.push_back(root);
  if (nodes > 64) {
    pod.name = "pod";
    pod.parent = 0;
    pod.count = nodes / 64;
    pod.ports = {link(3.2e12, 8e-6, 1, 0)};
    topology.domains.push_back(pod);
    nodes = 64;
  }
  node.name = "node";
  node.parent = static_cast<int>(topology.domains.size()) - 1;
  node.count = nodes;
  node.ports = {link(2e11, 5e-6, 1, 0)};
  node.stores = {{"host", int64_t{1} << 40, 2e11, 1e-5, 1}};
  topology.domains.push_back(node);
  const int inner = node.parent + 1;
  gpu.name = "gpu";
  gpu.parent = inner;
  gpu.count = 8;
  gpu.ports = {link(2e11, 3e-6, inner + 1, 0), link(2.5e10, 0, 1, inner)};
  gpu.stores = {{"device", 16000000000, 2e12, 0, 1}};
  gpu.flops_per_s = 1e14;
  gpu.work = {5e9, 1e12, 1e12, 1e12};
  topology.domains.push_back(gpu);
  return topology;
}

Workload terabyte(const std::vector<TableDistribution>& tables) {
  Workload workload;
  workload.global_batch = 65536;
  workload.dense_bytes = 1e7;
  workload.flops_per_sample = 1.5e7;
  workload.sized_buffers = true;
  for (size_t t = 0; t < tables.size(); ++t) {
    Table table;
    table.name = fmt::format("C{}", t + 1);
    table.row_bytes = table.wire_bytes = 512;
    table.access = tables[t];
    workload.tables.push_back(std::move(table));
  }
  return workload;
}

void report(const std::string& what, const Topology& topology, const std::vector<TableDistribution>& tables,
            double reading) {
  const Timer timer;
  const Workload workload = terabyte(tables);
  const Solution solution = solve(topology, workload);
  const double seconds = timer.seconds();
  size_t classes = 0;
  int64_t rows = 0;
  for (const TableDistribution& table : tables) {
    classes += table.classes();
    rows += table.total_rows();
  }
  fmt::print("{:34} {:>12} rows {:>7} classes  distribution {:7.3f} s  plan {:7.3f} s  T {:8.1f} us  gap {:.2g}\n",
             what, rows, classes, reading, seconds, solution.cost.seconds * 1e6, solution.gap);
}

std::vector<TableDistribution> from_presets() {
  std::vector<TableDistribution> tables;
  const auto preset = find_preset("criteo-terabyte");
  SPARROW_CHECK(preset.has_value());
  for (const PresetTable& table : *preset) tables.push_back(preset_distribution(table));
  return tables;
}

/// Counts of 4.4e9 lookups as a histogram: each row's count is its expectation, up to 25,000 different ones a table.
std::vector<Histogram> histograms(const std::vector<TableDistribution>& tables) {
  std::vector<Histogram> result;
  for (const TableDistribution& table : tables) {
    std::map<int64_t, int64_t, std::greater<>> rows;  // by count
    for (size_t c = 0; c < table.classes(); ++c) {
      const double count = 4.4e9 * table.p[0][c];
      const int64_t parts = std::min<int64_t>(table.rows[c], 60);  // a class of the law has rows of unlike counts
      for (int64_t i = 0; i < parts; ++i)
        rows[static_cast<int64_t>(count * (1.02 - 0.04 * static_cast<double>(i) / static_cast<double>(parts)))] +=
            table.rows[c] * (i + 1) / parts - table.rows[c] * i / parts;
    }
    Histogram& histogram = result.emplace_back();
    for (const auto& [of_count, n] : rows) histogram.push_back({of_count, n});
  }
  return result;
}

/// Counts files as `sparrow count` writes them: every table of the preset with its rows, or `rows` in all, each row
/// with the count its law expects. Ids are ranked by use or in no order.
void write_counts(const std::filesystem::path& folder, const std::vector<TableDistribution>& tables, int64_t rows,
                  bool ranked) {
  int64_t all = 0;
  for (const TableDistribution& table : tables) all += table.total_rows();
  const double part = std::min(1.0, static_cast<double>(rows) / static_cast<double>(all));
  for (size_t t = 0; t < tables.size(); ++t) {
    const TableDistribution& table = tables[t];
    std::vector<int64_t> counts;
    for (size_t c = 0; c < table.classes(); ++c) {
      const auto n = static_cast<size_t>(std::ceil(part * static_cast<double>(table.rows[c])));
      const double count = 4.4e9 * table.p[0][c];
      for (size_t i = 0; i < n; ++i)
        counts.push_back(static_cast<int64_t>(count * (1.02 - 0.04 * static_cast<double>(i) / static_cast<double>(n))));
    }
    if (!ranked)  // neighbours in a file come from far apart
      for (size_t i = 0, j = 0; i < counts.size(); ++i, j = (j + 1000003) % counts.size())
        std::swap(counts[i], counts[j]);
    NpyWriter writer((folder / fmt::format("table_{:02}.npy", t)).string(), NpyType::int64,
                     {static_cast<int64_t>(counts.size())});
    writer.append<int64_t>(counts);
    writer.finish();
  }
}

/// `sparrow plan --counts` itself, from the files in the page cache.
void from_counts_files(const std::string& name, const std::vector<TableDistribution>& law, int64_t rows, bool ranked) {
  const std::filesystem::path folder = "placement_bench_counts";
  std::filesystem::create_directories(folder);
  write_counts(folder, law, rows, ranked);
  PlanRequest request;
  request.counts = folder.string();
  const Timer timer;
  const PlanTables tables = load_plan_tables(request);
  const double seconds = timer.seconds();
  std::filesystem::remove_all(folder);
  report(name, cluster(16), tables.access, seconds);
  int64_t read = 0;
  for (const TableDistribution& table : tables.access) read += table.total_rows();
  fmt::print("{:34} {:.0f} M rows/s; at that rate all 882,774,559 rows take {:.2f} s to read\n", "",
             static_cast<double>(read) / seconds * 1e-6, 882774559 / (static_cast<double>(read) / seconds));
}

void run(int argc, char** argv) {
  int64_t counts_rows = 100000000;
  if (argc == 3 && std::string(argv[1]) == "--counts") counts_rows = std::strtoll(argv[2], nullptr, 10);
  Timer timer;
  const std::vector<TableDistribution> law = from_presets();
  const double making = timer.seconds();
  report("16 x 8, fitted law", cluster(16), law, making);
  report("2,048 x 8, fitted law", cluster(2048), law, making);
  const auto bins = histograms(law);
  timer.restart();
  std::vector<TableDistribution> counted;
  for (const auto& table : bins) counted.push_back(from_histogram(table));
  report("16 x 8, histograms", cluster(16), counted, timer.seconds());
  if (counts_rows == 0) return;
  from_counts_files("16 x 8, counts files, ids ranked", law, counts_rows, true);
  from_counts_files("16 x 8, counts files, in no order", law, counts_rows, false);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
