// Expected bytes against a trace simulation, against exhaustive enumeration, and against worked figures.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "base/error.hpp"
#include "simulator.hpp"
#include "support.hpp"

using namespace sparrow::placement;

namespace {

/// Expected quantities of a placement where table t takes options[t].
std::vector<double> expected(const CostModel& model, const std::vector<Option>& options,
                             const std::vector<Transport>& transports) {
  std::vector<double> quantities = model.base();
  for (int t = 0; t < model.tables(); ++t) {
    const auto& access = model.table(t).access;
    double mass = 0;
    for (size_t c = 0; c < access.classes(); ++c) mass += static_cast<double>(access.rows[c]) * access.p[0][c];
    const Option& option = options[t];
    const double factor = pooled_pairs(mass, pooled_holders(model.tree(), option), model.table(t).lookups) / mass;
    for (const Coefficient& k : coefficients(model, option, transports[t], model.shape(t), factor))
      for (size_t c = 0; c < access.classes(); ++c)
        quantities[k.quantity] += k.value * static_cast<double>(access.rows[c]) * model.features_of(t, c)[k.feature];
  }
  return quantities;
}

struct Moments {
  double sum = 0, squares = 0;
};

/// Compares every flow of the model with the mean of many simulated iterations.
void compare(const Topology& topology, const Workload& w, const std::vector<Option>& options,
             const std::vector<Transport>& transports, uint64_t seed, int trials = 400) {
  const CostModel model(topology, w);
  const std::vector<double> quantities = expected(model, options, transports);
  std::mt19937_64 random(seed);
  std::map<std::tuple<Flow, int, int, Direction>, Moments> flows;
  std::map<int, Moments> distinct;
  Moments all;
  for (int i = 0; i < trials; ++i) {
    const Simulated one = simulate(topology, w, options, transports, random);
    double total = 0;
    for (const auto& [key, bytes] : one.bytes) {
      flows[key].sum += bytes;
      flows[key].squares += bytes * bytes;
      total += bytes;
    }
    all.sum += total;
    all.squares += total * total;
    for (const auto& [rank, rows] : one.distinct_rows) {
      distinct[rank].sum += rows;
      distinct[rank].squares += rows * rows;
    }
  }
  const auto check_within = [&](const Moments& m, double value, double errors) {
    const double mean = m.sum / trials, variance = std::max(0.0, m.squares / trials - mean * mean);
    CAPTURE(mean, value, std::sqrt(variance / trials));
    // 3 standard errors for the figures named in the contract; single flows are some hundred comparisons: 5.
    CHECK(std::abs(mean - value) <= errors * std::sqrt(variance / trials) + 1e-9 * value);
  };
  double total = 0;
  for (Flow kind : {Flow::ids, Flow::rows, Flow::gradients, Flow::direct_ids, Flow::direct_rows, Flow::direct_gradients,
                    Flow::up, Flow::down})
    for (int stage = 1; stage <= model.tree().depth(); ++stage)
      for (int e = 0; e < model.tree().size(); ++e)
        for (Direction direction : {Direction::in, Direction::out}) {
          if (model.tree().level(e) < stage) continue;
          const double value = quantities[model.quantities().flow(kind, stage, e, direction)];
          CAPTURE(static_cast<int>(kind), stage, model.tree().path(e), static_cast<int>(direction));
          check_within(flows[{kind, stage, e, direction}], value, 5);
          total += value;
        }
  check_within(all, total, 3);
  for (int r : model.tree().at_level(model.tree().depth())) {
    bool pooled = false;
    double rows = 0;
    for (int t = 0; t < model.tables(); ++t) {
      pooled = pooled || (transports[t] == Transport::pooled && options[t].level == 0);
      for (size_t c = 0; c < model.table(t).access.classes(); ++c)
        rows += static_cast<double>(model.table(t).access.rows[c]) * model.features_of(t, c)[Features::v(r)];
    }
    if (!pooled) check_within(distinct[r], rows, 3);
  }
}

Workload zipf_tables(int64_t batch, double lookups, int count) {
  std::vector<Table> tables;
  for (int t = 0; t < count; ++t)
    tables.push_back(table(fmt::format("t{}", t), from_law(parse_law("zipf:1.1"), 24), lookups));
  return workload(tables, batch);
}

}  // namespace

