// Locality profiles as files: the same comes back, and nothing else is taken for one. And where a run keeps its own.
#include "config/locality_file.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "access/counts.hpp"
#include "access/distributions.hpp"
#include "config/config.hpp"
#include "placement/cost/cost.hpp"
#include "planning/plan_run.hpp"
#include "planning/training_locality.hpp"
#include "test/data/support.hpp"
#include "test/planning/trees.hpp"
#include "test/support/thread_comm.hpp"

using namespace sparrow;
using namespace sparrow::test;
using placement::LocalityMeasurement;
using placement::LocalityProfile;

namespace {

LocalityProfile small_profile() {
  LocalityMeasurement m;
  m.domains = {2, 8};
  m.global_batch = 4096;
  m.delay = 3;
  m.passes = 2;
  m.generated = true;
  m.batches = 12;
  m.first_counted = 4;
  m.busiest = 1.07;
  m.new_row_bytes = 2.25;
  m.seconds_per_sample = 1.5e-6;
  m.tables = {{{0.25, 300, 0.5, {{0.125, 0.25}, {0.5, 0.75}}, {{0, 0.01}, {0.5, 0.5}}},
               {8, 200, 0, {{0.5, 0.75}, {1, 1}}, {{0.5, 0.75}, {1, 1}}}},
              {}};
  LocalityProfile profile{"12 samples of \"x\"", {m, m}};
  profile.measurements[1].domains = {4, 4};
  profile.measurements[1].first_use = false;
  return profile;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), with);
}

/// The real sample, or "".
std::string real_rows() {
  const char* shared = std::getenv("SPARROW_SHARED");
  const std::string path =
      fmt::format("{}/data/kaggle_sample.tsv.gz", shared != nullptr ? shared : SPARROW_SHARED_DEFAULT);
  if (std::filesystem::exists(path)) return path;
  std::printf("skipped: %s is not there\n", path.c_str());
  return "";
}

/// Data opened and counted, as a run of one rank would.
TrainingData opened(const RunOptions& options, const std::string& folder) {
  const TableShapes shapes = table_shapes(options.data);
  TrainingData data{open_dataset(options.data.train, {folder + "/scratch", 0}),
                    {},
                    {},
                    {},
                    shapes,
                    PositionMap(shapes.rows),
                    PositionMap(shapes.rows),
                    {},
                    {}};
  data.train_range = data.train.all();
  Counts counts = zero_counts(shapes);
  count_ids(data.train, data.train_range, shapes, counts);
  data.positions = PositionMap::by_count(counts);
  data.ids = data.positions.inverse();
  for (const auto& table : counts) data.counts.tables.push_back(from_histogram(histogram_of(table)));
  return data;
}

}  // namespace

TEST_CASE("TheSameProfileComesBack") {
  const LocalityProfile profile = small_profile();
  const std::string text = write_locality(profile);
  const LocalityProfile back = parse_locality(text, "file");
  CHECK(write_locality(back) == text);
  CHECK(back.data == profile.data);
  REQUIRE(back.measurements.size() == 2);
  const LocalityMeasurement& m = back.measurements[0];
  CHECK(m.domains == std::vector<int64_t>{2, 8});
  CHECK((m.delay == 3 && m.passes == 2 && m.first_use && m.generated && m.batches == 12 && m.first_counted == 4));
  CHECK(m.tables[0][0].of_held.into == std::vector<double>{0.125, 0.25});
  CHECK(m.tables[0][0].of_new.into == std::vector<double>{0, 0.01});
  CHECK(m.tables[1].empty());
  CHECK_FALSE(back.measurements[1].first_use);
}

TEST_CASE("FaultsOfAProfileAreNamed") {
  const std::string text = write_locality(small_profile());
  const auto fault = [&](const std::string& what, const std::string& with) {
    return error_of([&] { parse_locality(replaced(text, what, with), "p.json"); });
  };
  CHECK(fault("sparrow-locality", "sparrow-plan").find("p.json: format: unknown value") == 0);
  CHECK(fault("\"version\": 1", "\"version\": 2").find("p.json: version: not a whole number") == 0);
  CHECK(fault("[2, 8]", "[2, 1]").find("p.json: measurements[0].domains[1]") == 0);
  CHECK(fault("[2, 8]", "[]").find("p.json: measurements[0].domains: not the domains") == 0);
  CHECK(fault("[2, 8]", "[2, 4, 8]").find("2 factors for 3 levels") != std::string::npos);
  CHECK(fault("0.125", "-0.125").find("tables[0][0][3][0]: not a number from 0") != std::string::npos);
  CHECK(fault("[8, 200", "[0.2, 200").find("not in the order of rising lookups") != std::string::npos);
  CHECK(fault("\"delay\": 3", "\"delay\": 3, \"delay\": 4").find("twice") != std::string::npos);
  CHECK(fault("\"delay\": 3,", "\"later\": 3,").find("key delay is missing") != std::string::npos);
  CHECK(fault("\"first_counted\": 4", "\"first_counted\": 12").find("first_counted: not a whole number") !=
        std::string::npos);
  CHECK(fault("\"busiest\": 1.07", "\"busiest\": 0.5").find("busiest: not a number from 1") != std::string::npos);
  CHECK(error_of([] { parse_locality("", "p.json"); }).find("p.json:1: not JSON") == 0);
  CHECK(error_of([&] { parse_locality(text.substr(0, text.size() / 2), "p.json"); }).find("not JSON") !=
        std::string::npos);
  for (size_t at = 0; at < text.size(); at += 7) {  // whatever a byte becomes, it is read or refused
    std::string changed = text;
    for (const char byte : {'[', '9', '"', '\0', '\xff', '-'}) {
      changed[at] = byte;
      error_of([&] { parse_locality(changed, "p.json"); });
    }
  }
}

