// sparrow generate: writes shards with the shape of Criteo's data, and compares shards with what was measured of it.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cxxopts.hpp>
#include <filesystem>
#include <string_view>
#include <thread>

#include "base/error.hpp"
#include "base/timer.hpp"
#include "commands.hpp"
#include "config/config.hpp"
#include "data/shard_index.hpp"
#include "overrides.hpp"
#include "synthetic/generator.hpp"
#include "synthetic/generator_report.hpp"

namespace sparrow {
namespace {

constexpr const char* kNotes =
    "\nUnder mpirun the ranks share the shards out; the bytes are the same for every number of ranks and "
    "threads.\n"
    "A folder that already has these shards is left unchanged, and an interrupted run continues where it stopped.\n";

/// A number of the launcher's environment, so that this command needs no MPI.
int launch_number(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names) {
    const char* text = std::getenv(name);
    int value = 0;
    if (text != nullptr && std::from_chars(text, text + std::string_view(text).size(), value).ec == std::errc())
      return value;
  }
  return otherwise;
}

cxxopts::Options describe_options() {
  cxxopts::Options options(
      "sparrow generate", "Writes shards with the shape of Criteo Terabyte or Kaggle, or compares shards with them.\n");
  options.custom_help(
      "--out DIR --samples N [OPTION...]   or   --check FILE [FILE...] [--like kaggle]   or   --config FILE");
  options.positional_help("");
  auto add = options.add_options();
  add("out", "folder for the shards (with --check: for report.json)", cxxopts::value<std::string>(), "DIR");
  add("samples", "samples in all shards together", cxxopts::value<int64_t>(), "N");
  add("shards", "number of shards", cxxopts::value<int>()->default_value("1"), "S");
  add("seed", "seed of the random numbers", cxxopts::value<uint64_t>()->default_value("1"), "SEED");
  add("format", "tsv or npy", cxxopts::value<std::string>()->default_value("tsv"), "FORMAT");
  add("gzip", "compress the text");
  add("scale", "factor of the number of categories in every table", cxxopts::value<double>()->default_value("1"), "F");
  add("like", "data set to imitate: terabyte or kaggle", cxxopts::value<std::string>()->default_value("terabyte"),
      "SET");
  add("threads", "threads; 0 = cores of the machine / ranks on it", cxxopts::value<int>()->default_value("0"), "T");
  add("overwrite", "replace shards generated with other arguments");
  add("report", "compare the samples with what was measured; prints a table, writes DIR/report.json");
  add("check", "only compare these shards (*.tsv, *.gz, day_N, *_dense.npy)");
  add("check-samples", "samples to compare", cxxopts::value<int64_t>()->default_value("200000"), "N");
  add("config", "instead of --out and the rest: what data.generate of this configuration names, if anything",
      cxxopts::value<std::string>(), "FILE");
  add("set", "override a key of the configuration (repeatable)", cxxopts::value<std::string>(), "KEY=VALUE");
  add("help", "this text");
  add("files", "", cxxopts::value<std::vector<std::string>>());
  options.parse_positional({"files"});
  return options;
}

/// Returns the exit code: 0 if everything holds.
int report(const std::vector<std::string>& files, CriteoSet set, int64_t samples, const std::string& folder) {
  const RawSamples found = read_samples(files, samples);
  const std::string like(word_of(set).text);
  const std::vector<ReportRow> rows = compare(found, criteo_statistics(like));
  fmt::print("Compared with what was measured of Criteo {}, {} samples:\n{}", like, found.size(), format_report(rows));
  if (!folder.empty()) write_report(rows, found.size(), like, folder + "/report.json");
  const auto failed = std::ranges::count_if(rows, [](const ReportRow& row) { return !row.holds(); });
  fmt::print("{} of {} statistics within tolerance\n", std::ssize(rows) - failed, rows.size());
  return failed == 0 ? 0 : 1;
}

CriteoSet like_of(const cxxopts::ParseResult& given) {
  return parse_word<CriteoSet>("--like", given["like"].as<std::string>());
}

GenerateOptions read_options(const cxxopts::ParseResult& given) {
  for (const char* needed : {"out", "samples"})
    if (given.count(needed) == 0) fail("--{} is missing (sparrow generate --help)", needed);
  GenerateOptions options{.out = given["out"].as<std::string>(),
                          .samples = given["samples"].as<int64_t>(),
                          .shards = given["shards"].as<int>(),
                          .seed = given["seed"].as<uint64_t>(),
                          .scale = given["scale"].as<double>(),
                          .format = parse_word<GeneratedFormat>("--format", given["format"].as<std::string>()),
                          .gzip = given["gzip"].as<bool>(),
                          .like = like_of(given)};
  check_generate_options(options);
  return options;
}

int thread_count(int asked) {
  if (asked < 0) fail("--threads {}: not negative", asked);
  if (asked > 0) return asked;
  const int ranks = launch_number({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}, 1);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / std::max(ranks, 1));
}

void print_written(const GenerateOptions& options, double seconds) {
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(options.out))
    if (entry.path().filename().string().starts_with("day_")) bytes += static_cast<int64_t>(entry.file_size());
  fmt::print("{}: {} samples in {} shards, {:.1f} MB, {:.1f} bytes per sample, {:.1f} s\n", options.out,
             options.samples, options.shards, static_cast<double>(bytes) * 1e-6,
             static_cast<double>(bytes) / static_cast<double>(options.samples), seconds);
}

}  // namespace

int run_generate(int argc, char** argv) {
  cxxopts::Options described = describe_options();
  std::vector<char*> rest;
  const std::vector<std::string> overrides = take_overrides(argc, argv, rest);
  const cxxopts::ParseResult given = [&] {
    try {
      return described.parse(static_cast<int>(rest.size()), rest.data());
    } catch (const cxxopts::exceptions::exception& error) {
      fail("{} (sparrow generate --help)", error.what());
    }
  }();
  if (given.count("help") != 0) {
    fmt::print("{}{}", described.help(), kNotes);
    return 0;
  }
  const auto files =
      given.count("files") != 0 ? given["files"].as<std::vector<std::string>>() : std::vector<std::string>();
  const int64_t compared = given["check-samples"].as<int64_t>();
  if (compared < 1) fail("--check-samples {}: at least 1", compared);
  if (given.count("check") != 0) {
    const std::string folder = given.count("out") != 0 ? given["out"].as<std::string>() : "";
    return report(expand_files(files), like_of(given), compared, folder);
  }
  if (!files.empty()) fail("unexpected argument '{}'; --check compares files (sparrow generate --help)", files[0]);

  const std::optional<GenerateOptions> asked =
      given.count("config") != 0 ? load_config(given["config"].as<std::string>(), overrides).data.generate
                                 : read_options(given);
  if (!asked) return 0;  // the configuration brings its own data
  const GenerateOptions& options = *asked;
  const int rank = launch_number({"OMPI_COMM_WORLD_RANK", "PMI_RANK"}, 0);
  const int ranks = launch_number({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, 1);
  if (rank < 0 || rank >= ranks) fail("the launcher reports rank {} of {}", rank, ranks);
  const bool there = is_generated(options);
  if (there && rank == 0) fmt::print("{}: already exists\n", options.out);
  const Timer timer;
  const bool whole =
      there ? rank == 0
            : generate(options, rank, ranks, thread_count(given["threads"].as<int>()), given["overwrite"].as<bool>());
  if (!whole) return 0;
  if (!there) print_written(options, timer.seconds());
  return given.count("report") != 0 ? report(generated_files(options), options.like, compared, options.out) : 0;
}

}  // namespace sparrow
