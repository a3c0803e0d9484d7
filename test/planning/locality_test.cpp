// Measuring what assigned samples save: against counting by hand, against chance, and against what the planner makes of it.
#include "planning/locality.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "access/distributions.hpp"
#include "assign/row_places.hpp"
#include "base/random.hpp"
#include "placement/cost/cost.hpp"
#include "test/data/support.hpp"
#include "test/planning/trees.hpp"

using namespace sparrow;
using namespace sparrow::test;
using placement::LocalityMeasurement;

namespace {

constexpr int kTables = 4;
constexpr int64_t kRows = 4000;

/// The whole of a global batch. Samples are of clusters, some rows of which occur nowhere else; or everything by chance.
struct WholeBatch {
  WholeBatch(int64_t k, int64_t samples, bool clustered) {
    for (int t = 0; t < kTables; ++t)
      for (int64_t s = 0; s < samples; ++s) {
        const Philox4 words = random_words(5, 1, static_cast<uint64_t>(k * samples + s), 0);
        const Philox4 own = random_words(5, 2 + t, static_cast<uint64_t>(k * samples + s), 0);
        const int64_t cluster = words.v[0] % (kRows / 4);
        positions.push_back(clustered ? 4 * cluster + own.v[0] % 4 : own.v[0] % kRows);
      }
    batch.index = k;
    batch.samples = batch.global_samples = samples;
    batch.tables = kTables;
    batch.positions = positions;
  }
  std::vector<int64_t> positions;
  Batch batch;
};

placement::Workload even_workload(int64_t global_batch) {
  placement::Workload workload;
  for (int t = 0; t < kTables; ++t) {
    workload.tables.emplace_back();
    workload.tables.back().name = fmt::format("T{}", t);
    workload.tables.back().access = from_law(parse_law("uniform"), kRows);
  }
  workload.global_batch = global_batch;
  return workload;
}

/// Domains of every level below the one above, ranks in tree order.
Hierarchy tree_of(const std::vector<int>& children) {
  const int ranks = std::accumulate(children.begin(), children.end(), 1, std::multiplies<>());
  std::vector<std::vector<int>> domain_of(1, std::vector<int>(ranks, 0));
  int below = ranks;
  for (const int n : children) {
    below /= n;
    std::vector<int>& level = domain_of.emplace_back();
    for (int rank = 0; rank < ranks; ++rank) level.push_back(rank / below);
  }
  return Hierarchy(domain_of);
}

LocalityMeter metered(const LocalityProblem& problem, int64_t batches, int64_t first_counted, bool clustered) {
  LocalityMeter meter(problem, first_counted);
  for (int64_t k = 0; k < batches; ++k) meter.add(WholeBatch(k, problem.workload.global_batch, clustered).batch);
  return meter;
}

/// Rows into domains of the last level that the planner expects of a batch, with these factors.
double expected_into(const placement::Workload& workload, const placement::Locality& locality,
                     const std::vector<int>& children) {
  double into = 0, domains = 1;
  for (const int n : children) domains *= n;
  const auto levels = static_cast<int>(children.size());
  for (int t = 0; t < std::ssize(workload.tables); ++t) {
    const placement::TableDistribution& access = workload.tables[t].access;
    for (size_t c = 0; c < access.classes(); ++c) {
      const double lookups = static_cast<double>(workload.global_batch) * workload.tables[t].lookups;
      const double v = placement::touched(access.p[0][c], lookups / domains);
      into += static_cast<double>(access.rows[c]) * domains * v * (1 - 1.0 / children.back()) *
              locality.at(t, access.p[0][c] * lookups, levels).into.back();
    }
  }
  return into;
}

}  // namespace

TEST_CASE("ContiguousSamplesDoWhatChanceDoes") {
  for (const std::vector<int>& children : {std::vector<int>{4}, {2, 2}, {2, 4}}) {
    const placement::Workload workload = even_workload(1024);
    const Hierarchy hierarchy = tree_of(children);
    const LocalityMeter meter =
        metered({.workload = workload, .hierarchy = hierarchy, .assignment = {}, .first_use = false}, 12, 0, false);
    const LocalityMeasurement m = meter.measurement();
    for (const auto& table : m.tables)
      for (const LocalityMeasurement::Bin& bin : table) {
        CHECK(bin.new_share == 0);
        for (const std::vector<double>& factors : {bin.of_held.into, bin.of_held.distinct})
          for (const double factor : factors) CHECK(factor == Approx(1).margin(0.04));
      }
    for (size_t l = 0; l < children.size(); ++l)
      CHECK(static_cast<double>(meter.moves().into[l]) == Approx(meter.by_chance()[l]).epsilon(0.02));
    CHECK(m.busiest < 1.1);
  }
}