TEST_CASE("Flat: expected bytes of held and replicated rows agree with a trace") {
  const Topology topology = flat(4, 1 << 20);
  const std::vector<Option> options = {
      {0, Reduction::sparse, {{1, 0}}}, {1, Reduction::sparse, {{1, 0}}}, {1, Reduction::dense, {{1, 0}}}};
  compare(topology, zipf_tables(32, 1, 3), options, {Transport::staged, Transport::staged, Transport::staged}, 1);
  compare(topology, zipf_tables(32, 3, 3), options, {Transport::direct, Transport::direct, Transport::direct}, 2);
}

TEST_CASE("Two levels: expected bytes at every stage agree with a trace, for every copy level, transport and store") {
  const Topology topology = two_level(3, 2, 1 << 20, 1 << 20);
  const std::vector<Option> options = {{0, Reduction::sparse, {{2, 0}}}, {0, Reduction::sparse, {{1, 0}}},
                                       {1, Reduction::sparse, {{2, 0}}}, {1, Reduction::dense, {{2, 0}}},
                                       {1, Reduction::sparse, {{1, 0}}}, {2, Reduction::sparse, {{2, 0}}}};
  compare(topology, zipf_tables(24, 1, 6), options, std::vector<Transport>(6, Transport::staged), 3);
  compare(topology, zipf_tables(24, 2, 6), options, std::vector<Transport>(6, Transport::direct), 4);
}

TEST_CASE("Three unequal levels: expected bytes agree with a trace, long bags included") {
  const Topology topology = unequal_three_level(1 << 20);
  // Ranks: 4 gpuA, 1 gpuB (weight 2), 2 gpuB2 (weight 1/2), 12 gpuC: weights sum to 19, so batches are whole for
  // multiples of 38.
  const std::vector<Option> options = {{0, Reduction::sparse, {{9, 0}}},
                                       {0, Reduction::sparse, {{6, 0}}},
                                       {1, Reduction::sparse, {{7, 0}, {5, 0}}},
                                       {2, Reduction::sparse, {{6, 0}, {8, 0}, {9, 0}}},
                                       {2, Reduction::dense, {{6, 0}, {7, 0}, {9, 0}}},
                                       {3, Reduction::sparse, {{6, 0}, {7, 0}, {8, 0}, {9, 0}}}};
  compare(topology, zipf_tables(38, 1, 6), options, std::vector<Transport>(6, Transport::staged), 5);
  compare(topology, zipf_tables(38, 1, 6), options, std::vector<Transport>(6, Transport::direct), 6);
  compare(topology, zipf_tables(38, 4, 6), options, std::vector<Transport>(6, Transport::staged), 7, 200);
}

TEST_CASE("Pooled vectors: expected (sample, holder) pairs agree with a trace") {
  // Many rows of equal use, so that the mass of a holder is close to its mean: the model spreads mass evenly.
  const Topology topology = two_level(2, 2, 1 << 20);
  Workload w = workload({table("t", from_law(parse_law("uniform"), 4000), 5)}, 16);
  compare(topology, w, {{0, Reduction::sparse, {{2, 0}}}}, {Transport::pooled}, 8, 300);
  compare(topology, w, {{1, Reduction::sparse, {{2, 0}}}}, {Transport::pooled}, 9, 300);
}

