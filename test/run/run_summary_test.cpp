// What a run leaves behind: summary.json.
#include "run/run_summary.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "test/data/support.hpp"
#include "test/support/thread_comm.hpp"

using namespace sparrow;
using namespace sparrow::test;
using nlohmann::json;

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
    result.ledger.seconds[0][static_cast<size_t>(Phase::rows)] = 0.5;
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
