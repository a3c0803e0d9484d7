#include "data/loader.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "access/counts.hpp"
#include "base/random.hpp"
#include "data/shuffle.hpp"
#include "support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

namespace {

/// A batch's contents, kept.
struct Kept {
  int64_t index, first_sample, samples, global_samples;
  std::vector<float> dense, labels;
  std::vector<int64_t> offsets, positions;
  bool operator==(const Kept&) const = default;
};

Kept keep(const Batch& b) {
  CHECK(b.tables == kCriteoTables);
  return {b.index,
          b.first_sample,
          b.samples,
          b.global_samples,
          {b.dense.begin(), b.dense.end()},
          {b.labels.begin(), b.labels.end()},
          {b.offsets.begin(), b.offsets.end()},
          {b.positions.begin(), b.positions.end()}};
}

/// 2,500 samples in three files of text; loaders over samples 100 .. 2,400 of them.
struct Fixture {
  TempFolder folder;
  std::vector<Sample> samples = make_samples(1, 2500);
  Dataset data = write_and_open();
  SampleRange range{100, 2400};
  LoaderOptions options = [] {
    LoaderOptions o;
    o.shapes.rows.assign(kCriteoTables, 1000);
    o.shapes.rows[5] = 17;
    o.global_batch = 256;
    return o;
  }();
  PositionMap positions{options.shapes.rows};

  Dataset write_and_open() {
    const auto part = [&](int64_t first, int64_t last) {
      return text_of({samples.begin() + first, samples.begin() + last});
    };
    write_file(folder / "day_0", part(0, 700));
    write_file(folder / "day_1", part(700, 701));
    write_file(folder / "day_2", part(701, 2500));
    return open_dataset({folder / "day_*"}, {});
  }

  void use_counted_positions() {
    Counts counts = zero_counts(options.shapes);
    count_ids(data, range, options.shapes, counts);
    positions = PositionMap::by_count(counts);
  }

  std::vector<Kept> load(const Dataset& from, LoaderOptions loader_options) const {
    Loader loader(from, range, positions, std::move(loader_options));
    std::vector<Kept> batches;
    while (const Batch* batch = loader.next()) batches.push_back(keep(*batch));
    CHECK(loader.next() == nullptr);
    return batches;
  }

  /// Sample i of the stream of batches of one rank, from its batch.
  void check_sample(const Kept& batch, int64_t i, const Sample& sample) const {
    const TableShapes& shapes = options.shapes;
    bool same = batch.labels[i] == sample.label;
    for (int c = 0; c < kCriteoDense; ++c)
      same &= batch.dense[i * kCriteoDense + c] == criteo_dense_value(sample.integers[c]);
    for (int t = 0; t < kCriteoTables; ++t) {
      const int64_t rows = shapes.rows[t], id = sample.categories[t] % rows;
      const size_t bag = static_cast<size_t>(t * batch.samples + i);
      const int64_t begin = batch.offsets.empty() ? static_cast<int64_t>(bag) : batch.offsets[bag];
      const int64_t end = batch.offsets.empty() ? begin + 1 : batch.offsets[bag + 1];
      same &= end - begin == shapes.bag_size(t);
      for (int64_t j = begin; j < end; ++j) {
        const int64_t expected = j == begin ? id : bag_id(t, id, static_cast<int>(j - begin), rows);
        same &= batch.positions[j] == positions.position(t, expected);
      }
    }
    REQUIRE(same);
  }

