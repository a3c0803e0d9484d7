// Whole runs over ranks that are threads, with the loader's thread, evaluation and checkpoints: what the sanitizers see
// of a run.
#include "run/training_run.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.hpp"
#include "test/data/support.hpp"
#include "test/support/thread_comm.hpp"

using namespace sparrow;
using namespace sparrow::test;
using nlohmann::json;

namespace {

constexpr int64_t kSamples = 700;

RunOptions small_run(const TempFolder& folder, const std::string& name) {
  write_file(folder / "a.tsv", text_of(make_samples(3, 300)));
  write_file(folder / "b.tsv", text_of(make_samples(4, kSamples - 300)));
  RunOptions options;
  options.data.train = {folder / "*.tsv"};
  options.data.eval_tail = 100;
  options.data.max_rows = {50};
  options.data.count_samples = 200;
  options.model = {4, {6}, {8}};
  // A plan would depend on measured rates, and so bits on the clock.
  options.placement.strategy = placement::Strategy::held;
  options.train.global_batch = 64;
  options.train.epochs = 2;
  options.train.eval_every = 500;
  options.output.dir = folder / name;
  options.output.report_every = 1;
  return options;
}

RunResult run(const RunOptions& options, int ranks, const std::function<bool(int rank)>& stop = {}) {
  RunResult result;
  run_ranks(ranks, [&](Comm& comm) {
    const auto backend = make_host_backend(1);
    const auto asked = stop ? std::function<bool()>([&] { return stop(comm.rank()); }) : nullptr;
    RunResult mine = run_training(options, RankContext::on_host(*backend, comm), {0, comm.rank(), comm.size()}, asked);
    if (comm.rank() == 0) result = mine;
  });
  return result;
}

/// (step, loss) of every record of a step.
std::vector<std::pair<int64_t, double>> losses_of(const std::string& dir) {
  std::vector<std::pair<int64_t, double>> losses;
  std::istringstream text(read_file(dir + "/metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    const json record = json::parse(line);
    if (record.contains("loss")) losses.emplace_back(record["step"], record["loss"]);
  }
  return losses;
}

}  // namespace

TEST_CASE("ARunGoesThroughItsPassesAndReports") {
  const TempFolder folder;
  RunOptions options = small_run(folder, "run");
  options.output.resume = Resume::never;
  for (const int ranks : {1, 3}) {
    const RunResult result = run(options, ranks);
    CHECK(result.samples == 2 * (kSamples - 100));
    CHECK(result.steps == 2 * 10);  // 600 samples in batches of 64
    REQUIRE(result.eval.has_value());
    CHECK(result.eval->samples == 100);
    CHECK(losses_of(options.output.dir).size() == 20);
    CHECK(json::parse(read_file(options.output.dir + "/summary.json"))["steps"] == 20);
  }
}

TEST_CASE("AStoppedRunContinuesBitForBit") {
  const TempFolder folder;
  for (const int64_t window : {0, 128}) {
    RunOptions options = small_run(folder, "whole");
    options.data.shuffle_window = window;
    options.output.resume = Resume::never;
    const RunResult whole = run(options, 3);
    const auto expected = losses_of(options.output.dir);

    options.output.dir = folder / "stopped" + std::to_string(window);
    options.output.resume = Resume::automatic;
    options.train.samples = 728;  // after the second batch of the second pass
    run(options, 3);
    options.train.samples = 0;
    const RunResult rest = run(options, 3);
    CHECK(rest.steps == whole.steps);
    CHECK(rest.eval->auc == whole.eval->auc);
    CHECK(rest.eval->logloss == whole.eval->logloss);
    const auto found = losses_of(options.output.dir);
    CHECK(found.back() == expected.back());
  }
}

namespace {

/// The same run with samples that go to their rows.
RunOptions with_assigned_samples(RunOptions options, HolderChoice holders, int delay) {
  options.placement.assignment = AssignmentChoice::local;
  options.placement.holders = {holders};
  options.placement.assignment_delay = delay;
  return options;
}

/// On the system that an earlier run has measured.
void measure_once(RunOptions& options) {
  options.system.topology = options.output.dir + "/start/topology.yaml";
}

}  // namespace

TEST_CASE("SamplesThatGoToTheirRowsAreTrainedAlike") {
  const TempFolder folder;
  for (const int ranks : {1, 2, 3}) {
    RunOptions options = small_run(folder, "measured" + std::to_string(ranks));
    options.output.resume = Resume::never;
    options.system.overlapped = ranks == 3;
    const RunResult expected = run(options, ranks);
    const auto losses = losses_of(options.output.dir);
    measure_once(options);
    options.output.dir = folder / "assigned";
    for (const HolderChoice holders : {HolderChoice::arithmetic, HolderChoice::first_use}) {
      options = with_assigned_samples(options, holders, ranks == 2 ? 2 : 1);
      std::vector<std::pair<int64_t, double>> first;
      for (int time = 0; time < 2; ++time) {
        const RunResult found = run(options, ranks);
        const auto of_found = losses_of(options.output.dir);
        REQUIRE(of_found.size() == losses.size());
        for (size_t i = 0; i < losses.size(); ++i) CHECK(of_found[i].second == Approx(losses[i].second).epsilon(1e-5));
        CHECK(found.eval->logloss == Approx(expected.eval->logloss).epsilon(1e-5));
        CHECK(found.steps == expected.steps);
        CHECK((time == 0 || of_found == first));
        first = of_found;
        const json summary = json::parse(read_file(options.output.dir + "/summary.json"));
        CHECK((summary["bytes_per_iteration"]["samples"] > 0) == (ranks > 1));
        if (ranks > 1) CHECK(summary["bytes_by_stage"][0]["samples"] > 0);
      }
    }
  }
}

TEST_CASE("ARunWithAssignedSamplesContinuesBitForBit") {
  const TempFolder folder;
  RunOptions options = with_assigned_samples(small_run(folder, "whole"), HolderChoice::first_use, 2);
  const RunResult whole = run(options, 3);
  const auto expected = losses_of(options.output.dir);
  measure_once(options);
  for (const int64_t first : {192, 728}) {  // in the middle of the first pass, or of the second
    options.output.dir = folder / "stopped" + std::to_string(first);
    options.train.samples = first;
    run(options, 3);
    options.train.samples = 0;
    const RunResult rest = run(options, 3);
    CHECK(rest.eval->logloss == whole.eval->logloss);
    CHECK(losses_of(options.output.dir).back() == expected.back());
  }
}

TEST_CASE("ARunThatIsAskedToStopSavesAndContinuesBitForBit") {
  const TempFolder folder;
  RunOptions options = small_run(folder, "whole");
  const RunResult whole = run(options, 3, [](int) { return false; });
  CHECK_FALSE(whole.stopped);
  const auto expected = losses_of(options.output.dir);

  options.output.dir = folder / "stopped";
  std::atomic<int> records = 0;
  const RunResult stopped = run(options, 3, [&](int rank) { return rank == 1 && ++records == 3; });
  CHECK(stopped.stopped);
  CHECK(stopped.samples == 3 * 64);
  CHECK_FALSE(stopped.eval.has_value());  // there is no time for that
  CHECK_FALSE(std::filesystem::exists(options.output.dir + "/summary.json"));
  const RunResult rest = run(options, 3);
  CHECK(rest.samples == whole.samples - 3 * 64);
  CHECK(rest.eval->auc == whole.eval->auc);
  CHECK(losses_of(options.output.dir) == expected);
  CHECK(std::filesystem::exists(options.output.dir + "/summary.json"));
}

TEST_CASE("ARunWithNothingLeftToTrainEvaluatesAndKeepsItsSummary") {
  const TempFolder folder;
  RunOptions options = small_run(folder, "run");
  options.train.epochs = 1;
  const RunResult first = run(options, 2);
  REQUIRE(first.train_loss.has_value());
  const std::string summary = options.output.dir + "/summary.json", kept = read_file(summary);
  const RunResult again = run(options, 2);
  CHECK(again.samples == 0);
  CHECK_FALSE(again.train_loss.has_value());
  CHECK(again.eval.value().auc == first.eval.value().auc);
  CHECK(read_file(summary) == kept);

  std::filesystem::remove(summary);  // as where the run was ended before it wrote one
  run(options, 2);
  CHECK(json::parse(read_file(summary))["train_loss"].is_null());

  options.train.epochs = 2;  // more to train: the summary is of that
  CHECK(run(options, 2).samples == kSamples - 100);
  CHECK(json::parse(read_file(summary))["train_loss"].is_number());
}

TEST_CASE("ARunStopsAtItsTargetAuc") {
  const TempFolder folder;
  RunOptions options = small_run(folder, "run");
  options.train.target_auc = 0.01;
  CHECK(run(options, 2).samples == 512);  // the first batch that passes eval_every
}

TEST_CASE("ALossThatIsNotFiniteEndsTheRun") {
  const TempFolder folder;
  RunOptions options = small_run(folder, "run");
  options.optimizer.dense = {OptimizerKind::sgd, 1e30, 0, 0};
  CHECK_THROWS_WITH(run(options, 2), Catch::Contains("loss is") && Catch::Contains("learning rate"));
  CHECK_FALSE(std::filesystem::exists(options.output.dir + "/summary.json"));
}
