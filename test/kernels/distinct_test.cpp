// Distinct keys of a batch, and items sorted by group.
#include <set>

#include "base/error.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

struct Distinct {
  std::vector<int64_t> keys, segments;
  std::vector<int32_t> row_of_key;
  bool operator==(const Distinct&) const = default;
};

Distinct distinct(const Harness& h, const std::vector<int64_t>& keys, const std::vector<int64_t>& segments) {
  const auto n = static_cast<int64_t>(keys.size());
  const Array<int64_t> key_array = h.upload(keys), distinct_keys = h.poisoned<int64_t>(n);
  const Array<int64_t> distinct_segments(h.backend(), Memory::pinned, static_cast<int64_t>(segments.size()));
  const Array<int32_t> row_of_key = h.poisoned<int32_t>(n);
  h.backend().distinct(h.stream(), key_array.data(), segments, distinct_keys.data(), distinct_segments.data(),
                       row_of_key.data());
  h.backend().synchronize(h.stream());
  const auto found = distinct_segments.span();
  return {h.download(distinct_keys, found.back()), {found.begin(), found.end()}, h.download(row_of_key, n)};
}

void check_distinct(const Harness& h, const std::vector<int64_t>& keys, const std::vector<int64_t>& segments) {
  const Distinct result = distinct(h, keys, segments);
  REQUIRE(result.segments.size() == segments.size());
  CHECK(result.segments[0] == 0);
  for (size_t t = 0; t + 1 < segments.size(); ++t) {
    const std::set<int64_t> expected(keys.begin() + segments[t], keys.begin() + segments[t + 1]);
    const std::set<int64_t> found(result.keys.begin() + result.segments[t],
                                  result.keys.begin() + result.segments[t + 1]);
    CHECK(found == expected);
    CHECK(result.segments[t + 1] - result.segments[t] == static_cast<int64_t>(expected.size()));  // none twice
  }
  int64_t wrong = 0;
  for (size_t i = 0; i < keys.size(); ++i) wrong += result.keys[result.row_of_key[i]] != keys[i];
  CHECK(wrong == 0);
}

/// `tables` segments of `length` keys each; table t has keys t * 2^40 + [0, rows).
std::vector<int64_t> table_keys(int64_t tables, int64_t length, int64_t rows) {
  std::vector<int64_t> keys;
  for (int64_t t = 0; t < tables; ++t) {
    for (const int64_t row : random_integers(length, rows, static_cast<uint32_t>(t))) keys.push_back((t << 40) + row);
  }
  return keys;
}

std::vector<int64_t> equal_segments(int64_t tables, int64_t length) {
  std::vector<int64_t> segments;
  for (int64_t t = 0; t <= tables; ++t) segments.push_back(t * length);
  return segments;
}

}  // namespace

TEST_CASE("Distinct keys are each key once by segment, and every key knows its place") {
  on_every_backend([](const Harness& h) {
    for (const int64_t length : {0, 1, 2, 7, 33, 2048}) {
      for (const int64_t rows : {int64_t{1}, int64_t{3}, int64_t{1000}, int64_t{1} << 39}) {
        INFO("length " << length << ", rows " << rows);
        check_distinct(h, table_keys(26, length, rows), equal_segments(26, length));
      }
    }
  });
}

TEST_CASE("Distinct accepts empty segments anywhere, very uneven ones, no segment and no key") {
  on_every_backend([](const Harness& h) {
    std::vector<int64_t> keys = table_keys(1, 9000, 5000);
    check_distinct(h, keys, {0, 0, 0, 9000, 9000});
    for (int64_t i = 8000; i < 9000; ++i) keys[i] += int64_t{1} << 40;
    check_distinct(h, keys, {0, 8000, 8000, 9000});
    check_distinct(h, {}, {0});
    check_distinct(h, {}, {0, 0, 0});
    check_distinct(h, {0, INT64_MAX, 0, INT64_MAX - 1}, {0, 4});
  });
}

TEST_CASE("Keys that differ only in high or in low bits do not slow distinct to a standstill or confuse it") {
  on_every_backend([](const Harness& h) {
    std::vector<int64_t> keys;
    for (int64_t i = 0; i < 4096; ++i) keys.push_back(i << 50);
    for (int64_t i = 0; i < 4096; ++i) keys.push_back(i);
    for (int64_t i = 0; i < 4096; ++i) keys.push_back(i << 20);
    check_distinct(h, keys, {0, static_cast<int64_t>(keys.size())});
  });
}

TEST_CASE("The order of distinct keys depends on the keys alone, not on threads or on earlier calls") {
  const std::vector<int64_t> keys = table_keys(26, 700, 300);
  check_same_everywhere([&](const Harness& h) {
    const Distinct first = distinct(h, keys, equal_segments(26, 700));
    distinct(h, table_keys(5, 3000, 10), equal_segments(5, 3000));
    CHECK(distinct(h, keys, equal_segments(26, 700)) == first);
    return first;
  });
}

TEST_CASE("Distinct refuses segments that are not ascending from 0") {
  on_every_backend([](const Harness& h) {
    CHECK_THROWS_AS(distinct(h, {1, 2, 3}, {1, 3}), Error);
    CHECK_THROWS_AS(distinct(h, {1, 2, 3}, {0, 3, 2, 3}), Error);
  });
}

TEST_CASE("Grouping is a stable counting sort") {
  on_every_backend([](const Harness& h) {
    for (const int64_t n : {0, 1, 2, 7, 33, 20000}) {
      for (const int64_t groups : {1, 5, 3000}) {
        INFO("n " << n << ", groups " << groups);
        const auto wide = random_integers(n, groups, 3);
        const std::vector<int32_t> group_of(wide.begin(), wide.end());
        std::vector<std::vector<int32_t>> expected(groups);
        for (int64_t i = 0; i < n; ++i) expected[group_of[i]].push_back(static_cast<int32_t>(i));
        const Array<int32_t> group_array = h.upload(group_of), offsets = h.poisoned<int32_t>(groups + 1),
                             items = h.poisoned<int32_t>(n);
        h.backend().group(h.stream(), group_array.data(), n, groups, offsets.data(), items.data());
        const auto found_offsets = h.download(offsets, groups + 1), found_items = h.download(items, n);
        REQUIRE(found_offsets.front() == 0);
        REQUIRE(found_offsets.back() == n);
        int64_t wrong = 0;
        for (int64_t g = 0; g < groups; ++g) {
          const std::vector<int32_t> members(found_items.begin() + found_offsets[g],
                                             found_items.begin() + found_offsets[g + 1]);
          wrong += members != expected[g];
        }
        CHECK(wrong == 0);
      }
    }
    const Array<int32_t> offsets = h.poisoned<int32_t>(1);
    h.backend().group(h.stream(), nullptr, 0, 0, offsets.data(), nullptr);
    CHECK(h.download(offsets, 1)[0] == 0);
  });
}
