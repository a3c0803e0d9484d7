// Whole batches are read in turn and their samples sent: over ranks that are threads, with messages that take their
// time.
#include "assign/assigned_batches.hpp"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "comm/collectives.hpp"
#include "test/data/support.hpp"
#include "test/support/error_of.hpp"
#include "test/support/thread_comm.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

namespace {

/// Waits for a while, another each time, whenever it waits.
class LateComm final : public Comm {
 public:
  LateComm(std::unique_ptr<Comm> comm, uint32_t seed) : comm_(std::move(comm)), random_(seed) {}
  int rank() const override { return comm_->rank(); }
  int size() const override { return comm_->size(); }
  Ticket post(Stream* stream, const AllToAll& operation) override { return comm_->post(stream, operation); }
  void wait(Ticket ticket) override {
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % 4 == 0 ? random_() % 1500 : 0));
    comm_->wait(ticket);
  }
  std::unique_ptr<Comm> split(int color, int key) override { return comm_->split(color, key); }
  const Traffic& traffic() const override { return comm_->traffic(); }
  double timeout_seconds() const override { return comm_->timeout_seconds(); }
  std::string name() const override { return comm_->name(); }

 private:
  std::unique_ptr<Comm> comm_;
  std::mt19937 random_;
};

/// What is compared of a batch, kept.
struct Kept {
  int64_t index, samples, global_samples;
  std::vector<float> dense, labels;
  std::vector<int64_t> offsets, positions, new_rows;
  bool operator==(const Kept&) const = default;
};

Kept keep(const Batch& b) {
  return {b.index,
          b.samples,
          b.global_samples,
          {b.dense.begin(), b.dense.end()},
          {b.labels.begin(), b.labels.end()},
          {b.offsets.begin(), b.offsets.end()},
          {b.positions.begin(), b.positions.end()},
          {b.new_rows.begin(), b.new_rows.end()}};
}

struct Setting {
  int ranks = 4;
  std::vector<double> shares = {};
  bool local = true, first_use = true;
  int delay = 1, passes = 1, ahead = 2;
  int64_t first_batch = 0, most = 1 << 30;
  int64_t window = 0;
  uint32_t late = 0;   ///< messages take their time; 0: none does
  int64_t taken = -1;  ///< next() is called so often; -1: to the end
};

/// The holders as the nodes of a run know them: ranks 0 1, ranks 2 3, ...; the first of a node writes.
struct Maps {
  Maps(int64_t keys, int ranks, int64_t room) {
    std::vector<std::shared_ptr<std::byte>> memory;
    const std::vector<int64_t> rooms(static_cast<size_t>(ranks), room);
    for (int rank = 0; rank < ranks; ++rank) {
      if (rank % 2 == 0) {
        const size_t bytes = HolderMap::bytes(keys, ranks);
        memory.emplace_back(static_cast<std::byte*>(std::calloc(1, bytes)), [](std::byte* p) { std::free(p); });
      }
      of_rank.push_back(std::make_unique<HolderMap>(memory.back(), keys, rooms, rank % 2 == 0, 100));
    }
  }
  std::vector<std::unique_ptr<HolderMap>> of_rank;
};

/// 1,150 samples in two files, batches of 100 of samples 30 .. 1,090: ten, and one of 60.
struct Fixture {
  TempFolder folder;
  Dataset data = write_and_open();
  SampleRange range{30, 1090};
  LoaderOptions options = [] {
    LoaderOptions o;
    o.shapes.rows.assign(kCriteoTables, 300);
    o.shapes.rows[5] = 17;
    o.shapes.rows[9] = 70000;
    o.global_batch = 100;
    o.seed = 5;
    return o;
  }();
  PositionMap positions{options.shapes.rows};
  Tables tables{options.shapes.rows, 4};

  Dataset write_and_open() {
    write_file(folder / "a.tsv", text_of(make_samples(1, 700)));
    write_file(folder / "b.tsv", text_of(make_samples(2, 450)));
    return open_dataset({folder / "*.tsv"}, {});
  }