  /// Loads as each of `ranks` ranks; every sample of the stream must be there once, in order, and be source(i).
  template <class Source>
  void check_stream(int ranks, Source source) {
    options.ranks = ranks;
    std::vector<std::vector<Kept>> of_rank;
    for (options.rank = 0; options.rank < ranks; ++options.rank) of_rank.push_back(load(data, options));
    int64_t at = 0;
    const int64_t batches = (range.size() + options.global_batch - 1) / options.global_batch;
    for (int64_t k = 0; k < batches; ++k) {
      for (int r = 0; r < ranks; ++r) {
        REQUIRE(static_cast<int64_t>(of_rank[r].size()) == batches);
        const Kept& batch = of_rank[r][k];
        REQUIRE(batch.index == k);
        REQUIRE(batch.first_sample == at);
        REQUIRE(batch.global_samples == std::min(options.global_batch, range.size() - k * options.global_batch));
        for (int64_t i = 0; i < batch.samples; ++i) check_sample(batch, i, samples[range.first + source(at + i)]);
        at += batch.samples;
      }
    }
    CHECK(at == range.size());
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "The parts of any number of ranks are the same stream, with a short last batch", "[loader]") {
  for (const int ranks : {1, 2, 3, 4, 7}) check_stream(ranks, [](int64_t i) { return i; });
}

TEST_CASE_METHOD(Fixture, "Batches larger than a chunk and than the data are whole", "[loader]") {
  for (const int64_t batch : {1, 1500, 2300, 100000}) {
    options.global_batch = batch;
    check_stream(batch == 1 ? 2 : 3, [](int64_t i) { return i; });
  }
}

TEST_CASE_METHOD(Fixture, "Weighted parts are the same stream, and a share of 0 has empty batches", "[loader]") {
  options.shares = {0, 1, 0.5, 0, 2.5};
  check_stream(5, [](int64_t i) { return i; });
  options.rank = 3;
  for (const Kept& batch : load(data, options)) {
    CHECK(batch.samples == 0);
    CHECK(batch.positions.empty());
  }
}

TEST_CASE_METHOD(Fixture, "Divided data give each rank a part of its own, every sample once", "[loader]") {
  options.split_data = true;
  for (const std::vector<double>& shares : {std::vector<double>{}, {1, 0, 2}}) {
    options.ranks = 3;
    options.shares = shares;
    int64_t at = 0;
    for (options.rank = 0; options.rank < options.ranks; ++options.rank) {
      const SampleRange own =
          part_of_data(range.size(), options.global_batch, options.rank, options.ranks, options.shares);
      CHECK(own.first == at);
      for (const Kept& batch : load(data, options)) {
        const int64_t in_batch = std::min(options.global_batch, range.size() - batch.index * options.global_batch);
        CHECK(batch.samples == part_of_batch(in_batch, options.rank, options.ranks, options.shares).size());
        for (int64_t i = 0; i < batch.samples; ++i) check_sample(batch, i, samples[range.first + at + i]);
        at += batch.samples;
      }
      CHECK(own.last == at);
    }
    CHECK(at == range.size());
  }
}

TEST_CASE_METHOD(Fixture, "Positions by count and bags reach the batch", "[loader]") {
  options.shapes.bag_sizes.assign(kCriteoTables, 1);
  options.shapes.bag_sizes[0] = 4;
  options.shapes.bag_sizes[13] = 2;
  use_counted_positions();
  CHECK(!positions.is_identity(0));
  check_stream(3, [](int64_t i) { return i; });
}

TEST_CASE_METHOD(Fixture, "A shuffled stream is permuted within windows, the same for any number of ranks",
                 "[loader]") {
  for (const int64_t window : {1, 100, 1000, 5000}) {
    options.shuffle_window = window;
    options.seed = 5;
    options.epoch = 2;
    const WindowShuffle shuffle(range.size(), window, 5, 2);
    for (const int ranks : {1, 3}) check_stream(ranks, [&](int64_t i) { return shuffle.source(i); });
  }
}

TEST_CASE_METHOD(Fixture, "Text, gzip and npy give identical batches", "[loader]") {
  for (Sample& sample : samples)
    for (uint32_t& value : sample.categories) value &= 0x7fffffffu;  // what npy's int32 can hold
  write_file(folder / "x.tsv", text_of(samples));
  write_file(folder / "x.tsv.gz", gzip_of(text_of(samples)));
  write_npy_triplet(folder / "x", samples, true);
  const OpenOptions open{.scratch = folder / "scratch"};
  for (const int64_t window : {0, 300}) {
    options.shuffle_window = window;
    const std::vector<Kept> text = load(open_dataset({folder / "x.tsv"}, open), options);
    CHECK(text == load(open_dataset({folder / "x.tsv.gz"}, open), options));
    CHECK(text == load(open_dataset({folder / "x_dense.npy"}, open), options));
  }
}

TEST_CASE_METHOD(Fixture, "A pass resumed at batch k is the rest of the pass", "[loader]") {
  options.shuffle_window = 600;
  const std::vector<Kept> whole = load(data, options);
  for (const int64_t k : {1, 5, 8, 9}) {
    options.first_batch = k;
    CHECK(load(data, options) == std::vector<Kept>(whole.begin() + k, whole.end()));
  }
  options.first_batch = 10;
  CHECK_THROWS_AS(Loader(data, range, positions, options), Error);
}

TEST_CASE_METHOD(Fixture, "Turns are whole batches of the same stream", "[loader]") {
  for (const int64_t window : {0, 600}) {
    options.first_batch = 0, options.every = 1, options.shuffle_window = window;
    const std::vector<Kept> whole = load(data, options);  // 9 batches
    options.ahead = 1;
    for (const int64_t every : {2, 3, 8, 9, 20}) {
      options.every = every;
      for (const int64_t first : {0, 1, 5, 8, 9}) {
        options.first_batch = first;
        std::vector<Kept> expected;
        for (int64_t k = first; k < std::ssize(whole); k += every) expected.push_back(whole[k]);
        CHECK(load(data, options) == expected);
      }
      options.first_batch = 9 + every;
      CHECK_THROWS_AS(Loader(data, range, positions, options), Error);
    }
  }
}

TEST_CASE_METHOD(Fixture, "A batch and the one before it stay as they were while the loader runs ahead", "[loader]") {
  options.global_batch = 10;
  options.ahead = 2;
  Loader loader(data, range, positions, options);
  const Batch* batch = loader.next();
  while (batch != nullptr) {
    const Kept before = keep(*batch);
    const Batch* next = loader.next();
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    REQUIRE(keep(*batch) == before);
    batch = next;
  }
}

TEST_CASE_METHOD(Fixture, "Memory is asked for in the constructor alone", "[loader]") {
  int calls = 0;
  options.allocate = [&](size_t bytes) {
    ++calls;
    return std::shared_ptr<std::byte>(static_cast<std::byte*>(std::aligned_alloc(64, bytes)),
                                      [](std::byte* p) { std::free(p); });
  };
  options.ahead = 3;
  Loader loader(data, range, positions, options);
  CHECK(calls == 5);
  std::set<const float*> buffers;
  while (const Batch* batch = loader.next()) buffers.insert(batch->dense.data());
  CHECK(calls == 5);
  CHECK(buffers.size() == 5);
}

TEST_CASE_METHOD(Fixture, "A loader may be destroyed at any time", "[loader]") {
  for (const int64_t window : {0, 1000}) {
    options.shuffle_window = window;
    for (int taken = 0; taken < 12; ++taken) {
      Loader loader(data, range, positions, options);
      for (int k = 0; k < taken; ++k) loader.next();
    }
  }
}

TEST_CASE_METHOD(Fixture, "What goes wrong on the thread is thrown by next, after the batches before it", "[loader]") {
  write_file(folder / "bad.tsv",
             text_of({samples.begin(), samples.begin() + 600}) + "1\t2\n" + text_of(make_samples(9, 100)));
  const Dataset bad = open_dataset({folder / "bad.tsv"}, {});
  for (const int64_t window : {0, 100}) {
    options.shuffle_window = window;
    Loader loader(bad, {0, 701}, positions, options);
    CHECK(loader.next() != nullptr);
    CHECK(loader.next() != nullptr);
    for (int again = 0; again < 2; ++again)
      CHECK_THAT(error_of([&] { loader.next(); }), Contains("bad.tsv:601: 2 columns, 40 expected"));
  }
}

TEST_CASE_METHOD(Fixture, "An empty range has no batches", "[loader]") {
  Loader loader(data, {7, 7}, positions, options);
  CHECK(loader.batches() == 0);
  CHECK(loader.next() == nullptr);
}

TEST_CASE_METHOD(Fixture, "Options that make no sense are Errors", "[loader]") {
  const auto refused = [&](auto change) {
    LoaderOptions changed = options;
    change(changed);
    CHECK_THROWS_AS(Loader(data, range, positions, changed), Error);
  };
  refused([](LoaderOptions& o) { o.global_batch = 0; });
  refused([](LoaderOptions& o) { o.rank = 1; });
  refused([](LoaderOptions& o) { o.shares = {1, 1}; });
  refused([](LoaderOptions& o) { o.ahead = 0; });
  refused([](LoaderOptions& o) { o.shuffle_window = -1; });
  refused([](LoaderOptions& o) { o.split_data = true, o.shuffle_window = 10; });
  refused([](LoaderOptions& o) { o.first_batch = -1; });
  refused([](LoaderOptions& o) { o.every = 0; });
  refused([](LoaderOptions& o) { o.shapes.rows[3] = 999; });
  CHECK_THROWS_AS(Loader(data, {0, 2501}, positions, options), Error);
}