TEST_CASE("Blocks of a disk are read once however many of their rows are touched") {
  constexpr int64_t kRows = 6000, kBatch = 700;
  constexpr int kInBlock = 60, kTrials = 400;  // 68 bytes each, in 4096
  Topology topology = flat(1, 1 << 20);
  topology.domains[1].stores.push_back(memory("disk", 1 << 20, 1e8, 0, 4096));
  const Workload w = workload({table("t", from_law(parse_law("zipf:1.05"), kRows))}, kBatch);
  const CostModel model(topology, w);
  const Option fetched{0, Reduction::sparse, {{1, 1}}};
  const std::vector<double> quantities = expected(model, {fetched}, {Transport::staged});
  const double read = quantities[model.quantities().store_read({1, 1})];
  const double written = quantities[model.quantities().store_write({1, 1})];
  std::mt19937_64 random(9);
  double blocks = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<char> touched_blocks(kRows / kInBlock, 0);
    const auto& access = w.tables[0].access;
    std::vector<double> weights;
    for (size_t c = 0; c < access.classes(); ++c) weights.insert(weights.end(), access.rows[c], access.p[0][c]);
    std::discrete_distribution<int> draw(weights.begin(), weights.end());
    for (int64_t i = 0; i < kBatch; ++i) touched_blocks[draw(random) / kInBlock] = 1;
    blocks += static_cast<double>(std::count(touched_blocks.begin(), touched_blocks.end(), 1));
  }
  // Neighbours of the same use is an approximation where use falls along a block: the 2 % leave room for that.
  CHECK(read == Approx(4096 * blocks / kTrials).epsilon(0.02));
  CHECK(written == Approx(read));
}

TEST_CASE("Expected distinct rows equal exhaustive enumeration") {
  // 3 rows, 2 ranks with batch 2 each: all 3^4 outcomes.
  TableDistribution access{{1, 2}, {{0.5, 0.25}}, 0};
  const Topology topology = flat(2, 1 << 20);
  const Workload w = workload({table("t", access)}, 4);
  const CostModel model(topology, w);
  const std::vector<double> p = {0.5, 0.25, 0.25};
  double distinct = 0, anywhere = 0, dirty = 0;
  for (int outcome = 0; outcome < 81; ++outcome) {
    const int draws[4] = {outcome % 3, outcome / 3 % 3, outcome / 9 % 3, outcome / 27};
    double probability = 1;
    for (int d : draws) probability *= p[d];
    for (int row = 0; row < 3; ++row) {
      const bool first = draws[0] == row || draws[1] == row, second = draws[2] == row || draws[3] == row;
      distinct += probability * first;
      anywhere += probability * (first || second);
    }
  }
  double q = 0, u = 0;
  for (size_t c = 0; c < 2; ++c) {
    q += static_cast<double>(access.rows[c]) * model.features_of(0, c)[Features::v(1)];
    u += static_cast<double>(access.rows[c]) * model.features_of(0, c)[Features::v(0)];
    dirty += static_cast<double>(access.rows[c]) * model.features_of(0, c)[model.features().dirty(1)];
  }
  CHECK(q == Approx(distinct).epsilon(1e-14));
  CHECK(u == Approx(anywhere).epsilon(1e-14));
  double both = 0;
  for (double each : p) both += (1 - std::pow(1 - each, 4)) * (1 - std::pow(1 - each, 2));
  CHECK(dirty == Approx(both).epsilon(1e-14));
}

TEST_CASE("touched keeps the digits of tiny probabilities") {
  CHECK(touched(1e-15, 1000) == Approx(1e-12).epsilon(1e-9));
  CHECK(touched(1e-9, 65536) == Approx(6.5536e-5 * (1 - 6.5535e-5 / 2)).epsilon(1e-8));
  CHECK(touched(1, 5) == 1);
  CHECK(touched(0, 5) == 0);
  CHECK(touched(0.3, 0) == 0);
}

