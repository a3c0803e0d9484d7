// Plan files: what is written reads back, and files that lie are refused with the place of the lie.
#include "config/plan_file.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "config/topology_file.hpp"
#include "test/support/error_of.hpp"

namespace sparrow {
namespace {

using placement::Plan;
using placement::Reduction;

const placement::Topology& topology() {
  static const placement::Topology kTopology = parse_topology(
      "name: pair\nlinks: {pcie: {bandwidth: 10GB/s}}\nstores: {hbm: {capacity: 1GB}, host: {capacity: 4GB, bandwidth: "
      "20GB/s}}\n"
      "domains:\n  - {name: box, stores: [host]}\n  - {name: gpu, parent: box, count: 2, links: [pcie], stores: "
      "[hbm]}\n",
      "pair.yaml");
  return kTopology;
}

placement::Workload workload() {
  placement::Workload result;
  result.global_batch = 16;
  for (int64_t rows : {100, 7}) {
    placement::Table table;
    table.name = rows == 100 ? "a \"quoted\" name" : "b";
    table.access.rows = {rows};
    table.access.p = {{1.0 / static_cast<double>(rows)}};
    result.tables.push_back(table);
  }
  return result;
}

Plan sample_plan() {
  Plan plan;
  plan.strategy = "optimal";
  plan.topology = "pair";
  plan.global_batch = 16;
  plan.batch_shares = {0.5};
  plan.options = {{1, Reduction::dense, {{1, 0}}}, {0, Reduction::sparse, {{1, 0}}}, {0, Reduction::sparse, {{0, 0}}}};
  plan.tables.resize(2);
  plan.tables[0].name = "a \"quoted\" name";
  plan.tables[0].rows = 100;
  plan.tables[0].holders.offset = 1;
  plan.tables[0].intervals = {{0, 10, 0}, {10, 60, 1}, {60, 100, 2}};
  plan.tables[1].name = "b";
  plan.tables[1].rows = 7;
  plan.tables[1].transport = placement::Transport::pooled;
  plan.tables[1].holders.fixed = 1;
  plan.tables[1].intervals = {{0, 7, 1}};
  return plan;
}

std::string with(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  INFO(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("A plan reads back as it was written, and the same plan gives the same bytes") {
  const Plan plan = sample_plan();
  const std::string text = write_plan(plan, topology());
  const Plan again = parse_plan(text, "plan.json", topology());
  CHECK(write_plan(again, topology()) == text);
  CHECK(again.strategy == plan.strategy);
  CHECK(again.topology == plan.topology);
  CHECK(again.global_batch == plan.global_batch);
  CHECK(again.batch_shares == plan.batch_shares);
  CHECK(again.options == plan.options);
  REQUIRE(again.tables.size() == 2);
  for (size_t t = 0; t < 2; ++t) {
    CHECK(again.tables[t].name == plan.tables[t].name);
    CHECK(again.tables[t].rows == plan.tables[t].rows);
    CHECK(again.tables[t].transport == plan.tables[t].transport);
    CHECK(again.tables[t].holders == plan.tables[t].holders);
    CHECK(again.tables[t].intervals == plan.tables[t].intervals);
  }
  placement::check(again, topology(), workload());
}

TEST_CASE("Files of older programs say how rows travel in three keys, and have exceptions") {
  const std::string text = write_plan(sample_plan(), topology());
  const std::string first = "\"transport\": \"staged\", ", second = "\"transport\": \"pooled\", ";
  const auto old = [](const char* transport, const char* deduplicated, const char* sums, const char* exceptions) {
    return fmt::format(
        "\"transport\": \"{}\", \"deduplicated\": {}, \"partial_sums\": {}, \"slices\": [], "
        "\"exceptions\": {}, ",
        transport, deduplicated, sums, exceptions);
  };
  std::string older = with(text, first, old("staged", "true", "false", "[[3, 1], [99, 0], [10, 0]]"));
  older = with(older, second, old("pooled", "false", "true", "[]"));
  Plan plan = parse_plan(older, "plan.json", topology());
  const std::vector<placement::Interval> folded = {{0, 3, 0},   {3, 4, 1},   {4, 10, 0},  {10, 11, 0},
                                                   {11, 60, 1}, {60, 99, 2}, {99, 100, 0}};
  CHECK(plan.tables[0].intervals == folded);
  CHECK(plan.tables[0].transport == placement::Transport::staged);
  CHECK(plan.tables[1].transport == placement::Transport::partial_sums);
  CHECK(write_plan(plan, topology()).find("exceptions") == std::string::npos);
  placement::check(plan, topology(), workload());
  plan = parse_plan(with(text, first, old("direct", "false", "false", "[]")), "plan.json", topology());
  CHECK(plan.tables[0].transport == placement::Transport::pooled);
  for (const auto& [from, to, said] : std::vector<std::array<std::string, 3>>{
           {"\"deduplicated\": true", "\"deduplicated\": 1", "tables[0].deduplicated"},
           {"[3, 1]", "[3, 1, 1]", "tables[0].exceptions[0]"},
           {"[3, 1]", "[100, 1]", "position 100 is in no interval"},
           {"[3, 1]", "[3, 7]", "takes option 7"},
           {"\"slices\": []", "\"slices\": [0, 1]", "slices"}})
    CHECK_THROWS_WITH(parse_plan(with(older, from, to), "plan.json", topology()), Catch::Contains(said));
}

TEST_CASE("A saved plan is whole") {
  const auto folder = std::filesystem::temp_directory_path() /
                      ("sparrow_plan_file_test." + std::to_string(std::hash<std::string>{}(__FILE__)));
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "plan.json").string();
  save_plan(path, sample_plan(), topology());
  CHECK_FALSE(std::filesystem::exists(path + ".part"));
  CHECK(load_plan(path, topology()).options == sample_plan().options);
  CHECK_THROWS_WITH(save_plan((folder / "no" / "plan.json").string(), sample_plan(), topology()),
                    Catch::Contains("No such file"));
  CHECK_THROWS_WITH(load_plan(folder.string(), topology()), Catch::Contains("directory"));
  CHECK_THROWS_WITH(load_plan(path + "x", topology()), Catch::Contains("No such file"));
  std::filesystem::remove_all(folder);
}

TEST_CASE("Files that are no plan for this topology are refused with file and key") {
  const std::string good = write_plan(sample_plan(), topology());
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "plan.json:1: not JSON"},
      {good.substr(0, good.size() / 2), "not JSON"},
      {good + "{}", "not JSON"},
      {"[]", "not an object"},
      {"{}", "key format is missing"},
      {with(good, "sparrow-plan", "other-plan"), "format"},
      {with(good, "\"version\": 1", "\"version\": 2"), "version"},
      {with(good, "\"version\": 1", "\"version\": 1, \"version\": 1"), "twice"},
      {with(good, "\"strategy\"", "\"extra\": 0, \"strategy\""), "unknown key \"extra\""},
      {with(good, "\"global_batch\": 16", "\"global_batch\": 0"), "global_batch"},
      {with(good, "\"global_batch\": 16", "\"global_batch\": 99999999999999999999"), "global_batch"},
      {with(good, "\"batch_shares\": [0.5]", "\"batch_shares\": [0.5, 0.5]"), "2 shares for 1"},
      {with(good, "\"batch_shares\": [0.5]", "\"batch_shares\": [-1]"), "batch_shares[0]"},
      {with(good, "\"level\": 1", "\"level\": 2"), "options[0].level"},
      {with(good, "\"dense\"", "\"denser\""), "options[0].reduction"},
      {with(good, "\"domain\": 1", "\"domain\": 9"), "options[0].sites[0].domain"},
      {with(good, "\"store\": 0", "\"store\": -1"), "options[0].sites[0].store"},
      {with(good, "box/gpu:hbm", "box/gpu:ddr"), "options[0].sites[0].name"},
      {with(good, "\"rows\": 100", "\"rows\": 1e30"), "tables[0].rows"},
      {with(good, "\"rows\": 100", "\"rows\": 1.5"), "tables[0].rows"},
      {with(good, "\"rows\": 100", "\"rows\": 1e400"), "1e400"},
      {with(good, "\"offset\": 1", "\"offset\": -1"), "tables[0].offset"},
      {with(good, "\"offset\": 1", "\"offset\": 9223372036854775807"), "tables[0].offset"},
      {with(good, "\"transport\": \"staged\"", "\"transport\": 3"), "tables[0].transport"},
      {with(good, "[10, 60, 1]", "[10, 60, 7]"), "tables[0].intervals[1]"},
      {with(good, "[10, 60, 1]", "[10, 60]"), "tables[0].intervals[1]"},
      {with(good, "[10, 60, 1]", "[10, -60, 1]"), "tables[0].intervals[1][1]"},
  };
  for (const auto& [text, said] : cases) {
    const std::string error = test::error_of([&] { parse_plan(text, "plan.json", topology()); });
    INFO(said << "\nwas: " << error);
    CHECK(error.find("plan.json") == 0);
    CHECK(error.find(said) != std::string::npos);
  }
}

TEST_CASE("What a well-formed file says of rows and memory is left to the checker, which refuses it") {
  const std::string good = write_plan(sample_plan(), topology());
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"[10, 60, 1]", "[11, 60, 1]"},   // position 10 is nowhere
                                                        {"[10, 60, 1]", "[9, 60, 1]"},    // position 9 is placed twice
                                                        {"[60, 100, 2]", "[60, 99, 2]"},  // the last row is nowhere
                                                        {"\"rows\": 100", "\"rows\": 101"}}) {
    INFO(to);
    const Plan plan = parse_plan(with(good, from, to), "plan.json", topology());
    CHECK_THROWS_AS(placement::check(plan, topology(), workload()), Error);
  }
}

}  // namespace sparrow
