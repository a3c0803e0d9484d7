// Rows reach the samples that need them, and gradients their holders, on every kind of system.
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <set>

#include "exchange/embedding_exchange.hpp"
#include "test/support/hierarchies.hpp"
#include "test/support/thread_comm.hpp"

using namespace sparrow;
using sparrow::test::hierarchies;
using sparrow::test::random_plan;

namespace {

constexpr int64_t kDim = 3;

/// A rank's part of a random batch with bags of 0 to `longest` lookups.
struct RandomBatch {
  RandomBatch(const Tables& tables, int64_t samples, int longest, unsigned seed) {
    std::mt19937 random(seed);
    offsets.push_back(0);
    for (int t = 0; t < tables.count(); ++t)
      for (int64_t s = 0; s < samples; ++s) {
        const unsigned long lookups = longest == 1 ? 1 : random() % static_cast<unsigned>(longest + 1);
        for (unsigned long l = 0; l < lookups; ++l) {
          // squaring prefers low positions: rows repeat
          const double u = static_cast<double>(random() % 1000) / 1000;
          positions.push_back(static_cast<int64_t>(u * u * static_cast<double>(tables.rows(t))));
        }
        offsets.push_back(static_cast<int64_t>(positions.size()));
      }
    batch.samples = samples;
    batch.tables = tables.count();
    batch.positions = positions;
    if (longest != 1) batch.offsets = offsets;
  }
  std::vector<int64_t> offsets, positions;
  Batch batch;
};

float value_of(int64_t key, int64_t element) {
  return static_cast<float>(key * 8 + element);
}

/// Integers small enough that every sum of them is exact in fp32 and in bf16.
float gradient_of(int rank, int64_t bag, int64_t element) {
  return static_cast<float>((rank + bag + element) % 5 - 2);
}

struct Case {
  const Hierarchy& hierarchy;
  const ResolvedPlan& plan;
  int longest;
  DType wire;
};

/// Runs a fetch and a return on every rank and checks both against what one process computes.
void check(const Tables& tables, const Case& c) {
  const int ranks = c.hierarchy.ranks();
  std::vector<RandomBatch> batches;
  for (int rank = 0; rank < ranks; ++rank)
    batches.emplace_back(tables, rank == 1 ? 0 : 5 + rank, c.longest,
                         static_cast<unsigned>(rank + 7));  // rank 1 has no samples

  std::mutex mutex;
  std::vector<std::vector<float>> bad;
  std::map<std::pair<int64_t, int64_t>, float>
      total;  // (key, holder) -> gradient sum of element 0, as the holders got it
  std::vector<std::string> problems;
  run_ranks(ranks, [&](Comm& comm) {
    const auto backend = make_host_backend(1);
    const auto stream = backend->make_stream();
    const Directory directory(tables, c.hierarchy, c.plan, comm.rank());
    const StageComms comms(comm, comm, c.hierarchy);
    std::vector<float> values(directory.slots() * kDim);
    std::vector<int64_t> keys(directory.slots());
    directory.keys_of_slots(0, keys);
    for (size_t slot = 0; slot < keys.size(); ++slot)
      for (size_t e = 0; e < kDim; ++e) values[slot * kDim + e] = value_of(keys[slot], static_cast<int64_t>(e));
    std::unique_ptr<OffloadedRows> slower;
    if (directory.offloaded_slots() > 0) {
      slower =
          make_offloaded_rows(*backend, directory.offloaded_slots(), kDim, 0, {std::filesystem::temp_directory_path()});
      slower->write(0, directory.offloaded_slots(), values.data() + directory.device_slots() * kDim, nullptr);
    }
    const RankContext context = RankContext::on_host(*backend, comm);
    const RowStore store{values.data(), nullptr, directory.device_slots(), kDim, 0};
    EmbeddingExchange exchange(context, directory, comms, store, slower.get(), c.wire);
    BatchRoute route(*backend, comms.sizes(), ranks);
    const RandomBatch& mine = batches[comm.rank()];
    std::vector<std::string> found;
    for (int round = 0; round < 2; ++round) {  // the second time in used memory
      exchange.build(*stream, mine.batch, route, true);
      exchange.load(route);
      exchange.fetch(*stream, route);
      for (int t = 0; t < tables.count(); ++t)
        for (int64_t s = 0; s < mine.batch.samples; ++s) {
          const int64_t bag = t * mine.batch.samples + s;
          std::vector<float> pooled(kDim, 0), expected(kDim, 0);
          const int64_t first = route.bags.offsets ? route.bags.offsets[bag] : bag;
          const int64_t last = route.bags.offsets ? route.bags.offsets[bag + 1] : bag + 1;
          for (int64_t l = first; l < last; ++l)
            for (size_t e = 0; e < kDim; ++e) pooled[e] += route.addresses()[route.bags.row_of_lookup[l]][e];
          for (int64_t l = mine.offsets[bag]; l < mine.offsets[static_cast<size_t>(bag) + 1]; ++l)
            for (size_t e = 0; e < kDim; ++e)
              expected[e] += value_of(tables.first_key(t) + mine.positions[l], static_cast<int64_t>(e));
          if (pooled != expected) found.push_back("wrong sum of bag " + std::to_string(bag));
        }
      const int64_t bags = mine.batch.samples * tables.count();
      Array<float> gradients(*backend, Memory::device, bags * kDim);
      for (int64_t bag = 0; bag < bags; ++bag)
        for (int64_t e = 0; e < kDim; ++e) gradients[bag * kDim + e] = gradient_of(comm.rank(), bag, e);
      exchange.return_gradients(*stream, route, Matrix::f32(gradients.data(), bags, kDim));
      exchange.reduce_copies(*stream, route);
      if (round == 0) exchange.finish(route, true);
    }
    const std::lock_guard lock(mutex);
    problems.insert(problems.end(), found.begin(), found.end());
    const auto note = [&](int64_t key, float sum) {
      if (directory.holder(key) != comm.rank()) problems.push_back("a row came to a rank that does not hold it");
      if (!total.emplace(std::pair{key, comm.rank()}, sum).second) problems.push_back("a row is to be updated twice");
    };
    const auto slot_of = [&](const RowUpdate& update, int64_t i) {
      if (update.store.values == values.data()) return update.slots[i];
      return directory.device_slots() + route.offloaded.slots()[update.slots[i]];
    };
    for (const RowUpdate& update : exchange.updates())
      for (int64_t i = 0; i < update.count; ++i) note(keys[slot_of(update, i)], update.gradients[i * kDim + kDim - 1]);
    exchange.finish(route, true);
  });
  CHECK(problems == std::vector<std::string>{});

  // Expected: every copy of a row, wherever it is, gets the sum over all ranks.
  std::map<int64_t, float> sums;
  for (int rank = 0; rank < ranks; ++rank) {
    const RandomBatch& mine = batches[rank];
    for (int t = 0; t < tables.count(); ++t)
      for (int64_t s = 0; s < mine.batch.samples; ++s) {
        const int64_t bag = t * mine.batch.samples + s;
        for (int64_t l = mine.offsets[bag]; l < mine.offsets[static_cast<size_t>(bag) + 1]; ++l)
          sums[tables.first_key(t) + mine.positions[l]] += gradient_of(rank, bag, kDim - 1);
      }
  }
  std::map<std::pair<int64_t, int64_t>, float> expected;
  for (int rank = 0; rank < ranks; ++rank) {
    const Directory directory(tables, c.hierarchy, c.plan, rank);
    for (const auto& [key, sum] : sums)
      if (directory.holder(key) == rank) expected[{key, rank}] = sum;
  }
  for (auto it = total.begin(); it != total.end();)  // rows nobody touched may come with a sum of 0 (dense reduction)
    it = sums.count(it->first.first) == 0 && it->second == 0 ? total.erase(it) : std::next(it);
  CHECK(total == expected);
}

}  // namespace

