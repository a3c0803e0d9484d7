// What a plan is said to cost against a trace of its run: every step (of each phase and level) at its busiest port, and
// what ranks send by phase and level. SPARROW_TRACES=N: N times as many systems and workloads.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>

#include "base/error.hpp"
#include "simulator.hpp"
#include "support.hpp"

using sparrow::Phase;
using sparrow::phase_name;
using namespace sparrow::placement;

namespace {

constexpr double kTolerance = 0.02;
constexpr double kStandardError = 0.003;  // of a mean that is compared, relative: traces are run until it is that small
constexpr int kLeastTraces = 24, kMostTraces = 240;

Topology three_and_one(int64_t capacity) {
  Topology t{"3+1",
             {domain("all", -1, 1, {}), domain("large", 0, 1, {port(1e9)}), domain("small", 0, 1, {port(1e9)}),
              domain("gpu", 1, 3, {port(5e9)}, {memory("device", capacity)}),
              domain("gpu1", 2, 1, {port(5e9)}, {memory("device", capacity)})}};
  return t;
}

/// A server that has no samples, and four clients that hold rows for themselves only.
Topology star(int64_t capacity) {
  Topology t{"star",
             {domain("all", -1, 1, {}), domain("server", 0, 1, {port(4e9)}, {memory("device", capacity)}),
              domain("client", 0, 4, {port(1e9)}, {memory("device", capacity)})}};
  t.domains[1].batch_weight = 0;
  t.domains[2].holds = false;
  return t;
}

Topology system_number(int i, int64_t capacity) {
  switch (i) {
    case 0:
      return flat(4, capacity);
    case 1:
      return two_level(2, 2, capacity, capacity);
    case 2:
      return two_level(2, 4, capacity, capacity);
    case 3:
      return three_and_one(capacity);
    default:
      return star(capacity);
  }
}

struct Mean {
  double sum = 0, squares = 0;
  void add(double value) { sum += value, squares += value * value; }
  double error(int n) const { return std::sqrt(std::max(0.0, squares / n - sum / n * sum / n) / n); }
};

/// Means of many traces.
class Measured {
 public:
  Measured(const Topology& topology, const Workload& w, const Plan& plan, uint64_t seed) : topology_(topology) {
    std::mt19937_64 random(seed);
    for (bool enough = false; !enough && traces_ < kMostTraces;) {
      const Traced one = trace(topology, w, plan, traces_, random);
      type_ = one.type;
      for (const auto& [key, bytes] : one.bytes) bytes_[key].add(bytes);
      ++traces_;
      enough = traces_ >= kLeastTraces;
      double most = 0;  // flows far below the largest of their kind limit nothing
      for (const auto& [key, mean] : bytes_) most = std::max(most, mean.sum);
      for (const auto& [key, mean] : bytes_)
        if (mean.sum > 0.02 * most && mean.error(traces_) > kStandardError * mean.sum / traces_) enough = false;
    }
  }
  /// Of the busiest port with what passes it of these flows in stages first .. last.
  double seconds(const std::vector<Flow>& flows, int first, int last) const {
    double longest = 0;
    for (int i = 0; i < static_cast<int>(type_.size()); ++i)
      for (Direction direction : {Direction::in, Direction::out})
        for (const Port& port : topology_.domains[type_[i]].ports) {
          double bytes = 0;
          for (Flow flow : flows)
            for (int stage = first; stage <= last; ++stage) bytes += mean({flow, stage, i, direction});
          longest = std::max(longest, bytes / port.out_bytes_per_s);
        }
    return longest;
  }
  /// Sent by ranks in a stage, all together, and by the busiest in all stages.
  double sent(const std::vector<Flow>& flows, int stage, int depth) const {
    double bytes = 0;
    for (int i = 0; i < static_cast<int>(type_.size()); ++i)
      for (Flow flow : flows)
        if (level_of(type_[i]) == depth) bytes += mean({flow, stage, i, Direction::out});
    return bytes;
  }
  int traces() const { return traces_; }

