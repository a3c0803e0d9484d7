// sparrow count: how often each row of each table is looked up, for plans and positions.
#include <unistd.h>

#include <algorithm>
#include <cxxopts.hpp>
#include <filesystem>

#include "access/counts.hpp"
#include "access/training_data.hpp"
#include "base/error.hpp"
#include "base/timer.hpp"
#include "commands.hpp"

namespace sparrow {
namespace {

/// A folder for decompressed files, removed with everything in it.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& parent)
      : path_(std::filesystem::path(parent) / fmt::format(".scratch.{}", ::getpid())) {}
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

cxxopts::Options count_options() {
  cxxopts::Options options(
      "sparrow count",
      "Counts how often each row of each table is looked up and writes, per table, the counts by row "
      "id (table_00.npy ...) and a histogram of them (histogram_00.npy ...).");
  options.positional_help("FILES...");
  cxxopts::OptionAdder add = options.add_options();
  add("out", "folder for the counts files", cxxopts::value<std::string>(), "DIR");
  add("samples", "count the first N samples only; 0: all", cxxopts::value<int64_t>()->default_value("0"), "N");
  add("max-rows", "most rows of a table: one number, or 26 separated by commas (data.max_rows)",
      cxxopts::value<std::vector<int64_t>>()->default_value("1000000"), "N,...");
  add("bag-sizes", "lookups per table: one number, or 26 separated by commas (data.bag_sizes)",
      cxxopts::value<std::vector<int>>(), "N,...");
  add("skip-bad-lines", "malformed lines to tolerate", cxxopts::value<int64_t>()->default_value("0"), "N");
  add("scratch", "folder for decompressed gzip files; default: --out", cxxopts::value<std::string>(), "DIR");
  add("files", "shards or globs: *.tsv, *.txt, day_N, the same with .gz, *_dense.npy",
      cxxopts::value<std::vector<std::string>>());
  add("h,help", "print this");
  options.parse_positional("files");
  return options;
}

TableShapes shapes_of(const cxxopts::ParseResult& arguments) {
  DataOptions options;
  options.max_rows = arguments["max-rows"].as<std::vector<int64_t>>();
  if (arguments.count("bag-sizes") > 0) options.bag_sizes = arguments["bag-sizes"].as<std::vector<int>>();
  return table_shapes(options);
}

void print_summary(const Counts& counts, int64_t samples, int64_t bad_lines, double seconds) {
  fmt::print("{:>5} {:>12} {:>12} {:>14} {:>14}\n", "table", "rows", "rows seen", "lookups", "of the hottest");
  for (size_t t = 0; t < counts.size(); ++t) {
    int64_t seen = 0, lookups = 0, most = 0;
    for (const int64_t count : counts[t]) {
      seen += count > 0;
      lookups += count;
      most = std::max(most, count);
    }
    fmt::print("{:>5} {:>12} {:>12} {:>14} {:>14}\n", t, counts[t].size(), seen, lookups, most);
  }
  fmt::print("{} samples in {:.1f} s", samples, seconds);
  if (bad_lines > 0) fmt::print(", {} malformed lines left out", bad_lines);
  fmt::print("\n");
}

}  // namespace

int run_count(int argc, char** argv) {
  cxxopts::Options options = count_options();
  const cxxopts::ParseResult arguments = options.parse(argc, argv);
  if (arguments.count("help") > 0) {
    fmt::print("{}\n", options.help());
    return 0;
  }
  if (arguments.count("out") == 0) fail("--out is missing (sparrow count --help)");
  if (arguments.count("files") == 0) fail("no files are named (sparrow count --help)");
  const std::string out = arguments["out"].as<std::string>();
  const int64_t samples = arguments["samples"].as<int64_t>();
  if (samples < 0) fail("--samples {}: must be 0 or more", samples);
  const TableShapes shapes = shapes_of(arguments);

  const Timer timer;
  const ScratchFolder scratch(arguments.count("scratch") > 0 ? arguments["scratch"].as<std::string>() : out);
  const Dataset data = open_dataset(arguments["files"].as<std::vector<std::string>>(),
                                    {scratch.path(), arguments["skip-bad-lines"].as<int64_t>()});
  const SampleRange range{0, samples == 0 ? data.samples() : std::min(samples, data.samples())};
  Counts counts = zero_counts(shapes);
  count_ids(data, range, shapes, counts);
  save_counts(out, counts);
  print_summary(counts, range.size(), data.bad_lines(), timer.seconds());
  return 0;
}

}  // namespace sparrow