TEST_CASE("RowsAndGradientsTravelOnEverySystem") {
  std::mt19937 random(5);
  const Tables tables({1, 4, 60, 200, 30}, kDim);
  for (const auto& [name, hierarchy] : hierarchies())
    for (const int longest : {1, 4})
      for (const Transport transport :
           {Transport::staged, Transport::direct, Transport::pooled, Transport::partial_sums}) {
        INFO(name << ", transport " << static_cast<int>(transport) << ", bags up to " << longest);
        ResolvedPlan held = ResolvedPlan::uniform(tables, hierarchy, 0);
        for (ResolvedTable& table : held.tables) table.rules[0].transport = transport;
        check(tables, {hierarchy, held, longest, DType::f32});
        const ResolvedPlan mixed = random_plan(tables, hierarchy, hierarchy.depth(), random);  // transports mixed too
        check(tables, {hierarchy, mixed, longest, DType::f32});
        for (ResolvedOption& option : held.options) option.offloaded.assign(option.rings.size(), true);
        check(tables, {hierarchy, held, longest, DType::f32});
        const ResolvedPlan two_stores = random_plan(tables, hierarchy, hierarchy.depth(), random, true);
        check(tables, {hierarchy, two_stores, longest, DType::f32});
      }
}

TEST_CASE("Bf16OnTheWireKeepsValuesThatFitIt") {
  const Tables tables({1, 4, 10}, kDim);  // values up to 8 * 14 + 2 and sums of two of them below 256: exact in 8 bits
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    for (int level = 0; level <= hierarchy.depth(); ++level)
      for (const Reduction reduction : {Reduction::sparse, Reduction::dense})
        for (const Transport transport : {Transport::staged, Transport::pooled}) {
          ResolvedPlan plan = ResolvedPlan::uniform(tables, hierarchy, level, reduction);
          for (ResolvedTable& table : plan.tables) table.rules[0].transport = transport;
          check(tables, {hierarchy, plan, 2, DType::bf16});
        }
  }
}

