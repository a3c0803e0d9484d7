// Runs that re-plan: when the data drift, and when they do not; continued in the middle of a move.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "access/access_profile.hpp"
#include "access/counts.hpp"
#include "config/topology_file.hpp"
#include "data/criteo.hpp"
#include "planning/plan_by_position.hpp"
#include "run/training_run.hpp"
#include "test/support/training_runs.hpp"

using namespace sparrow;
using namespace sparrow::test;
using nlohmann::json;

namespace {

constexpr int64_t kRows = 2000, kBatch = 1024, kSteps = 96, kEvery = 16, kDrift = 24;

/// Samples whose categories are Zipf-like; from sample number `drift` on other rows are hot.
void write_samples(const std::string& path, int64_t samples, int64_t drift) {
  std::mt19937_64 random(1);
  std::string text;
  for (int64_t i = 0; i < samples; ++i) {
    Sample sample;
    sample.label = random() % 3 == 0 ? 1.0f : 0.0f;
    for (auto& integer : sample.integers) integer = static_cast<int64_t>(random() % 50);
    for (auto& category : sample.categories) {
      const double u = std::uniform_real_distribution<double>(0, 1)(random);
      const auto rank = static_cast<int64_t>(std::pow(static_cast<double>(kRows), u)) - 1;
      category = static_cast<uint32_t>((rank * 7 + (i >= drift ? kRows / 2 + 3 : 0)) % kRows);
    }
    text += sample.line();
  }
  write_file(path, text);
}

void count_first_samples(const DataOptions& data, int64_t samples, const TempFolder& folder) {
  run_ranks(1, [&](Comm& comm) {
    ScratchFiles scratch;
    const Dataset dataset = open_on_all_ranks(comm, {}, data.train, 0, folder / "scratch", scratch);
    const TableShapes shapes = table_shapes(data);
    Counts counts = zero_counts(shapes);
    count_ids(dataset, {0, samples}, shapes, counts);
    save_counts(data.counts, counts);
  });
}

/// 2 nodes of 2 ranks, with memory for a bit more than half of the rows on each rank, and slow links.
placement::Topology topology(int64_t row_bytes) {
  placement::Domain root;
  root.name = "system";
  placement::Domain node;
  node.name = "node";
  node.parent = 0;
  node.count = 2;
  node.ports = {{"net", 1e6, 1e6, 1e-5, 1e-6}};
  placement::Domain rank;
  rank.name = "rank";
  rank.parent = 1;
  rank.count = 2;
  rank.stores = {{"ram", kRows * kCriteoTables * row_bytes / 2 + (4 << 20), placement::kInfinity, 0, 1}};
  rank.ports = {{"mem", 1e8, 1e8, 1e-6, 1e-7}};
  rank.flops_per_s = 1e11;
  rank.work = {1e9, 1e10, 1e10, 1e10};
  placement::Topology result;
  result.name = "two nodes";
  result.domains = {root, node, rank};
  return result;
}

RunOptions replanning_run(const TempFolder& folder, const std::string& name, int64_t drift) {
  write_samples(folder / "data.tsv", kSteps * kBatch, drift);
  RunOptions options;
  options.data.train = {folder / "data.tsv"};
  options.data.max_rows = {kRows};
  options.data.count_samples = kEvery * kBatch;
  if (drift < kSteps * kBatch) {  // counts of the time before
    options.data.counts = folder / "counts";
    count_first_samples(options.data, kEvery * kBatch, folder);
  }
  options.model = {8, {8}, {8}};
  options.optimizer.sparse = {OptimizerKind::rowwise_adagrad, 0.02, 1e-8, 0.01};
  options.train.global_batch = kBatch;
  options.placement.combine = false;  // without combining, hot rows are worth copies on every node
  options.placement.replan_every = kEvery * kBatch;
  options.system.topology = folder / "topology.yaml";
  std::ofstream(options.system.topology) << write_topology(topology(4 * (8 + 1)), "");
  options.output.dir = folder / name;
  options.output.report_every = 1;
  return options;
}

}  // namespace