TEST_CASE("MovesAreThoseThatCountMovesCounts") {
  for (const std::vector<int>& children : {std::vector<int>{3}, {2, 2}, {2, 2, 2}}) {
    const Hierarchy hierarchy = tree_of(children);
    const WholeBatch whole(0, 96, true);
    const placement::Workload workload = even_workload(96);
    LocalityMeter meter({.workload = workload, .hierarchy = hierarchy, .assignment = {}, .first_use = false}, 0);
    meter.add(whole.batch);

    const Tables tables(std::vector<int64_t>(kTables, kRows), 1);
    const RowPlaces places(ResolvedPlan::uniform(tables, hierarchy, 0), tables, false);
    std::vector<int64_t> first(97), keys, turn, quota(hierarchy.ranks(), 96 / hierarchy.ranks());
    std::vector<int32_t> rows;
    std::vector<int16_t> holder, rank_of_sample;
    for (int64_t s = 0; s < 96; ++s) {
      for (int t = 0; t < kTables; ++t) {
        const int64_t position = whole.positions[t * 96 + s], key = tables.first_key(t) + position;
        const auto found = std::find(keys.begin(), keys.end(), key);
        rows.push_back(static_cast<int32_t>(found - keys.begin()));
        if (found != keys.end()) continue;
        keys.push_back(key);
        holder.push_back(places.of(t, position).holder);
        turn.push_back(places.of(t, position).turn);
      }
      first[s + 1] = std::ssize(rows);
      rank_of_sample.push_back(static_cast<int16_t>(s / quota[0]));
    }
    const AssignmentMoves moves =
        count_moves(assigner_tree(hierarchy), {first, rows, keys, holder, turn, {}, quota}, rank_of_sample, holder);
    CHECK(meter.moves().into == moves.into);
    CHECK(meter.moves().distinct == moves.distinct);
    CHECK(meter.moves().received == moves.received);
  }
}

TEST_CASE("SamplesOfAKindGoToOneRankAndThePlannerExpectsWhatMoves") {
  for (const std::vector<int>& children : {std::vector<int>{4}, {2, 2}}) {
    const placement::Workload workload = even_workload(1024);
    const Hierarchy hierarchy = tree_of(children);
    const LocalityMeter meter = metered({.workload = workload, .hierarchy = hierarchy}, 12, 0, true);
    CHECK(static_cast<double>(meter.moves().into.back()) < 0.5 * meter.by_chance().back());
    const auto answer =
        placement::locality_for({"", {meter.measurement()}}, topology_of(children), workload, {.batches = 12});
    CHECK(answer.notes.empty());
    CHECK(answer.locality.local);
    CHECK(answer.locality.first_use);
    const double expected = expected_into(workload, answer.locality, children) * static_cast<double>(meter.counted());
    CHECK(expected == Approx(static_cast<double>(meter.moves().into.back())).epsilon(0.05));
  }
}

TEST_CASE("LaterKnowledgeOfHoldersMovesMoreAndTheSameIsMeasuredTwice") {
  const placement::Workload workload = even_workload(512);
  const Hierarchy hierarchy = tree_of({4});
  const auto into = [&](int delay) {
    const LocalityProblem problem{.workload = workload, .hierarchy = hierarchy, .assignment = {true, delay, 1}};
    return metered(problem, 6, 0, true).moves().into;
  };
  CHECK(into(4)[0] > into(1)[0]);
  CHECK(into(1) == into(1));
}

TEST_CASE("SharesOfTheBatchAreKept") {
  const placement::Workload workload = even_workload(600);
  const Hierarchy hierarchy = tree_of({3});
  const LocalityMeter meter = metered({.workload = workload, .hierarchy = hierarchy, .shares = {0, 1, 2}}, 4, 0, true);
  const AssignmentMoves& moves = meter.moves();
  CHECK(moves.distinct[0] == 0);
  CHECK(moves.received[0] == 0);
  CHECK(moves.distinct[2] > moves.distinct[1]);
  CHECK(meter.measurement().busiest >= 1);
}