TEST_CASE("ARowCrossesTheNetworkOncePerNode") {
  // 2 nodes of 2 ranks, all four want the same 10 rows, all held by node 0's rank 0 or node 1's ranks.
  const Tables tables({40}, kDim);
  const Hierarchy hierarchy({{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 2, 3}});
  ResolvedPlan plan = ResolvedPlan::uniform(tables, hierarchy, 0);
  std::vector<int64_t> positions(40);
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int64_t>(i);
  for (const bool combine : {true, false}) {
    plan.tables[0].rules[0].transport = combine ? Transport::staged : Transport::direct;
    std::mutex mutex;
    int64_t between_nodes = 0;
    run_ranks(4, [&](Comm& comm) {
      const auto backend = make_host_backend(1);
      const auto stream = backend->make_stream();
      const Directory directory(tables, hierarchy, plan, comm.rank());
      const StageComms comms(comm, comm, hierarchy);
      std::vector<float> values(directory.slots() * kDim);
      std::fill_n(values.data(), values.size(), 1.0f);
      Router router(*backend, directory, comms);
      RowTransfer transfer(*backend, kDim, DType::f32);
      RowExchange exchange(RankContext::on_host(*backend, comm), comms,
                           {values.data(), nullptr, directory.slots(), kDim, 0}, transfer);
      Route route(*backend, comms.sizes());
      Batch batch;
      batch.samples = 40;
      batch.tables = 1;
      batch.positions = positions;
      router.build(*stream, batch, route, true);
      exchange.fetch_whole(*stream, route, {});
      const std::lock_guard lock(mutex);
      between_nodes += comms.traffic(0).received_bytes[static_cast<size_t>(Phase::rows)];
    });
    // Each node lacks 20 of the 40 rows: once per node with combining, once per rank plus what its own node holds
    // without.
    CHECK(between_nodes == (combine ? 2 * 20 : 4 * 30) * kDim * 4);
  }
}