TEST_CASE("Flat: a held row moves 2 q w (1 - 1/N) per rank, a replicated one 2 w (1 - 1/N)") {
  const int64_t n = 8;
  const Topology topology = flat(n, 1 << 20);
  const Workload w = workload({table("t", from_law(parse_law("zipf:1"), 1000))}, 64);
  const CostModel model(topology, w);
  Placement held{{{0, Reduction::sparse, {{1, 0}}}}, {{Transport::staged, {}}}}, replicated = held;
  replicated.options[0] = {1, Reduction::dense, {{1, 0}}};
  double q = 0;
  for (size_t c = 0; c < w.tables[0].access.classes(); ++c) {
    const Share share{static_cast<int32_t>(c), 0, static_cast<double>(w.tables[0].access.rows[c])};
    held.tables[0].shares.push_back(share);
    replicated.tables[0].shares.push_back(share);
    q += share.rows * touched(w.tables[0].access.p[0][c], 8);
  }
  const Cost a = evaluate(model, held), b = evaluate(model, replicated);
  const double others = 1 - 1.0 / static_cast<double>(n);
  CHECK(a.sent_mean.rows + a.sent_mean.gradients == Approx(2 * q * 64 * others));
  CHECK(a.sent_mean.ids == Approx(q * 8 * others));
  CHECK(a.sent_mean.allreduce == 0);
  CHECK(b.sent_mean.allreduce == Approx(2 * 1000 * 64 * others));
  CHECK(b.sent_mean.rows == 0);
  CHECK(a.distinct_rows_mean == Approx(q));
  // Time: ids, rows and gradients, each over the port of 1e9 bytes/s; no rates of work are given.
  CHECK(a.sequential_seconds == Approx((2 * 64 + 8) * q * others / 1e9));
}

TEST_CASE("Overlapped: clean rows move beside compute, dirty ones behind it, beside the dense parameters") {
  // 4 ranks of batch 16, 1e9 bytes/s each way, 1 us of latency per exchange; rows of 64 bytes, ids of 8.
  Topology topology = flat(4, 1 << 20);
  topology.domains[1].ports[0].latency_s = 1e-6;
  topology.domains[1].flops_per_s = 1e9;
  topology.domains[1].work.update_bytes_per_s = 1e8;
  Workload w = workload({table("t", from_law(parse_law("zipf:1"), 1000))}, 64);
  w.flops_per_sample = 100;
  double q = 0, u_q = 0, u = 0, u_u = 0;  // sums over rows of q, u q, u, u^2
  for (size_t c = 0; c < w.tables[0].access.classes(); ++c) {
    const double p = w.tables[0].access.p[0][c], rows = static_cast<double>(w.tables[0].access.rows[c]);
    q += rows * touched(p, 16);
    u += rows * touched(p, 64);
    u_q += rows * touched(p, 64) * touched(p, 16);
    u_u += rows * touched(p, 64) * touched(p, 64);
  }
  const double port = 0.75 / 1e9, latency = 1e-6, compute = 16 * 100 / 1e9, stored = 68.0 / 4 / 1e8;
  const auto cost_of_option = [&](const Option& option, double dense_bytes) {
    w.dense_bytes = dense_bytes;
    const CostModel model(topology, w);
    Placement placement{{option}, {{Transport::staged, {}}}};
    for (size_t c = 0; c < w.tables[0].access.classes(); ++c)
      placement.tables[0].shares.push_back(
          {static_cast<int32_t>(c), 0, static_cast<double>(w.tables[0].access.rows[c])});
    return evaluate(model, placement);
  };
  const Option held{0, Reduction::sparse, {{1, 0}}}, replicated{1, Reduction::dense, {{1, 0}}};

  Cost cost = cost_of_option(held, 0);
  const double beside = 2 * (q - u_q) * 64 * port + q * 8 * port + 3 * latency + (u - u_u) * stored;
  const double behind = 2 * u_q * 64 * port + 2 * latency + u_u * stored;
  REQUIRE(beside > compute);
  CHECK(cost.beside_seconds == Approx(beside).epsilon(1e-12));
  CHECK(cost.behind_seconds == Approx(behind).epsilon(1e-12));
  CHECK(cost.overlapped_seconds == Approx(beside + behind).epsilon(1e-12));
  CHECK(cost.critical_path_seconds == Approx(compute + behind).epsilon(1e-12));
  // Nothing is lost or done twice: sequential is the same work, compute besides, two exchanges fewer.
  CHECK(cost.sequential_seconds == Approx(beside + behind - 2 * latency + compute).epsilon(1e-12));

  // The all-reduce of many dense parameters is longer than the dirty rows; links carry both.
  cost = cost_of_option(held, 1e6);
  const double lane = 2 * 1e6 * port + 2 * latency + 1e6 / 1e8;
  CHECK(cost.critical_path_seconds == Approx(compute + lane).epsilon(1e-12));
  CHECK(cost.behind_seconds == Approx(std::max(lane, (2 * 1e6 + 2 * u_q * 64) * port)).epsilon(1e-12));

  // Rows with several copies always wait, and have nothing to exchange beside compute.
  cost = cost_of_option(replicated, 0);
  CHECK(cost.beside_seconds == Approx(compute).epsilon(1e-12));
  CHECK(cost.behind_seconds == Approx(2 * 1000 * 64 * port + 2 * latency + 1000 * 68 / 1e8).epsilon(1e-12));
}