TEST_CASE("ARunWhoseDataDriftChangesItsPlanAndSendsWhatItPredicted") {
  const TempFolder folder;
  RunOptions options = replanning_run(folder, "replanned", kDrift * kBatch);
  run_on_ranks(options, 4);
  const json replanning = summary_of(options)["replanning"];
  INFO(replanning.dump(2));
  REQUIRE(replanning["questions"].size() == 5);  // after 16, 32, 48, 64 and 80 steps
  CHECK_FALSE(replanning["questions"][0]["replan"]["changes"]);
  const json after_drift = replanning["questions"][1]["replan"];
  CHECK(after_drift["changes"]);
  CHECK(after_drift["gain_seconds"].get<double>() > after_drift["cost_seconds"].get<double>());
  // Of what the last question was decided with, 94 % is from after the drift (windows of 16 steps with weights 1, 1/2,
  // 1/4, 1/8, 1/16; all of the first three are, half of the fourth). If rows that have gone cold were a share e of the
  // distinct ones, the prediction would be at most e too high: 6 %, and 2 % for what 16 steps can tell.
  const double last = replanning["last_bytes_per_iteration"];
  const json last_question = replanning["questions"][4]["replan"];
  const double predicted = last_question["bytes_per_iteration"]["next"];
  CHECK(std::abs(last / predicted - 1) < 0.08);
  CHECK(replanning["sent_rows"].get<double>() > 0);

  RunOptions kept = replanning_run(folder, "kept", kDrift * kBatch);
  kept.placement.replan_every = 0;
  run_on_ranks(kept, 4);
  // What the old plan sends after the drift, from the mean over the run and what it sent before.
  const double before = replanning["questions"][0]["replan"]["bytes_per_iteration"]["counted"];
  const double mean = summary_of(kept)["bytes_per_iteration"]["total"];
  const double old_plan = (kSteps * mean - kDrift * before) / (kSteps - kDrift);
  INFO("the old plan sends " << old_plan << " bytes after the drift, the new one " << last);
  const double saved = after_drift["bytes_per_iteration"]["now"].get<double>() -
                       after_drift["bytes_per_iteration"]["next"].get<double>();
  CHECK(saved > 0);
  CHECK(old_plan - last > saved / 2);
  const std::vector<double> expected = losses_of(kept), found = losses_of(options);
  REQUIRE(found.size() == expected.size());
  // 20 steps after rows have begun to move the training is the same but for the order of sums.
  for (size_t k = 0; k < 80; ++k) CHECK(std::abs(found[k] - expected[k]) <= 1e-5);
}

TEST_CASE("ARunWhoseDataStayAsTheyAreKeepsItsPlan") {
  const TempFolder folder;
  const RunOptions options = replanning_run(folder, "run", kSteps * kBatch);
  run_on_ranks(options, 4);
  const json replanning = summary_of(options)["replanning"];
  INFO(replanning.dump(2));
  REQUIRE(replanning["questions"].size() == 5);
  for (const json& question : replanning["questions"]) CHECK_FALSE(question["replan"]["changes"]);
  CHECK(replanning["sent_rows"] == 0);
}

namespace {

void continue_in_the_middle_of_a_move(bool overlapped) {
  const TempFolder folder;
  RunOptions options = replanning_run(folder, "run", kDrift * kBatch);
  options.system.overlapped = overlapped;
  options.output.checkpoint_every = kBatch;
  options.output.keep = 1000;
  run_on_ranks(options, 4);
  const std::vector<double> expected = losses_of(options);
  const json questions = summary_of(options)["replanning"]["questions"];
  std::string in_the_middle;
  for (const auto& entry : std::filesystem::directory_iterator(options.output.dir + "/checkpoints"))
    if (std::filesystem::exists(entry.path() / "replanning" / "move.json") &&
        json::parse(read_file((entry.path() / "replanning" / "move.json").string()))["done"] > 0)
      in_the_middle = entry.path().string();
  REQUIRE_FALSE(in_the_middle.empty());
  options.output.resume = in_the_middle;
  options.output.checkpoint_every = 0;
  run_on_ranks(options, 4);
  CHECK(losses_of(options) == expected);
  // What was asked before the checkpoint is in metrics.jsonl; what came after it is the same again.
  const json summary = summary_of(options);
  for (const json& question : summary["replanning"]["questions"])
    CHECK(std::find(questions.begin(), questions.end(), question) != questions.end());
}

}  // namespace

TEST_CASE("ARunContinuedInTheMiddleOfAMoveGoesOnBitForBit") {
  continue_in_the_middle_of_a_move(false);
}

TEST_CASE("AnOverlappedRunContinuedInTheMiddleOfAMoveGoesOnBitForBit") {
  continue_in_the_middle_of_a_move(true);
}

