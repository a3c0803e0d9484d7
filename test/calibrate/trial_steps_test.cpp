// What calibration runs trial steps: synthetic batches are what the theory takes them for, and steps have a time.
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "calibrate/synthetic_batch.hpp"
#include "calibrate/trial_steps.hpp"
#include "placement/cost/cost.hpp"
#include "test/support/thread_comm.hpp"

using namespace sparrow;

TEST_CASE("SyntheticBatchesHaveTheDistinctRowsThatTheirLawExpects") {
  constexpr int kTables = 4;
  constexpr int64_t kRows = 5000, kSamples = 2048;
  const placement::TableDistribution law = synthetic_law(kRows);
  CHECK(law.total_rows() == kRows);
  double expected = 0;
  for (size_t c = 0; c < law.classes(); ++c)
    expected += static_cast<double>(law.rows[c]) * placement::touched(law.p[0][c], kSamples);
  CHECK(expected > 0.1 * kSamples);  // neither all alike nor all distinct
  CHECK(expected < 0.5 * kSamples);

  constexpr int kBatches = 16;
  double distinct = 0, squares = 0;
  for (uint64_t seed = 1; seed <= kBatches; ++seed) {
    const SyntheticBatch synthetic(law, ModelShape({8, {}, {}}, 13, kTables), kSamples, 3 * kSamples, seed);
    const Batch& batch = synthetic.batch();
    REQUIRE(batch.positions.size() == static_cast<size_t>(kTables * kSamples));
    CHECK(batch.samples == kSamples);
    CHECK(batch.global_samples == 3 * kSamples);
    for (int t = 0; t < kTables; ++t) {
      const auto of_table = batch.positions.subspan(t * kSamples, kSamples);
      const std::set<int64_t> rows(of_table.begin(), of_table.end());
      CHECK(*rows.begin() >= 0);
      CHECK(*rows.rbegin() < kRows);
      const auto n = static_cast<double>(rows.size());
      distinct += n, squares += n * n;
    }
  }
  constexpr int kTimes = kBatches * kTables;
  const double mean = distinct / kTimes, variance = squares / kTimes - mean * mean;
  CHECK(std::abs(mean - expected) <=
        4 * std::sqrt(variance / kTimes) + 1e-3 * expected);  // a class has its rows' mean p
}

TEST_CASE("TrialStepsSetTheSameRatesOnAllRanks") {
  CalibrationOptions options;
  options.model = ModelShape({8, {16}, {16}}, 13, 3);
  options.local_batch = 64;
  for (const int ranks : {1, 2, 4}) {
    std::vector<MachineRates> rates(ranks);
    run_ranks(ranks, [&](Comm& comm) {
      const auto backend = make_host_backend(1);
      const RankContext context = RankContext::on_host(*backend, comm);
      // Pretended: two ranks on a node where there are four.
      std::vector<int> node_of;
      for (int r = 0; r < ranks; ++r) node_of.push_back(r / std::max(1, ranks / 2));
      run_trial_steps(context, node_of, options, rates[comm.rank()]);
    });
    for (const MachineRates& own : rates) {
      CAPTURE(ranks);
      CHECK(own.flops_per_s > 0);
      CHECK(std::isfinite(own.flops_per_s));
      CHECK(own.list_ids_per_s > 0);
      CHECK(own.flops_per_s == rates[0].flops_per_s);
      CHECK(own.list_ids_per_s == rates[0].list_ids_per_s);
      CHECK(own.hash_ids_per_s == MachineRates{}.hash_ids_per_s);  // measured elsewhere
    }
  }
}
