// What a run tells while it trains: metrics.jsonl.
#include "run/metrics_file.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.hpp"
#include "test/data/support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using nlohmann::json;

namespace {

std::vector<json> records_of(const std::string& path) {
  std::vector<json> records;
  std::istringstream text(read_file(path));
  for (std::string line; std::getline(text, line);) records.push_back(json::parse(line));
  return records;
}

}  // namespace

TEST_CASE("EveryRecordOfMetricsIsOneLineOfJson") {
  const TempFolder folder;
  {
    MetricsFile file(folder / "metrics.jsonl", false);
    file.step(50, 6400, 0.25, 1.5, 0.5);
    CHECK(records_of(folder / "metrics.jsonl").size() == 1);  // flushed at once
    file.evaluation(60, 7680, {1000, 30, 0.75, 0.5, 0.9}, 2.5);
  }
  const std::vector<json> records = records_of(folder / "metrics.jsonl");
  REQUIRE(records.size() == 2);
  CHECK(records[0] == json{{"step", 50}, {"samples", 6400}, {"loss", 0.25}, {"seconds", 1.5}, {"lr_factor", 0.5}});
  CHECK(records[1]["eval"]["auc"] == 0.75);
  CHECK(records[1]["samples"] == 7680);
  CHECK_FALSE(records[1].contains("loss"));
}

TEST_CASE("MetricsOfAResumedRunAreAppended") {
  const TempFolder folder;
  const std::string path = folder / "metrics.jsonl";
  MetricsFile(path, false).step(1, 10, 0.5, 1, 1);
  MetricsFile(path, true).step(2, 20, 0.5, 1, 1);
  CHECK(records_of(path).size() == 2);
  MetricsFile(path, false).step(1, 10, 0.5, 1, 1);
  CHECK(records_of(path).size() == 1);
  CHECK_THROWS_WITH(MetricsFile(folder / "absent/metrics.jsonl", false), Catch::Contains("absent/metrics.jsonl"));
}
