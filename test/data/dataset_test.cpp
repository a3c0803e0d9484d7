#include "data/dataset.hpp"

#include <catch2/catch.hpp>
#include <thread>

#include "base/random.hpp"
#include "data/npy.hpp"
#include "support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;

namespace {

bool equal(const SampleBlock& block, int64_t row, const Sample& sample, uint32_t mask = ~0u) {
  bool same = block.labels()[row] == sample.label;
  for (int i = 0; i < kCriteoDense; ++i)
    same &= block.dense()[row * kCriteoDense + i] == criteo_dense_value(sample.integers[i]);
  for (int t = 0; t < kCriteoTables; ++t) same &= block.category(t, row) == (sample.categories[t] & mask);
  return same;
}

/// Reads pseudo-random pieces and compares each sample with the one it must be.
void check_random_reads(const Dataset& data, const std::vector<Sample>& samples, int reads, uint32_t mask = ~0u) {
  REQUIRE(data.samples() == static_cast<int64_t>(samples.size()));
  SampleBlock block(3000);
  int64_t wrong = 0;
  for (uint64_t i = 0; i < static_cast<uint64_t>(reads); ++i) {
    const Philox4 words = random_words(21, 0, i, 0);
    const int64_t first = words.v[0] % (data.samples() + 1);
    const int64_t count = std::min<int64_t>(data.samples() - first, words.v[1] % (block.capacity() + 1));
    data.read(first, count, block.target());
    for (int64_t k = 0; k < count; ++k) wrong += !equal(block, k, samples[first + k], mask);
  }
  CHECK(wrong == 0);
}

std::vector<Sample> slice(const std::vector<Sample>& all, int64_t first, int64_t last) {
  return {all.begin() + first, all.begin() + last};
}

Dataset open_one(const std::string& path, int64_t skip_bad_lines = 0) {
  return open_dataset({path}, {.scratch = path + ".scratch", .skip_bad_lines = skip_bad_lines});
}

std::string read_error(const Dataset& data) {
  SampleBlock block(data.samples());
  return error_of([&] { data.read(0, data.samples(), block.target()); });
}

}  // namespace

TEST_CASE("Any piece of many files of any length is what was written there", "[dataset]") {
  const TempFolder folder;
  const std::vector<Sample> samples = make_samples(1, 12000);
  int64_t first = 0;
  for (uint64_t file = 0; first < 12000; ++file) {  // more files than are kept mapped, from 1 to about 5,000 samples
    const uint32_t word = random_words(2, 0, file, 0).v[0];
    const int64_t last = std::min<int64_t>(12000, first + 1 + (file % 40 == 7 ? word % 5000 : word % 60));
    std::string text = text_of(slice(samples, first, last));
    if (file % 3 == 0) text.pop_back();  // the last line feed may be missing
    write_file(folder / fmt::format("day_{}", file), text);
    first = last;
  }
  const Dataset data = open_dataset({folder / "day_*"}, {});
  CHECK(data.shards().size() > 64);
  check_random_reads(data, samples, 200);
}

TEST_CASE("Text, gzip and npy of the same samples read the same", "[dataset]") {
  const TempFolder folder;
  const std::vector<Sample> samples = make_samples(1, 5000);
  write_file(folder / "a.tsv", text_of(samples));
  write_file(folder / "b.tsv.gz", gzip_of(text_of(samples)));
  write_file(folder / "day_0.gz", gzip_of(text_of(slice(samples, 0, 99))) + gzip_of(text_of(slice(samples, 99, 5000))));
  check_random_reads(open_one(folder / "a.tsv"), samples, 20);
  check_random_reads(open_one(folder / "b.tsv.gz"), samples, 20);
  check_random_reads(open_one(folder / "day_0.gz"), samples, 20);
  for (const bool two_dimensional : {false, true})
    check_random_reads(open_one(write_npy_triplet(folder / "c", samples, two_dimensional)), samples, 20, 0x7fffffffu);
}

TEST_CASE("Scattered samples read the same as pieces", "[dataset]") {
  const TempFolder folder;
  const std::vector<Sample> samples = make_samples(1, 4000);
  write_file(folder / "day_0", text_of(slice(samples, 0, 1500)));
  write_file(folder / "day_1", text_of(slice(samples, 1500, 4000)));
  const Dataset data = open_dataset({folder / "day_*"}, {});
  std::vector<int64_t> located(3000), wanted, offsets;
  data.locate(700, located);
  for (uint64_t i = 0; i < 1000; ++i) {
    const int64_t in_window = random_words(3, 0, i, 0).v[0] % 3000;
    wanted.push_back(700 + in_window);
    offsets.push_back(located[in_window]);
  }
  SampleBlock block(1000);
  data.read_scattered(wanted, offsets, block.target());
  data.release_pages();
  for (int64_t i = 0; i < 1000; ++i) REQUIRE(equal(block, i, samples[wanted[i]]));
}