TEST_CASE("ARowIsNewOnceInARun") {
  CHECK(placement::new_share(0.5, 1) == Approx(1));
  CHECK(placement::new_share(100, 10) == Approx(0.1));
  CHECK(placement::new_share(0.5, 0) == 0);
  CHECK(placement::new_share(1e-6, 10) == Approx(1).margin(1e-4));
  // Known to be used twice in 10 batches: half of its uses are the first.
  CHECK(placement::new_share(-std::log1p(-0.2), 10, true) == Approx(0.5));
  CHECK(placement::new_share(0.01, 10, true) == 1);
}

TEST_CASE("MeasuredBatchesOfAShortRunPredictALongerOne") {
  const placement::Workload workload = even_workload(256);
  const Hierarchy hierarchy = tree_of({4});
  const LocalityProblem problem{.workload = workload, .hierarchy = hierarchy};
  const LocalityMeasurement few = metered(problem, 32, 10, true).measurement();
  const LocalityMeter run = metered(problem, 96, 0, true);
  const auto known = placement::locality_for({"", {few}}, topology_of({4}), workload, {.batches = 96});
  CHECK(
      expected_into(workload, known.locality, {4}) * 96 ==
      Approx(static_cast<double>(run.moves().into[0])).epsilon(0.15));  // real rows: within 5 % from 16 to 488 batches
}

TEST_CASE("HowMuchIsSimulated") {
  // Half a million samples; a third of the batches is not counted.
  LocalityEffort effort = locality_effort(8192, 8, 26, int64_t{1} << 30, 0);
  CHECK(effort.batch == 8192);
  CHECK(effort.batches == 78);
  CHECK(effort.first_counted == 26);
  // A short run: all of it.
  effort = locality_effort(8192, 8, 26, int64_t{1} << 30, 16);
  CHECK(effort.batches == 16);
  CHECK(effort.first_counted == 0);
  // The same with a last batch that is short.
  effort = locality_effort(8192, 8, 26, 137139, 17);
  CHECK(effort.batches == 16);
  CHECK(effort.first_counted == 0);
  CHECK(locality_effort(8192, 8, 26, 137139, 34).first_counted == 5);  // two passes
  // Large batches: eight of them, and of larger ones parts.
  effort = locality_effort(1 << 18, 128, 26, int64_t{1} << 30, 0);
  CHECK(effort.batch == 1 << 18);
  CHECK(effort.batches == 8);
  effort = locality_effort(1 << 20, 128, 26, int64_t{1} << 30, 0);
  CHECK(effort.batch < 1 << 20);
  CHECK(effort.batch % 128 == 0);
  CHECK(effort.batches == 8);
  // Fewer samples than ranks' worth of batches.
  effort = locality_effort(4096, 8, 26, 1000, 1);
  CHECK(effort.batch * effort.batches <= 1000);
  CHECK(effort.batches >= 1);
}

TEST_CASE("LevelsAreLikeThoseOfOtherTreesAndWhatIsBeyondIsSaid") {
  placement::Workload workload = even_workload(2048);
  const auto measurement = [](std::vector<int64_t> domains, std::vector<double> factors) {
    LocalityMeasurement m;
    m.domains = std::move(domains);
    m.global_batch = 2048;
    m.batches = 10;
    LocalityMeasurement::Bin bin{0.5, 100, 0, {factors, factors}, {factors, factors}};
    m.tables.assign(kTables, {bin});
    return m;
  };
  const placement::LocalityProfile profile{
      "", {measurement({2}, {0.2}), measurement({8}, {0.4}), measurement({2, 8}, {0.2, 0.5})}};
  const auto into = [&](const std::vector<int>& children) {
    return placement::locality_for(profile, topology_of(children), workload).locality.tables[0][0].into;
  };
  CHECK(into({2}) == std::vector<double>{0.2});
  CHECK(into({4})[0] == Approx(0.3));  // half way between 2 and 8
  CHECK(into({8, 4})[0] == Approx(0.4));
  CHECK(into({1, 8}) == std::vector<double>{1, 0.4});  // one node: nothing enters it
  CHECK(placement::locality_for(profile, topology_of({8}), workload).notes.empty());
  CHECK(placement::locality_for(profile, topology_of({16}), workload).notes.size() == 1);
  CHECK(placement::locality_for(profile, topology_of({1}), workload).locality.tables.empty());
  workload.tables.pop_back();
  CHECK(error_of([&] { into({2}); }).find("of 4 tables, the workload has 3") != std::string::npos);
}