  RowPlaces places(const Setting& setting) const {
    ResolvedPlan plan = ResolvedPlan::uniform(tables, Hierarchy::flat(setting.ranks), 0);
    for (ResolvedTable& table : plan.tables) table.rules[0].holders.first_use = setting.first_use;
    plan.options.push_back(option_at_level(Hierarchy::flat(setting.ranks), setting.ranks == 1 ? 0 : 1, {}));
    plan.tables[5].intervals = {{{0, 17, 1}}};  // everywhere
    plan.tables[3].rules[0].holders.fixed = 0;
    return {plan, tables, setting.first_use};
  }

  AssignedBatchesOptions options_of(const Setting& setting, int rank) const {
    AssignedBatchesOptions assigned;
    assigned.loader = options;
    assigned.loader.rank = rank;
    assigned.loader.ranks = setting.ranks;
    assigned.loader.shares = setting.shares;
    assigned.loader.ahead = setting.ahead;
    assigned.loader.first_batch = setting.first_batch;
    assigned.loader.shuffle_window = setting.window;
    assigned.first_step = setting.first_batch;
    assigned.batches = setting.most;
    assigned.assignment = {setting.local, setting.delay, setting.passes};
    assigned.tree = AssignerTree::flat(setting.ranks);
    return assigned;
  }

  std::unique_ptr<AssignedBatches> open(const Setting& setting, Comm& comm, const Dataset& from, HolderMap* map,
                                        std::function<void(const Traffic&)> book = {}) const {
    std::unique_ptr<Comm> own = comm.split(0, comm.rank());
    if (setting.late > 0)
      own = std::make_unique<LateComm>(std::move(own), setting.late + static_cast<uint32_t>(comm.rank()));
    AssignedBatchesOptions assigned = options_of(setting, comm.rank());
    assigned.book = std::move(book);
    return std::make_unique<AssignedBatches>(std::move(own), from, range, positions, tables, places(setting), map,
                                             std::move(assigned));
  }