TEST_CASE("Threads may read at the same time", "[dataset]") {
  const TempFolder folder;
  const std::vector<Sample> samples = make_samples(1, 2000);
  for (int64_t file = 0; file < 100; ++file)
    write_file(folder / fmt::format("{}.tsv", file), text_of(slice(samples, file * 20, file * 20 + 20)));
  const Dataset data = open_dataset({folder / "*.tsv"}, {});
  std::vector<int64_t> wrong(4, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      SampleBlock block(100);
      for (int64_t k = 0; k < 60; ++k) {
        const int64_t first = random_words(t, 0, static_cast<uint64_t>(k), 0).v[0] % 1900;
        data.read(first, 100, block.target());
        for (int64_t i = 0; i < 100; ++i) wrong[t] += !equal(block, i, samples[first + i]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int64_t>(4, 0));
}

TEST_CASE("A malformed line is an Error with file and line when it is reached, also for gzip", "[dataset]") {
  const TempFolder folder;
  std::string text = text_of(make_samples(1, 1500));
  text += "0\t1\t2\n" + text_of(make_samples(2, 10));
  write_file(folder / "a.tsv", text);
  write_file(folder / "b.tsv.gz", gzip_of(text));
  for (const std::string name : {"a.tsv", "b.tsv.gz"}) {
    const Dataset data = open_one(folder / name);
    CHECK(data.samples() == 1511);
    SampleBlock block(1500);
    data.read(0, 1500, block.target());
    CHECK_THAT(read_error(data), Contains((folder / name) + ":1501: 3 columns, 40 expected"));
    CHECK_THAT(error_of([&] { data.read(1490, 20, block.target()); }), Contains(":1501: "));
  }
}

TEST_CASE("Tolerated bad lines are no samples, and messages still count them as lines", "[dataset]") {
  const TempFolder folder;
  const std::vector<Sample> samples = make_samples(1, 6000);
  std::string text;
  int64_t bad = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    // At the very beginning, several in a row, at the borders of the index, at random.
    const uint32_t word = random_words(4, 0, i, 0).v[0];
    const int64_t here = i == 0 || i == 1024 || i == 2048 ? 3 : word % 50 == 0 ? 1 + word / 50 % 3 : 0;
    for (int64_t k = 0; k < here; ++k, ++bad) text += k == 1 ? "\n" : "not a line\n";
    text += samples[i].line();
  }
  text += "no line feed";
  ++bad;
  write_file(folder / "a.tsv", text);
  const Dataset data = open_one(folder / "a.tsv", bad);
  CHECK(data.bad_lines() == bad);
  check_random_reads(data, samples, 100);

  const ShardIndex& index = data.shards()[0];
  std::vector<int64_t> offsets(6000);
  data.locate(0, offsets);
  int64_t line = 1;
  size_t at = 0;
  for (int64_t sample = 0; sample < 6000; ++sample) {
    for (; at < static_cast<size_t>(offsets[sample]); ++at) line += text[at] == '\n';
    REQUIRE(index.line_of(sample) == line);
  }

  const std::string message = error_of([&] { open_one(folder / "a.tsv", bad - 1); });
  CHECK_THAT(message, Contains(fmt::format("a.tsv:{}: ", 6000 + bad)) && Contains("skip_bad_lines"));
  CHECK_THAT(error_of([&] { open_one(folder / "a.tsv", 1); }), Contains("a.tsv:2: the line is empty"));
}

TEST_CASE("The tolerance for bad lines is of all files together", "[dataset]") {
  const TempFolder folder;
  for (const char* name : {"a.tsv", "b.tsv"}) write_file(folder / name, "bad\n" + text_of(make_samples(1, 3)));
  const auto open = [&](int64_t skip) {
    return open_dataset({folder / "*.tsv"}, {.scratch = "", .skip_bad_lines = skip});
  };
  CHECK(open(2).samples() == 6);
  CHECK_THAT(error_of([&] { open(1); }), Contains("2 malformed lines in 2 files"));
}

TEST_CASE("Files that are missing, empty, of an unknown kind or changed are Errors", "[dataset]") {
  const TempFolder folder;
  const auto refusal = [&](const std::string& name) { return error_of([&] { open_one(folder / name); }); };
  write_file(folder / "empty.tsv", "");
  write_file(folder / "empty.tsv.gz", gzip_of(""));
  write_file(folder / "a.csv", "1,2\n");
  CHECK_THAT(refusal("none.tsv"), Contains("none.tsv: No such file"));
  CHECK_THAT(refusal("none.tsv.gz"), Contains("none.tsv.gz: No such file"));
  CHECK_THAT(refusal("none_dense.npy"), Contains("none_dense.npy: No such file"));
  CHECK_THAT(refusal("empty.tsv"), EndsWith("empty.tsv: the file is empty"));
  CHECK_THAT(refusal("empty.tsv.gz"), EndsWith("empty.tsv.gz: the file is empty"));
  CHECK_THAT(refusal("a.csv"), Contains("a.csv: unknown file type"));
  write_file(folder / "only_bad.tsv", "bad\n");
  CHECK_THAT(error_of([&] { open_one(folder / "only_bad.tsv", 1); }), Contains("no samples"));

  write_file(folder / "a.tsv", text_of(make_samples(1, 10)));
  const Dataset data = open_one(folder / "a.tsv");
  write_file(folder / "a.tsv", text_of(make_samples(1, 9)));
  CHECK_THAT(read_error(data), Contains("has changed"));
}

TEST_CASE("Npy triplets that do not fit together are Errors", "[dataset]") {
  const TempFolder folder;
  const std::vector<Sample> samples = make_samples(1, 4);
  const std::string dense = write_npy_triplet(folder / "a", samples, true);
  const auto refusal = [&] { return error_of([&] { open_one(dense); }); };
  CHECK(refusal().empty());
  CHECK_THAT(error_of([&] { open_one(folder / "a_sparse.npy"); }),
             Contains("name an npy shard by its file ..._dense.npy"));

  write_npy<int32_t>(folder / "a_labels.npy", std::vector<int32_t>(3), {3});
  CHECK_THAT(refusal(), Contains("a_labels.npy: int32 of shape (4, 1) expected"));
  write_npy<float>(folder / "a_labels.npy", std::vector<float>(4), {4});
  CHECK_THAT(refusal(), Contains("a_labels.npy: int32"));
  write_npy<int32_t>(folder / "a_labels.npy", std::vector<int32_t>{0, 1, 2, 0}, {4});
  CHECK_THAT(read_error(open_one(dense)), Contains("a_labels.npy: row 2: the label is 2"));
  write_npy_triplet(folder / "a", samples, true);
  std::vector<int32_t> sparse(4 * kCriteoTables, 7);
  sparse[kCriteoTables + 4] = -5;
  write_npy<int32_t>(folder / "a_sparse.npy", sparse, {4, kCriteoTables});
  CHECK_THAT(read_error(open_one(dense)), Contains("a_sparse.npy: row 1: column C5 is negative (-5)"));
  write_npy<int32_t>(folder / "a_sparse.npy", sparse, {8, kCriteoTables / 2});
  CHECK_THAT(refusal(), Contains("a_sparse.npy: int32 of shape (4, 26) expected, this is (8, 13)"));
  write_npy<float>(folder / "a_dense.npy", {}, {0, kCriteoDense});
  CHECK_THAT(refusal(), Contains("a_dense.npy: the file holds no samples"));
}

TEST_CASE("Samples outside the data and unfit tails are Errors", "[dataset]") {
  const TempFolder folder;
  write_file(folder / "a.tsv", text_of(make_samples(1, 10)));
  const Dataset data = open_one(folder / "a.tsv");
  SampleBlock block(20);
  CHECK_THROWS_AS(data.read(5, 6, block.target()), Error);
  CHECK_THROWS_AS(data.read(-1, 2, block.target()), Error);
  CHECK_THROWS_AS(data.read(INT64_MAX, 2, block.target()), Error);
  CHECK(data.tail(3) == SampleRange{7, 10});
  CHECK(data.before_tail(3) == SampleRange{0, 7});
  CHECK(data.tail(0) == SampleRange{10, 10});
  CHECK_THROWS_AS(data.tail(10), Error);
  CHECK_THROWS_AS(data.tail(-1), Error);
}
