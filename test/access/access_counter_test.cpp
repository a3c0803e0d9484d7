// The counter of lookups against exact counts.
#include "access/access_counter.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <random>

#include "base/error.hpp"

using namespace sparrow;

namespace {

constexpr int64_t kRows[] = {5, 100, 20000};
const AccessCounterOptions kSmall{64, 200};

/// One-lookup samples of the three tables, Zipf-like; the hot rows of the last table begin at `hottest`.
struct Stream {
  explicit Stream(uint64_t seed, int64_t hottest = 0) : random(seed), hottest_row(hottest) {}
  Batch next(int64_t samples) {
    positions.clear();
    for (const int64_t rows : kRows)
      for (int64_t s = 0; s < samples; ++s) {
        const double u = std::uniform_real_distribution<double>(0, 1)(random);
        const auto rank = static_cast<int64_t>(std::pow(static_cast<double>(rows), u)) - 1;  // p ~ 1 / rank
        positions.push_back((rank + (rows == kRows[2] ? hottest_row : 0)) % rows);
      }
    Batch batch;
    batch.samples = samples;
    batch.tables = 3;
    batch.positions = positions;
    return batch;
  }
  std::mt19937_64 random;
  int64_t hottest_row;
  std::vector<int64_t> positions;
};

using Exact = std::vector<std::vector<double>>;
Exact zero() {
  Exact exact;
  for (const int64_t rows : kRows) exact.emplace_back(rows);
  return exact;
}
void add(Exact& exact, const Batch& batch) {
  for (int t = 0; t < 3; ++t)
    for (int64_t l = batch.first_lookup(t); l < batch.first_lookup(t + 1); ++l) exact[t][batch.positions[l]] += 1;
}

/// Everything the header promises, and returns how many of the last table's rows beyond the head are tracked.
size_t check_bounds(const AccessCounter& counter, const Exact& exact) {
  size_t tracked = 0;
  for (int t = 0; t < 3; ++t) {
    const auto& counts = exact[t];
    const auto head = counter.head(t);
    CHECK(head.size() == static_cast<size_t>(std::min(kRows[t], kSmall.exact_rows)));
    for (size_t i = 0; i < head.size(); ++i) CHECK(head[i] == counts[i]);
    double all = 0, beyond = 0;
    for (size_t i = 0; i < counts.size(); ++i) (i < head.size() ? all : beyond) += counts[i];
    CHECK(counter.lookups(t) == all + beyond);
    const double missed = counter.tracked(t).most_missed();
    CHECK(missed <= 2 * beyond / static_cast<double>(kSmall.tracked_rows));
    for (size_t i = head.size(); i < counts.size(); ++i) {
      const double estimate = counter.tracked(t).estimate(static_cast<int64_t>(i));
      CHECK(estimate <= counts[i]);
      CHECK(counts[i] <= estimate + missed);
    }
    int64_t next = static_cast<int64_t>(head.size());
    for (const AccessCounter::Range& range : counter.ranges(t)) {
      CHECK(range.first == next);
      next = range.end;
      double sum = 0;
      for (int64_t i = range.first; i < range.end; ++i) sum += counts[i];
      CHECK(range.lookups == sum);
    }
    CHECK(next == kRows[t]);
    tracked = counter.tracked(t).rows().size();
    CHECK(tracked <= static_cast<size_t>(kSmall.tracked_rows));
  }
  return tracked;
}

}  // namespace

TEST_CASE("CountsAreWithinTheirBoundsOfExactOnes") {
  AccessCounter counter(kRows, kSmall);
  Exact exact = zero();
  Stream stream(1, 7000);  // the hot rows are not in the head
  for (int i = 0; i < 40; ++i) {
    const Batch batch = stream.next(1000);
    counter.count(batch);
    add(exact, batch);
  }
  CHECK(check_bounds(counter, exact) > 50);
  CHECK(counter.tracked(2).most_missed() > 0);  // the test is not of a counter that forgets nothing
  // What is looked up more often than the bound is known: the hottest row has log 2 / log 20,000 = 7 % of the 40,000
  // lookups, 2,800, of which at most 2 * 40,000 / 200 = 400 are missed; the rest is chance.
  CHECK(counter.tracked(2).rows().front().first >= kSmall.exact_rows);
  CHECK(counter.tracked(2).estimate(7000) > 2200);
}

TEST_CASE("FadedAndMergedCountsAreWithinTheSameBounds") {
  std::vector<AccessCounter> counters(3, AccessCounter(kRows, kSmall));
  Exact exact = zero();
  for (int part = 0; part < 4; ++part) {
    for (size_t rank = 0; rank < counters.size(); ++rank) {
      Stream stream(static_cast<uint64_t>(part) * 10 + rank, 500 * part);
      for (int i = 0; i < 5; ++i) {
        const Batch batch = stream.next(700);
        counters[rank].count(batch);
        add(exact, batch);
      }
    }
    if (part == 3) break;
    for (AccessCounter& counter : counters) counter.scale(0.5);
    for (auto& table : exact)
      for (double& count : table) count *= 0.5;
  }
  AccessCounter all = counters[0];
  all.merge(counters[1]);
  all.merge(counters[2]);
  check_bounds(all, exact);
}

TEST_CASE("ARestoredCounterGoesOnAsTheSavedOne") {
  AccessCounter counter(kRows, kSmall);
  Stream stream(4);
  for (int i = 0; i < 10; ++i) counter.count(stream.next(500));
  counter.scale(0.5);
  AccessCounter restored(kRows, kSmall);
  restored.count(stream.next(100));  // forgotten
  restored.restore(counter.serialize());
  for (int i = 0; i < 10; ++i) {
    const Batch batch = stream.next(500);
    counter.count(batch);
    restored.count(batch);
  }
  CHECK(restored.serialize() == counter.serialize());
}

TEST_CASE("BytesThatAreNoCountsAreRefused") {
  AccessCounter counter(kRows, kSmall);
  const std::string good = counter.serialize();
  CHECK_THROWS_WITH(counter.restore(good.substr(0, good.size() - 1)), Catch::Contains("end early"));
  CHECK_THROWS_WITH(counter.restore(good + "x"), Catch::Contains("after their end"));
  CHECK_THROWS_WITH(AccessCounter(kRows, {64, 300}).restore(good), Catch::Contains("64 + 200"));
  const int64_t other[] = {5, 100, 20001};
  CHECK_THROWS_WITH(AccessCounter(other, kSmall).restore(good), Catch::Contains("20000 rows"));
}

TEST_CASE("MemoryIsBounded") {
  const int64_t large[] = {int64_t{1} << 33};
  AccessCounter counter(large);
  std::mt19937_64 random(5);
  std::vector<int64_t> positions(100000);
  for (int64_t& position : positions) position = static_cast<int64_t>(random() % (uint64_t{1} << 33));
  Batch batch;
  batch.samples = 100000;
  batch.tables = 1;
  batch.positions = positions;
  counter.count(batch);
  CHECK(counter.bytes() < 8 * (1 << 15) + 64 * (1 << 14) + 100000);
}