  /// By rank: its batches.
  std::vector<std::vector<Kept>> run(const Setting& setting, Maps* maps = nullptr) const {
    std::optional<Maps> own;
    if (!maps) maps = &own.emplace(tables.total_rows(), setting.ranks, 1 << 30);
    std::vector<std::vector<Kept>> of_rank(static_cast<size_t>(setting.ranks));
    run_ranks(setting.ranks, [&](Comm& comm) {
      const auto rank = static_cast<size_t>(comm.rank());
      const auto source = open(setting, comm, data, setting.first_use ? maps->of_rank[rank].get() : nullptr);
      std::mt19937 random(setting.late + static_cast<uint32_t>(rank));
      for (int64_t i = 0; i != setting.taken; ++i) {
        const Batch* batch = source->next();
        if (!batch) break;
        if (setting.late > 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
        of_rank[rank].push_back(keep(*batch));
      }
      if (setting.taken < 0) SPARROW_CHECK(source->next() == nullptr);
    });
    return of_rank;
  }

  /// The batches whole, as one rank reads them.
  std::vector<Kept> whole(const Setting& setting) const {
    LoaderOptions one = options;
    one.shuffle_window = setting.window;
    Loader loader(data, range, positions, one);
    std::vector<Kept> batches;
    while (const Batch* batch = loader.next()) batches.push_back(keep(*batch));
    return batches;
  }

  /// All values of a sample, for finding it again.
  std::vector<double> sample(const Kept& batch, int64_t i) const {
    std::vector<double> values{batch.labels[i]};
    for (int c = 0; c < kCriteoDense; ++c) values.push_back(batch.dense[i * kCriteoDense + c]);
    int64_t before = 0;
    for (int t = 0; t < kCriteoTables; before += batch.samples * options.shapes.bag_size(t++))
      for (int j = 0; j < options.shapes.bag_size(t); ++j)
        values.push_back(static_cast<double>(batch.positions[before + i * options.shapes.bag_size(t) + j]));
    return values;
  }

  /// Every sample is with one rank, in the order of the batch, and each rank has its number of them.
  void check_samples(const Setting& setting, const std::vector<std::vector<Kept>>& of_rank) const {
    const std::vector<Kept> batches = whole(setting);
    const int64_t end = std::min<int64_t>(std::ssize(batches), setting.most);
    for (const std::vector<Kept>& own : of_rank) REQUIRE(std::ssize(own) == end - setting.first_batch);
    for (int64_t k = setting.first_batch; k < end; ++k) {
      std::map<std::vector<double>, int64_t> number;
      for (int64_t i = 0; i < batches[k].samples; ++i) number[sample(batches[k], i)] = i;
      REQUIRE(std::ssize(number) == batches[k].samples);
      int64_t found = 0;
      for (int rank = 0; rank < setting.ranks; ++rank) {
        const Kept& own = of_rank[rank][k - setting.first_batch];
        REQUIRE(own.index == k);
        REQUIRE(own.global_samples == batches[k].samples);
        REQUIRE(own.samples == part_of_batch(own.global_samples, rank, setting.ranks, setting.shares).size());
        int64_t before = -1;
        for (int64_t i = 0; i < own.samples; ++i, ++found) {
          const auto at = number.find(sample(own, i));
          REQUIRE(at != number.end());
          REQUIRE(at->second > before);
          before = at->second;
          if (!setting.local) REQUIRE(at->second == found);
          number.erase(at);
        }
      }
      REQUIRE(number.empty());
    }
  }

  /// Rows that are looked up have a holder, who is told of it not later than with the batch.
  void check_holders(const Setting& setting, const std::vector<std::vector<Kept>>& of_rank, const Maps& maps) const {
    const RowPlaces where = places(setting);
    std::map<int64_t, int> told;
    for (size_t k = 0; k < of_rank[0].size(); ++k) {
      for (int rank = 0; rank < setting.ranks; ++rank)
        for (const int64_t key : of_rank[rank][k].new_rows) {
          const auto [at, first] = told.try_emplace(key, rank);
          REQUIRE(at->second == rank);
          if (setting.delay == 1) REQUIRE(first);
          for (const auto& map : maps.of_rank) REQUIRE(map->holder(key) == rank);
        }
      for (const std::vector<Kept>& own : of_rank) {
        int64_t before = 0;
        for (int t = 0; t < kCriteoTables; ++t)
          for (int64_t i = 0; i < own[k].samples * options.shapes.bag_size(t); ++i, ++before)
            if (where.of(t, own[k].positions[before]).kind == RowPlaces::Kind::mapped)
              REQUIRE(told.contains(tables.first_key(t) + own[k].positions[before]));
      }
    }
    if (setting.first_use) REQUIRE(!told.empty());
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "Every sample reaches one rank, whose number of them it is") {
  for (const int ranks : {1, 2, 3, 4, 8})
    for (const bool local : {true, false})
      for (const bool first_use : {true, false}) {
        const Setting setting{.ranks = ranks, .local = local, .first_use = first_use, .ahead = ranks == 3 ? 1 : 2};
        INFO(ranks << " ranks, local " << local << ", first use " << first_use);
        Maps maps(tables.total_rows(), ranks, 1 << 30);
        const auto of_rank = run(setting, &maps);
        check_samples(setting, of_rank);
        check_holders(setting, of_rank, maps);
      }
}

TEST_CASE_METHOD(Fixture, "Shares, and ranks that train nothing and read nothing") {
  for (const std::vector<double>& shares : {std::vector<double>{1, 0, 2, 0.5}, {0, 0, 1, 0}, {1, 1, 1, 0}}) {
    const Setting setting{.shares = shares, .delay = 2};
    Maps maps(tables.total_rows(), 4, 1 << 30);
    const auto of_rank = run(setting, &maps);
    check_samples(setting, of_rank);
    check_holders(setting, of_rank, maps);
  }
}

TEST_CASE_METHOD(Fixture, "Bags, windows, and positions by count") {
  options.shapes.bag_sizes.assign(kCriteoTables, 1);
  options.shapes.bag_sizes[0] = 4;
  options.shapes.bag_sizes[9] = 2;
  for (const int64_t window : {0, 70, 1000}) {
    const Setting setting{.ranks = 3, .window = window};
    Maps maps(tables.total_rows(), 3, 1 << 30);
    const auto of_rank = run(setting, &maps);
    check_samples(setting, of_rank);
    check_holders(setting, of_rank, maps);
  }
}

TEST_CASE_METHOD(Fixture, "Fewer samples than ranks, one batch, none") {
  for (const int64_t batch : {1, 5, 2000}) {
    options.global_batch = batch;
    if (batch < 10) range = {30, 30 + 9};
    const Setting setting{.ranks = 8, .delay = 3};
    check_samples(setting, run(setting));
  }
  range = {30, 30};
  CHECK(run({.ranks = 3})[1].empty());
}

TEST_CASE_METHOD(Fixture, "The batches are the same however long messages take") {
  for (const int delay : {1, 2, 4}) {
    const Setting setting{.ranks = delay == 2 ? 3 : 4, .delay = delay};
    Maps maps(tables.total_rows(), setting.ranks, 1 << 30);
    const auto expected = run(setting, &maps);
    check_samples(setting, expected);
    check_holders(setting, expected, maps);
    for (const uint32_t seed : {1, 2, 3, 4, 5}) {
      Setting late = setting;
      late.late = seed * 100;
      REQUIRE(run(late) == expected);
    }
    Setting further = setting;  // nor does it matter how far ahead they are made
    further.ahead = 7;
    CHECK(run(further) == expected);
  }
}

TEST_CASE_METHOD(Fixture, "A source may end after any number of batches, and then go on") {
  for (const int delay : {1, 3}) {
    const Setting setting{.delay = delay, .late = 7};
    const auto expected = run(setting);
    for (int64_t taken = 0; taken <= 11; ++taken) {
      Setting early = setting;
      early.taken = taken;
      Maps maps(tables.total_rows(), setting.ranks, 1 << 30);
      auto of_rank = run(early, &maps);
      run_ranks(setting.ranks, [&](Comm& comm) { maps.of_rank[comm.rank()]->roll_back(taken); });
      Setting rest = setting;
      rest.first_batch = taken;
      const auto more = run(rest, &maps);
      for (int rank = 0; rank < setting.ranks; ++rank)
        of_rank[rank].insert(of_rank[rank].end(), more[rank].begin(), more[rank].end());
      REQUIRE(of_rank == expected);
    }
  }
}

TEST_CASE_METHOD(Fixture, "No more batches are read than are wanted of the pass") {
  for (const int64_t most : {1, 4, 10}) {
    const Setting setting{.most = most};
    check_samples(setting, run(setting));
  }
}

TEST_CASE_METHOD(Fixture, "What is wrong with a batch is said by all ranks, after the batches before it") {
  write_file(folder / "bad.tsv", text_of(make_samples(3, 530)) + "1\t2\n" + text_of(make_samples(4, 900)));
  const Dataset bad = open_dataset({folder / "bad.tsv"}, {});
  for (const int64_t first : {0, 4, 5}) {  // batch 5, rank 1's
    std::mutex mutex;                      // Catch's macros are for one thread
    std::vector<std::string> said;
    Setting setting{.first_batch = first, .late = 3};
    setting.first_use = false;
    run_ranks(setting.ranks, [&](Comm& comm) {
      const auto source = open(setting, comm, bad, nullptr);
      for (int64_t k = first; k < 5; ++k) SPARROW_CHECK(source->next()->index == k);
      for (int again = 0; again < 2; ++again) {
        const std::string text = error_of([&] { source->next(); });
        const std::lock_guard lock(mutex);
        said.push_back(text);
      }
    });
    CHECK(std::ssize(said) == 2 * setting.ranks);
    for (const std::string& text : said)
      CHECK_THAT(text, Contains("batch 5 at rank 1") && Contains("bad.tsv:531: 2 columns, 40 expected"));
  }
}

TEST_CASE_METHOD(Fixture, "A rank that fails ends, and the others with it") {
  const Setting setting;
  Maps maps(tables.total_rows(), setting.ranks, 1 << 30);
  const auto failing = [&] {
    run_ranks(setting.ranks, [&](Comm& comm) {
      const auto source = open(setting, comm, data, maps.of_rank[comm.rank()].get());
      for (int k = 0; k < 4; ++k) {
        source->next();
        if (k == 2 && comm.rank() == 1) fail("something else");
      }
      while (source->next()) barrier(comm);
    });
  };
  CHECK_THAT(error_of(failing), Contains("something else"));
}

TEST_CASE_METHOD(Fixture, "Bytes are booked with the batches they brought, and nothing else is sent") {
  const SampleCodec codec(options.shapes);
  for (const bool first_use : {false, true}) {
    Setting setting{.first_use = first_use};
    Maps maps(tables.total_rows(), setting.ranks, 1 << 30);
    std::atomic<int64_t> bytes = 0, received = 0, kept = 0, calls = 0, news = 0;
    run_ranks(setting.ranks, [&](Comm& comm) {
      const auto book = [&](const Traffic& traffic) {
        bytes += traffic.sent_bytes[static_cast<size_t>(Phase::samples)];
        received += traffic.received_bytes[static_cast<size_t>(Phase::samples)];
        SPARROW_CHECK(sent_by_iterations(traffic) == traffic.sent_bytes[static_cast<size_t>(Phase::samples)]);
        ++calls;
      };
      const auto source = open(setting, comm, data, first_use ? maps.of_rank[comm.rank()].get() : nullptr, book);
      while (const Batch* batch = source->next()) {
        if (batch->index % setting.ranks == comm.rank()) kept += batch->samples;
        news += std::ssize(batch->new_rows);
      }
    });
    CHECK(calls == 4 * 11);
    CHECK(bytes == received);
    const int64_t samples = (range.size() - kept) * codec.sample_bytes(), headers = 11 * 3 * 16;
    if (!first_use) CHECK(bytes == samples + headers);
    CHECK(bytes >= samples + headers + 3 * news);
    CHECK(bytes <= samples + headers + 3 * (3 * news + 11 * 16));
  }
}

TEST_CASE_METHOD(Fixture, "Rows go on to the next rank where one is full") {
  for (const int delay : {1, 3}) {
    Setting setting{.delay = delay};
    const auto ample = run(setting);
    int64_t rows = 0;
    for (const auto& own : ample)
      for (const Kept& batch : own) rows += std::ssize(batch.new_rows);
    Maps maps(tables.total_rows(), setting.ranks, rows / 4 + 1);
    const auto of_rank = run(setting, &maps);
    check_samples(setting, of_rank);
    check_holders(setting, of_rank, maps);
    setting.late = 1;
    Maps again(tables.total_rows(), setting.ranks, rows / 4 + 1);
    CHECK(run(setting, &again) == of_rank);
  }
}

TEST_CASE_METHOD(Fixture, "A batch and the one before it stay as they were while others come") {
  const Setting setting{.ahead = 1};
  Maps maps(tables.total_rows(), setting.ranks, 1 << 30);
  run_ranks(setting.ranks, [&](Comm& comm) {
    const auto source = open(setting, comm, data, maps.of_rank[comm.rank()].get());
    for (const Batch* batch = source->next(); batch != nullptr;) {
      const Kept before = keep(*batch);
      const Batch* next = source->next();
      std::this_thread::sleep_for(std::chrono::microseconds(300));
      SPARROW_CHECK(keep(*batch) == before);
      batch = next;
    }
  });
}

TEST_CASE_METHOD(Fixture, "Memory of batches under way grows with a rank's part and the readers, not with the data") {
  Setting setting{.ranks = 8};
  const int64_t eight = AssignedBatches::memory_bytes(options_of(setting, 0));
  setting.shares = {1, 1, 1, 1, 1, 1, 1, 0};
  CHECK(AssignedBatches::memory_bytes(options_of(setting, 7)) < eight / 3);
  setting = {.ranks = 64};
  options.global_batch = 64 * 2048;
  const int64_t many = AssignedBatches::memory_bytes(options_of(setting, 0));
  CHECK(many < int64_t{64} * 2048 * 5000);
  CHECK_THROWS_AS(run({.ranks = 2, .delay = 0}), Error);
  CHECK_THROWS_AS(run({.ranks = 2, .ahead = 0}), Error);
  CHECK_THROWS_AS(run({.ranks = 2, .first_batch = -1}), Error);
}