TEST_CASE("Lists: ids of copies at both ends of both ways, lookups pooled elsewhere at both ends") {
  Topology topology = flat(4, 1 << 20);
  topology.domains[1].work.list_ids_per_s = 1e6;
  const Workload w = workload({table("t", from_law(parse_law("uniform"), 100), 3)}, 64);
  const CostModel model(topology, w);
  const auto listed = [&](const Option& option, Transport transport) {
    Placement placement{{option}, {{transport, {{0, 0, 100}}}}};
    double seconds = 0;
    for (const StageCost& stage : evaluate(model, placement).stages)
      if (stage.name == "hash") seconds += stage.seconds;
    return 1e6 * seconds;
  };
  const double q = touched(0.01, 3 * 16), u = touched(0.01, 3 * 64);
  const Option held{0, Reduction::sparse, {{1, 0}}}, copied{1, Reduction::sparse, {{1, 0}}};
  CHECK(listed(held, Transport::staged) == 0);
  CHECK(listed(copied, Transport::staged) == Approx(100 * 2 * (q + u)).epsilon(1e-12));
  CHECK(listed({1, Reduction::dense, {{1, 0}}}, Transport::staged) == 0);
  // A rank looks up 3 * 16 rows, and holds a quarter of what all four look up.
  CHECK(listed(held, Transport::pooled) == Approx(2 * 3 * 16).epsilon(1e-12));
  CHECK(listed(copied, Transport::pooled) == Approx(100 * 2 * (q + u)).epsilon(1e-12));
}

TEST_CASE("Overlapped: of pooled bags only ids run ahead") {
  const Topology topology = two_level(2, 2, 1 << 20);
  Workload w = workload({table("t", from_law(parse_law("zipf:1"), 400), 5)}, 32);
  const CostModel model(topology, w);
  const auto quantities = expected(model, {{0, Reduction::sparse, {{2, 0}}}}, {Transport::pooled});
  const auto flow = [&](Flow kind) { return quantities[model.quantities().flow(kind, 1, 1, Direction::in)]; };
  CHECK(flow(Flow::direct_rows) > 0);
  CHECK(flow(Flow::direct_ids) > 0);
  CHECK(flow(Flow::dirty_direct_rows) == flow(Flow::direct_rows));
  CHECK(flow(Flow::dirty_direct_gradients) == flow(Flow::direct_gradients));
  CHECK(flow(Flow::clean_direct_rows) == 0);
  CHECK(flow(Flow::clean_direct_gradients) == 0);
}

TEST_CASE("The floor is below any plan and equals the formula for equal ranks") {
  const Topology topology = flat(4, 1 << 20);
  const Workload w = workload({table("t", from_law(parse_law("zipf:0.8"), 500))}, 64);
  const CostModel model(topology, w);
  double formula = 0;
  for (size_t c = 0; c < w.tables[0].access.classes(); ++c) {
    const double p = w.tables[0].access.p[0][c], q = touched(p, 16), u = touched(p, 64);
    formula +=
        static_cast<double>(w.tables[0].access.rows[c]) * 64 * (2 * 4 * q - u - (1 - std::pow(1 - q * q, 4)) / u);
  }
  CHECK(floor_bytes(model) == Approx(formula).epsilon(1e-12));
  const Solution solution = solve(topology, w);
  CHECK(floor_bytes(model) <=
        4 * (solution.cost.sent_mean.rows + solution.cost.sent_mean.gradients + solution.cost.sent_mean.allreduce));
}
