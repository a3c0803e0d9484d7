// Whether samples go to their rows: what is decided from a locality, from options, from a plan file, and what is said.
#include <catch2/catch.hpp>
#include <filesystem>

#include "access/distributions.hpp"
#include "base/error.hpp"
#include "config/plan_file.hpp"
#include "layout/launch_topology.hpp"
#include "placement/cost/cost_model.hpp"
#include "planning/plan_run.hpp"

using namespace sparrow;
using placement::Locality;

namespace {

/// 4 ranks on links of so many bytes/s, 6 tables, 2,048 samples of a rank.
struct Example {
  placement::Topology topology;
  placement::Workload workload;

  explicit Example(double bytes_per_s) {
    MachineRates rates;
    rates.network_bytes_per_s = bytes_per_s;
    topology = launch_topology({0, 1, 2, 3}, rates);
    Iteration iteration;
    iteration.model = ModelShape({64, {64, 32}, {64, 32}}, 13, 6);
    iteration.global_batch = 8192;
    iteration.access.assign(6, from_law(parse_law("zipf:1.05"), 300000));
    workload = make_workload(iteration);
    const auto levels = static_cast<size_t>(placement::Tree(topology).depth());
    Locality& known = workload.locality;
    known.local = known.first_use = true;
    known.passes = 1;
    const auto bin = [&](double lookups, double into, double distinct) {
      return Locality::Bin{lookups, std::vector<double>(levels, into), std::vector<double>(levels, distinct)};
    };
    known.tables.assign(6, {bin(0.1, 0.1, 0.6), bin(2, 0.3, 0.7), bin(20, 0.8, 0.95), bin(200, 1, 1)});
    known.busiest = 1.05;
    known.sample_bytes = 75;
    known.new_holder_bytes = 1000;
    known.seconds_per_sample = 1e-6;
  }
  Decision decide(const PlacementOptions& options, const std::string& stay = "") const {
    return sparrow::decide(topology, workload, options, stay);
  }
};

PlacementOptions asked(AssignmentChoice assignment, HolderChoice holders) {
  PlacementOptions options;
  options.assignment = assignment;
  options.holders = holders;
  return options;
}
const PlacementOptions kAuto = asked(AssignmentChoice::automatic, HolderChoice::automatic);
const PlacementOptions kContiguous = asked(AssignmentChoice::contiguous, HolderChoice::arithmetic);

bool any_first_use(const placement::Plan& plan) {
  return std::any_of(plan.tables.begin(), plan.tables.end(), [](const auto& table) { return table.holders.first_use; });
}

}  // namespace

TEST_CASE("SamplesGoToTheirRowsWhereLinksBoundTheIteration") {
  const Example slow(12.5e6);
  const Decision decision = slow.decide(kAuto);
  CHECK(decision.plan.assignment == placement::SampleAssignment{true, 1, 1});
  CHECK(any_first_use(decision.plan));
  CHECK(decision.samples.why_not.empty());
  CHECK(decision.samples.assigned.seconds < 0.7 * decision.samples.contiguous.seconds);
  CHECK(decision.samples.assigned.row_bytes < 0.6 * decision.samples.contiguous.row_bytes);
  CHECK(decision.bound() <= decision.cost.seconds);
  CHECK(decision.cost.sent_mean.samples > 0);
  Example thorough(12.5e6);
  thorough.workload.locality.passes = 2;  // those with which it was measured
  CHECK(thorough.decide(kAuto).plan.assignment == placement::SampleAssignment{true, 1, 2});
  // The cost of the plan is that of its locality.
  placement::Workload planned = slow.workload;
  planned.locality = decision.locality;
  CHECK(evaluate(placement::CostModel(slow.topology, planned), decision.plan).seconds == Approx(decision.cost.seconds));
  const std::string text = describe_plan(decision, slow.topology);
  CHECK_THAT(text, Catch::Contains("samples go to their rows: ") && Catch::Contains("times fewer rows sent, "));
  CHECK_THAT(text, Catch::Contains("faster expected; W = 1, 1 pass") && Catch::Contains("beside it, replicated"));
}

TEST_CASE("WhereLinksAreFastSamplesStayAndThePlanSaysSo") {
  const Example fast(1e12);
  const Decision decision = fast.decide(kAuto);
  CHECK_FALSE(decision.plan.in_turn());
  CHECK(decision.cost.sent_mean.samples == 0);
  CHECK_THAT(decision.samples.why_not, Catch::Contains("% of the iteration"));
  CHECK_THAT(describe_plan(decision, fast.topology),
             Catch::Contains("samples stay in contiguous parts of batches: rows wait for links in"));
  // What is decided is the plan that it would be if nothing else had been tried.
  const Decision alone = fast.decide(kContiguous);
  CHECK(alone.cost.seconds == decision.cost.seconds);
  CHECK(alone.samples.why_not.empty());
}