 private:
  int level_of(int d) const {
    int level = 0;
    for (; topology_.domains[d].parent >= 0; d = topology_.domains[d].parent) ++level;
    return level;
  }
  double mean(const std::tuple<Flow, int, int, Direction>& key) const {
    const auto found = bytes_.find(key);
    return found == bytes_.end() ? 0 : found->second.sum / traces_;
  }
  const Topology& topology_;
  std::map<std::tuple<Flow, int, int, Direction>, Mean> bytes_;
  std::vector<int> type_;
  int traces_ = 0;
};

void check_close(double predicted, double measured, double scale) {
  CAPTURE(predicted, measured, predicted / measured);
  CHECK(std::abs(predicted - measured) <= kTolerance * measured + 1e-3 * scale);
}

void compare(const Topology& topology, const Workload& w, const Plan& plan, uint64_t seed) {
  const CostModel model(topology, w);
  const Cost cost = evaluate(model, plan);
  const Measured measured(topology, w, plan, seed);
  const int depth = model.tree().depth();
  CAPTURE(topology.name, plan.strategy, seed, transport_name(plan.tables[0].transport), measured.traces());
  double predicted_total = 0;
  for (const StageCost& stage : cost.stages) predicted_total += stage.seconds;
  double steps = 0;
  const auto step = [&](Phase phase, const std::string& name, const std::vector<Flow>& flows, int first, int last) {
    double predicted = 0;
    for (const StageCost& stage : cost.stages)
      if (stage.phase == phase && stage.name.starts_with(name)) predicted += stage.seconds - stage.latency_seconds;
    CAPTURE(phase_name(phase), name);
    check_close(predicted, measured.seconds(flows, first, last), predicted_total);
    steps += predicted;
  };
  step(Phase::ids, "direct", {Flow::direct_ids}, 1, depth);
  step(Phase::rows, "direct", {Flow::direct_rows}, 1, depth);
  step(Phase::gradients, "direct", {Flow::direct_gradients}, 1, depth);
  for (int stage = 1; stage <= depth; ++stage) {
    const std::string name = fmt::format("stage {} ", stage);
    step(Phase::ids, name, {Flow::ids}, stage, stage);
    step(Phase::rows, name, {Flow::rows}, stage, stage);
    step(Phase::gradients, name, {Flow::gradients}, stage, stage);
    step(Phase::allreduce, "up " + name, {Flow::up}, stage, stage);
    step(Phase::allreduce, "down " + name, {Flow::down}, stage, stage);
    const SentBytes& sent = cost.sent_by_stage[stage - 1];
    const double ranks = static_cast<double>(model.tree().ranks());
    CAPTURE(stage);
    check_close(sent.ids * ranks, measured.sent({Flow::ids, Flow::direct_ids}, stage, depth), 0);
    check_close(sent.rows * ranks, measured.sent({Flow::rows, Flow::direct_rows}, stage, depth), 0);
    check_close(sent.gradients * ranks, measured.sent({Flow::gradients, Flow::direct_gradients}, stage, depth), 0);
    check_close(sent.allreduce * ranks, measured.sent({Flow::up, Flow::down}, stage, depth), 0);
  }
}

Workload tables_of(std::mt19937_64& random, double lookups, int64_t batch) {
  std::vector<Table> tables;
  for (int64_t rows : {400, 90, 23, 150})
    tables.push_back(table(fmt::format("t{}", rows),
                           from_law(parse_law(random() % 2 == 0 ? "zipf:1.1" : "uniform"), rows),
                           tables.size() % 2 == 0 ? lookups : 1));
  Workload w = workload(std::move(tables), batch);
  w.id_bytes = 4;
  return w;
}

}  // namespace

TEST_CASE("Every strategy costs what a trace of its run counts, deduplicated and not, on every kind of system") {
  const char* times = std::getenv("SPARROW_TRACES");
  const int rounds = times ? std::atoi(times) : 1;
  std::mt19937_64 random(21);
  int compared = 0;
  for (int round = 0; round < rounds; ++round)
    for (int system = 0; system < 5; ++system)
      for (double lookups : {1.0, 5.0, 100.0}) {
        const Topology topology = system_number(system, 1 << 20);
        const Workload w = tables_of(random, lookups, lookups > 50 ? 16 : 64);
        const CostModel model(topology, w);
        for (const Strategy strategy : all_strategies())
          for (const StrategyOptions options : {StrategyOptions{}, {true, false}, {true, true}}) {
            const StrategyResult result = evaluate_strategy(model, strategy, options);
            if (!result.plan) continue;
            CAPTURE(lookups, options.deduplicate, options.combine);
            compare(topology, w, *result.plan, random());
            ++compared;
          }
        compare(topology, w, solve(topology, w).plan, random());
      }
  CHECK(compared >= 150 * rounds);
}
