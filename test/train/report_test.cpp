// What a run leaves behind: metrics.jsonl and summary.json.
#include "train/report.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "comm/thread_comm.hpp"
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

TEST_CASE("TheSummaryHasMeansAndMaximaOverRanks") {
  const TempFolder folder;
  const std::string path = folder / "summary.json";
  run_ranks(3, [&](Comm& comm) {
    RunResult result;
    result.backend = "host";
    result.ranks = 3;
    result.samples = 3000;
    result.steps = 10;
    result.seconds = 2;
    result.train_loss = 0.5;
    result.skipped_lines = 4;
    result.eval = Metrics{100, 0, std::nan(""), 0.25, 0.75};
    result.ledger.iterations = 10;
    result.ledger.lookups = 520;
    result.ledger.distinct_rows = 100 * (comm.rank() + 1);
    result.ledger.traffic.sent_bytes[static_cast<size_t>(Phase::rows)] = 40 * comm.rank();
    result.ledger.traffic.sent_bytes[static_cast<size_t>(Phase::control)] = 1000000;  // not of the iterations
    result.ledger.seconds[0][static_cast<size_t>(Part::rows)] = 0.5;
    write_summary(comm, result, path);
  });
  CHECK(folder.names() == std::vector<std::string>{"summary.json"});
  const json summary = json::parse(read_file(path));
  CHECK(summary["samples"] == 3000);
  CHECK(summary["samples_per_second"] == 1500);
  CHECK(summary["seconds_per_iteration"] == 0.2);
  CHECK(summary["seconds_by_phase"]["rows"].get<double>() == Approx(0.05));
  CHECK(summary["train_loss"] == 0.5);
  CHECK(summary["skipped_lines"] == 4);
  CHECK(summary["eval"]["auc"].is_null());  // there was one class alone
  CHECK(summary["eval"]["logloss"] == 0.25);
  CHECK(summary["ranks"] == 3);
  CHECK(summary["backend"] == "host");
  CHECK(summary["bytes_per_iteration"]["rows"] == 4);
  CHECK(summary["bytes_per_iteration"]["max"]["rows"] == 8);
  CHECK(summary["bytes_per_iteration"]["total"] == 4);
  for (const char* phase : {"ids", "gradients", "samples", "allreduce"}) {
    CHECK(summary["bytes_per_iteration"][phase] == 0);
    CHECK(summary["bytes_per_iteration"]["max"][phase] == 0);
  }
  CHECK(summary["distinct_rows_per_iteration"] == 20);
  CHECK(summary["lookups_per_iteration"] == 52);
  CHECK(summary["peak_memory_bytes"] > 1000000);
  CHECK(summary["version"].get<std::string>().size() > 2);
}

TEST_CASE("ASummaryThatCannotBeWrittenIsAnError") {
  const TempFolder folder;
  CHECK_THROWS_WITH(run_ranks(2, [&](Comm& comm) { write_summary(comm, {}, folder / "absent/summary.json"); }),
                    Catch::Contains("absent/summary.json"));
}
