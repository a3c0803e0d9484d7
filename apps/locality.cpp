// sparrow locality CONFIG: runs the assigner on training data and writes, as a profile for `sparrow plan --locality`, what
// it saves on systems of several sizes.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/error.hpp"
#include "base/timer.hpp"
#include "comm/collectives.hpp"
#include "commands.hpp"
#include "config/locality_file.hpp"
#include "planning/training_locality.hpp"
#include "rank_command.hpp"

namespace sparrow {

namespace {

constexpr int64_t kMostRanks = 4096;

/// A system to measure: domains below one of the level above, from the root down, and the batch of a rank.
struct System {
  std::vector<int64_t> children;
  int64_t batch = 0;

  int64_t ranks() const {
    int64_t ranks = 1;
    for (const int64_t n : children) ranks *= n;
    return ranks;
  }
  std::string name() const { return fmt::format("{} of {}", fmt::join(children, "x"), batch); }
};

/// What is asked beside the configuration.
struct Request {
  std::vector<System> systems;
  placement::SampleAssignment assignment;
  bool first_use = true;
  int64_t samples = 0;
  bool whole_run = false;
  std::string data, out;
  bool adds = false;
};

int64_t parse_count(const char* option, std::string_view text, int64_t least, int64_t most) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
    fail("{}: '{}' is not a whole number from {} to {}", option, text, least, most);
  return value;
}

/// "8", or "2x8": 2 nodes of 8 ranks.
std::vector<int64_t> parse_system(std::string_view text) {
  std::vector<int64_t> children;
  int64_t ranks = 1;
  for (size_t begin = 0, end = 0; begin <= text.size(); begin = end + 1) {
    end = std::min(text.find('x', begin), text.size());
    children.push_back(parse_count("--ranks", text.substr(begin, end - begin), 2, kMostRanks));
    ranks *= children.back();
    if (ranks > kMostRanks) fail("--ranks: {} are more than {} ranks", text, kMostRanks);
  }
  return children;
}

cxxopts::Options locality_options() {
  cxxopts::Options options(
      "sparrow locality",
      "Assigns samples of the training data to the ranks that hold their rows, without training, and writes how many\n"
      "rows still move as a profile for `sparrow plan --locality`. Runs alone, or under mpirun: ranks share out what "
      "is\n"
      "to be measured.\n\n"
      "  sparrow locality configs/criteo_terabyte.yaml --ranks 4,8,2x8 --out criteo_terabyte.json\n");
  const auto text = [](const char* value) { return cxxopts::value<std::string>()->default_value(value); };
  auto add = options.add_options();
  add("ranks", "systems to measure: 8 ranks on equal links are 8, 2 nodes of 4 ranks 2x4",
      cxxopts::value<std::vector<std::string>>()->default_value("2,4,8"), "N,AxB,...");
  add("batch-per-rank", "samples of a step on each rank",
      cxxopts::value<std::vector<std::string>>()->default_value("2048"), "B,...");
  add("delay", "batches after which holders are known to the assignment (placement.assignment_delay)", text("1"), "W");
  add("passes", "of refinement (placement.assignment_passes)", text("4"), "N");
  add("holders", "first_use, or arithmetic", text("first_use"), "HOW");
  add("assignment", "local; contiguous: parts of batches as they come, to compare", text("local"), "HOW");
  add("samples", "to assign, at most, for each system", text("524288"), "N");
  add("whole-run", "the samples are all that a run trains on: also its beginning counts");
  add("data", "what the data are, for the file; default: samples and names of files", text(""), "TEXT");
  add("out", "the file to write", text("locality.json"), "FILE");
  add("add", "to what is in that file already");
  return options;
}

/// One of two words.
bool first_of(const cxxopts::ParseResult& given, const char* option, const char* first, const char* second) {
  const auto word = given[option].as<std::string>();
  if (word != first && word != second) fail("--{}: unknown value '{}'; expected: {}, {}", option, word, first, second);
  return word == first;
}

Request read_request(const cxxopts::ParseResult& given) {
  const auto number = [&](const char* option, int64_t least, int64_t most) {
    return parse_count(fmt::format("--{}", option).c_str(), given[option].as<std::string>(), least, most);
  };
  Request request;
  for (const std::string& batch : given["batch-per-rank"].as<std::vector<std::string>>())
    for (const std::string& system : given["ranks"].as<std::vector<std::string>>())
      request.systems.push_back({parse_system(system), parse_count("--batch-per-rank", batch, 1, int64_t{1} << 24)});
  request.assignment.local = first_of(given, "assignment", "local", "contiguous");
  request.assignment.delay = static_cast<int>(number("delay", 1, kMostRanks));
  request.assignment.passes = static_cast<int>(number("passes", 0, 100));
  request.first_use = first_of(given, "holders", "first_use", "arithmetic");
  request.samples = number("samples", 1, int64_t{1} << 40);
  request.whole_run = given.count("whole-run") > 0;
  request.data = given["data"].as<std::string>();
  request.out = given["out"].as<std::string>();
  request.adds = given.count("add") > 0;
  return request;
}

Hierarchy hierarchy_of(const System& system) {
  const auto ranks = static_cast<int>(system.ranks());
  std::vector<std::vector<int>> domain_of(1, std::vector<int>(ranks, 0));
  int below = ranks;
  for (const int64_t children : system.children) {
    below /= static_cast<int>(children);
    std::vector<int>& level = domain_of.emplace_back();
    for (int rank = 0; rank < ranks; ++rank) level.push_back(rank / below);
  }
  return Hierarchy(std::move(domain_of));
}

/// Opened and counted as a run would do it; counts go to a folder that is removed.
TrainingData open_and_count(const RankCommand& rank) {
  namespace fs = std::filesystem;
  const Config& config = rank.config;
  const std::string scratch = config.system.scratch.empty() ? config.output.dir + "/scratch" : config.system.scratch;
  const std::string counts = scratch + "/locality";
  TrainingData data = open_training_data(rank.comm, {rank.mpi.node(), rank.mpi.local_rank(), rank.mpi.local_size()},
                                         config.data, scratch);
  if (rank.comm.rank() == 0) fs::remove_all(counts);
  barrier(rank.comm);
  count_accesses(rank.comm, config.data, {}, counts, data);
  barrier(rank.comm);
  if (rank.comm.rank() == 0) fs::remove_all(counts);
  return data;
}

std::string description(const Config& config, const TrainingData& data, int64_t samples) {
  std::vector<std::string> names;
  for (const ShardIndex& shard : data.train.shards())
    names.push_back(std::filesystem::path(shard.name).filename().string());
  if (names.size() > 3) {
    const size_t more = names.size() - 1;
    names.resize(1);
    names.push_back(fmt::format("{} more", more));
  }
  return fmt::format("{} of {} samples{} of {}", std::min(samples, data.train_range.size()), data.train_range.size(),
                     config.data.generate ? ", generated," : "", fmt::join(names, ", "));
}

placement::LocalityMeasurement measure(const RankCommand& rank, const Request& request, const TrainingData& data,
                                       const System& system) {
  const Timer timer;
  Config config = rank.config;
  config.train.global_batch = system.batch * system.ranks();
  const Hierarchy hierarchy = hierarchy_of(system);
  AssignedSystem asked{.hierarchy = hierarchy, .assignment = request.assignment, .first_use = request.first_use};
  if (request.whole_run)
    asked.run_batches =
        std::max<int64_t>(1, std::min(request.samples, data.train_range.size()) / config.train.global_batch);
  asked.assignment.delay = std::min(asked.assignment.delay, hierarchy.ranks());
  const MeasuredLocality found =
      measure_locality(config, data, asked, request.samples * data.shapes.lookups_per_sample());
  const placement::LocalityMeasurement& m = found.measurement;
  std::string text = fmt::format("{:>14}: {} batches of {},", system.name(), m.batches, m.global_batch);
  const auto samples = static_cast<double>(found.samples);
  for (int l = 0; l < hierarchy.depth(); ++l)
    text += fmt::format(" rows into domains of level {}: {:.3f} a sample ({:.3f} of what chance would move),", l + 1,
                        static_cast<double>(found.moves.into[l]) / samples,
                        static_cast<double>(found.moves.into[l]) / found.by_chance[l]);
  fmt::print("{} busiest rank {:.2f}, {:.2f} us a sample, {:.1f} s\n", text, m.busiest, m.seconds_per_sample * 1e6,
             timer.seconds());
  return m;
}

/// What all ranks measured, in the order in which it was asked for. Rank 0's.
placement::LocalityProfile gather_measurements(Comm& comm, const placement::LocalityProfile& own, size_t systems) {
  const std::vector<std::string> texts = gather(comm, own.measurements.empty() ? "" : write_locality(own), 0);
  std::vector<placement::LocalityProfile> profiles;
  for (const std::string& text : texts)
    profiles.push_back(text.empty() ? placement::LocalityProfile() : parse_locality(text, "measurements of a rank"));
  placement::LocalityProfile all{own.data, {}};
  for (size_t i = 0; i < systems && comm.rank() == 0; ++i)
    all.measurements.push_back(profiles[i % profiles.size()].measurements.at(i / profiles.size()));
  return all;
}

/// Measurements of the same system and batch are replaced.
placement::LocalityProfile added(placement::LocalityProfile before, placement::LocalityProfile all) {
  using placement::LocalityMeasurement;
  const auto same = [](const LocalityMeasurement& a, const LocalityMeasurement& b) {
    return a.domains == b.domains && a.global_batch == b.global_batch;
  };
  std::erase_if(before.measurements, [&](const LocalityMeasurement& old) {
    return std::any_of(all.measurements.begin(), all.measurements.end(),
                       [&](const LocalityMeasurement& m) { return same(old, m); });
  });
  before.measurements.insert(before.measurements.end(), std::make_move_iterator(all.measurements.begin()),
                             std::make_move_iterator(all.measurements.end()));
  if (before.data.find(all.data) == std::string::npos) before.data += "; " + all.data;
  return before;
}

}  // namespace

int run_locality(int argc, char** argv) {
  cxxopts::Options options = locality_options();
  const auto arguments = parse_rank_arguments(options, "YAML file: its training data are read", argc, argv);
  if (!arguments) return 0;
  const Request request = read_request(arguments->given);
  return run_on_ranks("locality", *arguments, [&](const RankCommand& rank) {
    std::optional<placement::LocalityProfile> before;  // read now, that a fault is found before anything is measured
    if (request.adds) before = load_locality(request.out);
    const TrainingData data = open_and_count(rank);
    placement::LocalityProfile own;
    own.data = request.data.empty() ? description(rank.config, data, request.samples) : request.data;
    const size_t ranks = static_cast<size_t>(rank.comm.size());
    for (size_t i = static_cast<size_t>(rank.comm.rank()); i < request.systems.size(); i += ranks)
      own.measurements.push_back(measure(rank, request, data, request.systems[i]));
    placement::LocalityProfile all = gather_measurements(rank.comm, own, request.systems.size());
    if (rank.comm.rank() != 0) return;
    if (before) all = added(*before, std::move(all));
    save_locality(request.out, all);
  });
}

}  // namespace sparrow