TEST_CASE("ShippedProfilesAreWhatTheySay") {
  for (const char* name : {"criteo_kaggle", "criteo_terabyte"}) {
    const LocalityProfile profile = load_locality(fmt::format("{}/profiles/{}.json", SPARROW_CONFIGS, name));
    CHECK(profile.tables() == 26);
    CHECK(profile.measurements.size() >= 12);
    CHECK(profile.data.find("generated") != std::string::npos);
    load_config(fmt::format("{}/profiles/{}.yaml", SPARROW_CONFIGS, name));
    for (const LocalityMeasurement& m : profile.measurements)
      for (const auto& table : m.tables)
        for (const LocalityMeasurement::Bin& bin : table)
          for (const double factor : bin.of_held.into) CHECK(factor < 1.1);
  }
}

TEST_CASE("ARunKeepsWhatItMeasured") {
  const TempFolder folder;
  write_file(folder / "data.tsv", text_of(make_samples(3, 600)));
  RunOptions options;
  options.data.train = {folder / "data.tsv"};
  options.data.max_rows = {500};
  options.train.global_batch = 100;
  options.placement.assignment = AssignmentChoice::automatic;
  options.placement.holders.word = HolderChoice::automatic;
  const placement::Topology topology = topology_of({2});
  const SystemShape shape = shape_of(topology, 2);
  const auto locality = [&] {
    placement::Locality found;
    run_ranks(2, [&](Comm& comm) {
      const TrainingData data = opened(options, folder.path());
      const placement::Locality own = locality_of_run(comm, options, data, shape, {}, 6, folder / "start");
      if (comm.rank() == 0) found = own;
    });
    return found;
  };
  const placement::Locality first = locality();
  REQUIRE(first.tables.size() == 26);
  CHECK(first.sample_bytes == 1 + 13 * 4 + 26 * 2);
  const std::string path = folder / "start/locality.json";
  CHECK(locality().seconds_per_sample == first.seconds_per_sample);  // read, not measured
  save_locality(path, [&] {
    LocalityProfile profile = load_locality(path);
    profile.measurements[0].seconds_per_sample = 1;
    return profile;
  }());
  CHECK(locality().seconds_per_sample == 1);
  options.placement.assignment_passes = 3;  // another question
  CHECK(locality().seconds_per_sample != 1);
  CHECK(locality().passes == 3);
}

TEST_CASE("OnlyRunsThatMayAssignSamplesMeasure") {
  RunOptions options;
  options.placement.assignment = AssignmentChoice::contiguous;
  options.placement.holders.word = HolderChoice::arithmetic;
  CHECK_FALSE(wants_locality(options, 4));
  options.placement.assignment = AssignmentChoice::automatic;
  CHECK(wants_locality(options, 4));
  CHECK_FALSE(wants_locality(options, 1));
  options.data.split = DataSplit::ranks;
  CHECK_FALSE(wants_locality(options, 4));
  options.data.split = DataSplit::batches;
  options.placement.strategy = placement::Strategy::held;
  CHECK_FALSE(wants_locality(options, 4));
  options.placement.holders.word = HolderChoice::first_use;
  CHECK(wants_locality(options, 4));
}

TEST_CASE("RealRowsThatMoveArePredictedWithinFivePercent") {
  const std::string path = real_rows();
  if (path.empty()) return;
  const TempFolder folder;
  RunOptions options;
  options.data.train = {path};
  const TrainingData data = opened(options, folder.path());
  struct Case {
    std::vector<int> children;
    int64_t batch;
    double least;  ///< times fewer rows than table-wise placement moves
  };
  for (const Case& of : {Case{{4}, 2048, 11}, Case{{8}, 1024, 9}, Case{{2, 2}, 1024, 13}}) {
    const placement::Topology topology = topology_of(of.children);
    const SystemShape shape = shape_of(topology, static_cast<int>(placement::Tree(topology).ranks()));
    const double ranks = shape.hierarchy.ranks();
    options.train.global_batch = of.batch * shape.hierarchy.ranks();
    const int64_t batches = 137139 / options.train.global_batch;
    const MeasuredLocality found =
        measure_locality(options, data, {.hierarchy = shape.hierarchy, .run_batches = batches});
    const placement::Workload workload = make_workload(options, data.shapes, data.counts.tables);
    const placement::Locality locality =
        placement::locality_for({"", {found.measurement}}, topology, workload,
                                {.batches = static_cast<double>(batches), .counted = true})
            .locality;
    const auto levels = static_cast<int>(of.children.size());
    double domains = 1;
    for (int level = 1; level <= levels; ++level) {
      domains *= of.children[level - 1];
      double expected = 0;
      for (int t = 0; t < data.shapes.tables(); ++t) {
        const placement::TableDistribution& access = workload.tables[t].access;
        for (size_t c = 0; c < access.classes(); ++c) {
          const double p = access.p[0][c], batch = static_cast<double>(workload.global_batch);
          expected += static_cast<double>(access.rows[c]) * domains * placement::touched(p, batch / domains) *
                      (1 - 1.0 / of.children[level - 1]) * locality.at(t, p * batch, levels).into[level - 1];
        }
      }
      const auto counted = static_cast<double>(found.moves.into[level - 1]);
      CHECK(expected * static_cast<double>(batches) == Approx(counted).epsilon(0.05));
    }
    const double table_wise = 26 * static_cast<double>(found.samples) * (ranks - 1) / ranks;
    if (levels == 1) CHECK(table_wise / static_cast<double>(found.moves.into[0]) > of.least);
  }
}