TEST_CASE("AnOverlappedRunThatReplansTrainsAsASequentialOneThatDoesNot") {
  const TempFolder folder;
  RunOptions options = replanning_run(folder, "overlapped", kDrift * kBatch);
  options.system.overlapped = true;
  run_on_ranks(options, 4);
  const json replanning = summary_of(options)["replanning"];
  INFO(replanning.dump(2));
  CHECK(replanning["sent_rows"].get<double>() > 0);
  RunOptions kept = replanning_run(folder, "sequential", kDrift * kBatch);
  kept.placement.replan_every = 0;
  run_on_ranks(kept, 4);
  const std::vector<double> expected = losses_of(kept), found = losses_of(options);
  REQUIRE(found.size() == expected.size());
  // As above: the same but for the order of sums, which the plans decide.
  for (size_t k = 0; k < 80; ++k) CHECK(std::abs(found[k] - expected[k]) <= 1e-5);
}

TEST_CASE("OnlyRowsThatHaveLeftTheirOrderBecomeCellsOfTheirOwn") {
  constexpr int64_t kTableRows[] = {300};
  AccessCounter counter(kTableRows);
  std::mt19937_64 random(7);
  std::vector<int64_t> positions;
  std::vector<double> weights;  // as 1 / (position + 1), but for a cold row that is hot and a hot one that is cold
  for (int i = 0; i < 300; ++i) weights.push_back(1.0 / (i + 1));
  weights[250] = 0.1;
  weights[40] = 0;
  std::discrete_distribution<int64_t> draw(weights.begin(), weights.end());
  for (int i = 0; i < 100000; ++i) positions.push_back(draw(random));
  Batch batch;
  batch.samples = 100000;
  batch.tables = 1;
  batch.positions = positions;
  counter.count(batch);
  const AccessProfile profile = make_profile({&counter, 1}, 0, 300);
  std::vector<int64_t> singles;
  int64_t next = 0, rows = 0;
  double sum = 0;
  for (const AccessCell& cell : profile.cells) {
    CHECK(cell.first == next);
    next = cell.end;
    if (cell.end - cell.first == 1 && cell.first >= 16) singles.push_back(cell.first);
    sum += cell.p[0] * static_cast<double>(cell.end - cell.first);
  }
  CHECK(next == 300);
  CHECK(sum == Approx(1));
  CHECK(singles == std::vector<int64_t>{40, 250});
  for (size_t c = 0; c < profile.cells_of_class.size(); ++c) {
    rows += profile.distribution.rows[c];
    if (c > 0) CHECK(profile.distribution.p[0][c] < profile.distribution.p[0][c - 1]);
  }
  CHECK(rows == 300);
}

TEST_CASE("APlanByPositionMovesNoMoreRowsThanItsClassesDo") {
  // Positions 0 .. 9 in cells {0 1 2 3} p 0.1, {4} p 0.3, {5 .. 9} p 0.06; classes {4}, {0 .. 3}, {5 .. 9}.
  AccessProfile profile;
  profile.cells = {{0, 4, {0.1}}, {4, 5, {0.3}}, {5, 10, {0.06}}};
  profile.cells_of_class = {{1}, {0}, {2}};
  profile.distribution.rows = {1, 4, 5};
  profile.distribution.p = {{0.3, 0.1, 0.06}};
  placement::Plan current, ranked;
  current.options.resize(2);
  current.options[1].level = 1;
  ranked.options = {current.options[1], current.options[0]};  // the same in another order
  placement::TablePlan table;
  table.rows = 10;
  table.holders.offset = 3;
  table.intervals = {{0, 3, 1}, {3, 10, 0}};
  current.tables = {table};
  table.holders.offset = 5;
  table.intervals = {{0, 3, 0}, {3, 10, 1}};  // the 3 likeliest replicated
  ranked.tables = {table};
  const placement::Plan plan = by_position(ranked, {profile}, current);
  // Row 4, and two of the next class: of 0 1 2, which have copies already, the first two.
  const std::vector<placement::Interval> expected = {{0, 2, 0}, {2, 4, 1}, {4, 5, 0}, {5, 10, 1}};
  CHECK(plan.tables[0].intervals == expected);
  CHECK(plan.tables[0].holders.offset == 3);
  const placement::Placement placed = placement_by_class(current, {profile});
  REQUIRE(placed.tables[0].shares.size() == 4);  // class 0 held; class 1: 1 held, 3 replicated; class 2 held
  CHECK(placed.tables[0].shares[0].option == 0);
  CHECK(placed.tables[0].shares[1].rows == 1);
  CHECK(placed.tables[0].shares[2].rows == 3);
}