TEST_CASE("NeverIsThePlanSlowerThanTheBetterOfBothByMoreThanTheRatesError") {
  int local = 0;
  for (double rate = 1e6; rate < 1e11; rate *= 4) {
    const Example e(rate);
    const Decision decision = e.decide(kAuto);
    const double best = std::min(decision.samples.assigned.seconds, decision.samples.contiguous.seconds);
    CHECK(decision.optimum->cost.seconds <= 1.03 * best);
    CHECK(decision.bound() <= best);
    local += decision.plan.assignment.local;
  }
  CHECK(local > 2);
  CHECK(local < 8);
}

TEST_CASE("OptionsOverride") {
  const Example slow(12.5e6);
  const Decision contiguous = slow.decide(kContiguous);
  CHECK_FALSE(contiguous.plan.in_turn());
  CHECK(contiguous.plan.assignment == placement::SampleAssignment{});
  const Decision held = slow.decide(asked(AssignmentChoice::contiguous, HolderChoice::first_use));
  CHECK_FALSE(held.plan.assignment.local);
  CHECK(any_first_use(held.plan));
  CHECK(held.cost.sent_mean.samples > 0);  // batches are read in turn
  CHECK(held.cost.sent_mean.rows == Approx(contiguous.cost.sent_mean.rows).epsilon(0.01));
  const Decision arithmetic = slow.decide(asked(AssignmentChoice::local, HolderChoice::arithmetic));
  CHECK(arithmetic.plan.assignment.local);
  CHECK_FALSE(any_first_use(arithmetic.plan));
  CHECK(arithmetic.cost.sent_mean.rows < contiguous.cost.sent_mean.rows);
  const Decision both = slow.decide(asked(AssignmentChoice::local, HolderChoice::automatic));
  CHECK(any_first_use(both.plan));
  CHECK(both.cost.sent_mean.rows < arithmetic.cost.sent_mean.rows);
  PlacementOptions options = kAuto;
  options.assignment_delay = 9;
  options.assignment_passes = 0;
  CHECK(slow.decide(options).plan.assignment == placement::SampleAssignment{true, 4, 0});  // at most the ranks
  const Decision fixed = Example(1e12).decide(asked(AssignmentChoice::local, HolderChoice::first_use));
  CHECK(fixed.plan.assignment.local);
}

TEST_CASE("SamplesStayWhereTheyMayNotMoveOrNothingIsKnown") {
  Example e(12.5e6);
  const Decision stay = e.decide(kAuto, "data.split: ranks");
  CHECK_FALSE(stay.plan.in_turn());
  CHECK(stay.samples.why_not == "data.split: ranks");
  PlacementOptions strategy = kAuto;
  strategy.strategy = placement::Strategy::held;
  const Decision held = e.decide(strategy);
  CHECK_FALSE(held.plan.in_turn());
  CHECK_THAT(held.samples.why_not, Catch::Contains("held"));
  e.workload.locality = {};
  const Decision unknown = e.decide(kAuto);
  CHECK_FALSE(unknown.plan.in_turn());
  CHECK_THAT(unknown.samples.why_not, Catch::Contains("not known"));
  const Decision forced = e.decide(asked(AssignmentChoice::local, HolderChoice::automatic));
  CHECK(forced.plan.assignment.local);
  CHECK_THAT(describe_plan(forced, e.topology), Catch::Contains("is not known"));
  RunOptions options;
  CHECK(why_samples_stay(options, 2).empty());
  CHECK_THAT(why_samples_stay(options, 1), Catch::Contains("one rank"));
  options.data.split = DataSplit::ranks;
  CHECK_THAT(why_samples_stay(options, 2), Catch::Contains("data.split"));
}

TEST_CASE("APlanFileHasTheLastWord") {
  const Example slow(12.5e6);
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "sparrow_samples_test";
  std::filesystem::create_directories(folder);
  PlacementOptions options = kAuto;
  options.plan = folder / "plan.json";
  const Decision made = slow.decide(asked(AssignmentChoice::local, HolderChoice::first_use));
  save_plan(options.plan, made.plan, slow.topology);
  const Decision again = slow.decide(options);
  CHECK(again.plan.assignment == made.plan.assignment);
  CHECK(again.cost.seconds == made.cost.seconds);
  CHECK(again.cost.sent_mean.total() == made.cost.sent_mean.total());
  const Decision contiguous = slow.decide(kContiguous);
  save_plan(options.plan, contiguous.plan, slow.topology);
  CHECK(slow.decide(options).cost.seconds == contiguous.cost.seconds);
  std::filesystem::remove_all(folder);
}

TEST_CASE("LocalityIsThatOfThePlan") {
  const Locality known = Example(1e8).workload.locality;
  CHECK_FALSE(locality_for_plan(known, false, false).in_turn());
  const Locality contiguous = locality_for_plan(known, false, true);
  CHECK(contiguous.tables.empty());
  CHECK(contiguous.sample_bytes == known.sample_bytes);
  CHECK(contiguous.seconds_per_sample == 0);
  const Locality arithmetic = locality_for_plan(known, true, false);
  CHECK(arithmetic.tables[0][0].into == known.tables[0][0].distinct);
  CHECK(arithmetic.new_holder_bytes == 0);
  CHECK(locality_for_plan(known, true, true).tables[0][0].into == known.tables[0][0].into);
}