TEST_CASE("RowsThatTwoBatchesUseAreFoundByAllWhoAskForThem") {
  std::mt19937 random(8);
  const Tables tables({1, 4, 60, 2000, 30}, kDim);
  for (const auto& [name, hierarchy] : hierarchies()) {
    INFO(name);
    const int ranks = hierarchy.ranks();
    ResolvedPlan plan = random_plan(tables, hierarchy, hierarchy.depth(), random);
    for (ResolvedTable& table : plan.tables)
      table.rules[0].transport = random() % 2 ? Transport::staged : Transport::direct;
    std::vector<RandomBatch> batches[2];
    std::set<int64_t> used[2];
    for (const size_t k : {0, 1})
      for (int rank = 0; rank < ranks; ++rank) {
        batches[k].emplace_back(tables, rank == 1 ? 0 : 5 + rank, 4, static_cast<unsigned>(100 * k) + rank);
        const RandomBatch& batch = batches[k].back();
        for (int t = 0; t < tables.count(); ++t)
          for (int64_t l = batch.offsets[t * batch.batch.samples]; l < batch.offsets[(t + 1) * batch.batch.samples];
               ++l)
            used[k].insert(tables.first_key(t) + batch.positions[l]);
      }
    std::mutex mutex;
    int64_t wrong = 0, dirty = 0, clean = 0;
    run_ranks(ranks, [&, &shape = hierarchy](Comm& comm) {
      const auto backend = make_host_backend(1);
      const auto stream = backend->make_stream();
      const Directory directory(tables, shape, plan, comm.rank());
      const StageComms comms(comm, comm, shape);
      Array<float> values(*backend, Memory::device, directory.slots() * kDim);
      EmbeddingExchange exchange(RankContext::on_host(*backend, comm), directory, comms,
                                 {values.data(), nullptr, directory.slots(), kDim, 0}, nullptr, DType::f32);
      BatchRoute first(*backend, comms.sizes(), ranks), second(*backend, comms.sizes(), ranks);
      exchange.build(*stream, batches[0][comm.rank()].batch, first, true);
      exchange.build(*stream, batches[1][comm.rank()].batch, second, true);
      exchange.divide(*stream, first, second);
      const std::lock_guard lock(mutex);
      const auto compare = [&](const Route& route, const RowSplit& split) {
        for (size_t level = 0; level < route.lists.size(); ++level)
          for (int64_t i = 0; i < route.lists[level].count; ++i) {
            const int64_t key = route.lists[level].keys.data()[i];
            const bool expected = directory.level(key) > 0 || (used[0].count(key) && used[1].count(key));
            wrong += split.dirty[level].data()[i] != (expected ? 1 : 0);
            ++(expected ? dirty : clean);
          }
      };
      compare(first.rows, first.rows.with_next);
      compare(second.rows, second.rows.with_previous);
    });
    CHECK(wrong == 0);
    CHECK(dirty > 0);
    CHECK(clean > 0);
  }
}

TEST_CASE("AllReduceSumsOverEveryTree") {
  for (const auto& [name, hierarchy] : hierarchies())
    for (const int64_t n : {0, 1, 5, 64, 1001})
      for (const DType wire : {DType::f32, DType::bf16}) {
        INFO(name << ", " << n << " floats");
        std::mutex mutex;
        std::vector<std::vector<float>> results;
        run_ranks(hierarchy.ranks(), [&, &shape = hierarchy](Comm& comm) {
          const auto backend = make_host_backend(1);
          const auto stream = backend->make_stream();
          StagedAllReduce all_reduce(*backend, comm, shape, n, wire);
          Array<float> values(*backend, Memory::device, n);
          for (int round = 0; round < 2; ++round) {
            for (int64_t i = 0; i < n; ++i)
              values[i] = static_cast<float>((i + comm.rank() * 3) % 7);  // sums below 8 * 7: exact in bf16
            all_reduce.sum(*stream, values.data());
          }
          const std::lock_guard lock(mutex);
          results.emplace_back(values.data(), values.data() + n);
        });
        std::vector<float> expected(n, 0);
        for (int rank = 0; rank < hierarchy.ranks(); ++rank)
          for (int64_t i = 0; i < n; ++i) expected[i] += static_cast<float>((i + rank * 3) % 7);
        for (const auto& result : results) CHECK(result == expected);
      }
}

TEST_CASE("AllReduceMovesTheLeastBytesOnEqualTrees") {
  // 2 x 2, n floats: inside a node each rank sends n/2 twice (its half there and back), between nodes n/4 twice.
  const Hierarchy hierarchy({{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 2, 3}});
  constexpr int64_t kFloats = 400;
  run_ranks(4, [&](Comm& comm) {
    const auto backend = make_host_backend(1);
    const auto stream = backend->make_stream();
    StagedAllReduce all_reduce(*backend, comm, hierarchy, kFloats, DType::f32);
    Array<float> values(*backend, Memory::device, kFloats);
    std::fill_n(values.data(), kFloats, 1.0f);
    all_reduce.sum(*stream, values.data());
    const auto phase = static_cast<size_t>(Phase::allreduce);
    if (all_reduce.comms().traffic(1).sent_bytes[phase] != 2 * kFloats / 2 * 4) throw Error("stage 1");
    if (all_reduce.comms().traffic(0).sent_bytes[phase] != 2 * kFloats / 4 * 4) throw Error("stage 0");
  });
}
