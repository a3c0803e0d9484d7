// The distinct keys of a batch, and items sorted by group.
#include <algorithm>
#include <bit>
#include <numeric>

#include "base/error.hpp"
#include "kernels/host/host_backend.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::host {
namespace {

constexpr int64_t kGrainKeys = 1 << 12;

/// Places in a hash table for `keys` keys: a power of two, at most half full.
int64_t table_size(int64_t keys) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(2 * keys + 2)));
}

/// Writes the distinct keys of one segment in order of first occurrence and the place of every key among them, counted
/// from `first`. The table (open addressing, linear probing) holds places, not keys: 4 bytes a slot, so that it stays
/// in the first-level cache for the usual few thousand keys. Returns how many are distinct.
int64_t distinct_of_segment(const int64_t* keys, int64_t count, int32_t first, int32_t* table, int64_t* distinct_keys,
                            int32_t* row_of_key) {
  const int64_t size = table_size(count);
  const auto mask = static_cast<uint64_t>(size - 1);
  const int shift = 64 - std::countr_zero(static_cast<uint64_t>(size));
  std::fill(table, table + size, -1);
  int32_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t key = keys[i];
    // Fibonacci hashing: the top bits of the product depend on all bits of the key.
    uint64_t slot = static_cast<uint64_t>(key) * 0x9E3779B97F4A7C15u >> shift;
    while (table[slot] >= 0 && distinct_keys[table[slot]] != key) slot = (slot + 1) & mask;
    if (table[slot] < 0) {
      table[slot] = found;
      distinct_keys[found++] = key;
    }
    row_of_key[i] = first + table[slot];
  }
  return found;
}

}  // namespace

void HostBackend::distinct(Stream& stream, const int64_t* keys, std::span<const int64_t> segments,
                           int64_t* distinct_keys, int64_t* distinct_segments, int32_t* row_of_key) {
  SPARROW_CHECK(!segments.empty() && segments.front() == 0, "distinct: segments must begin with 0");
  SPARROW_CHECK(segments.back() <= INT32_MAX, "distinct: {} keys are more than 32-bit places can tell apart",
                segments.back());
  const auto count = static_cast<int64_t>(segments.size()) - 1;
  int64_t longest = 0;
  for (int64_t t = 0; t < count; ++t) {
    SPARROW_CHECK(segments[t] <= segments[t + 1], "distinct: segment {} ends at {}, before its begin {}", t,
                  segments[t + 1], segments[t]);
    longest = std::max(longest, segments[t + 1] - segments[t]);
  }
  const int parts = static_cast<int>(
      std::min<int64_t>(part_count(threads_, segments.back(), kGrainKeys), std::max<int64_t>(count, 1)));
  const int64_t size = table_size(longest);
  int32_t* tables = host_stream(stream).hash_tables.take<int32_t>(parts * size);

  distinct_segments[0] = 0;
  if (parts == 1) {
    for (int64_t t = 0; t < count; ++t) {
      const int64_t first = distinct_segments[t];
      distinct_segments[t + 1] =
          first + distinct_of_segment(keys + segments[t], segments[t + 1] - segments[t], int32_t(first), tables,
                                      distinct_keys + first, row_of_key + segments[t]);
    }
    return;
  }
  // Where a segment's distinct keys go is known only when those before it are done. So each is first made where its
  // keys begin, where there is room for sure, and moved down afterwards.
  parallel_parts(threads_, parts, [&](int part) {
    for (int64_t t = 0; t < count; ++t) {
      if (std::min<int64_t>(segments[t] * parts / std::max<int64_t>(segments.back(), 1), parts - 1) != part) continue;
      distinct_segments[t + 1] =
          distinct_of_segment(keys + segments[t], segments[t + 1] - segments[t], 0, tables + part * size,
                              distinct_keys + segments[t], row_of_key + segments[t]);
    }
  });
  for (int64_t t = 0; t < count; ++t) {
    const int64_t found = distinct_segments[t + 1];
    std::copy(distinct_keys + segments[t], distinct_keys + segments[t] + found, distinct_keys + distinct_segments[t]);
    distinct_segments[t + 1] += distinct_segments[t];
  }
  parallel_ranges(threads_, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const auto first = static_cast<int32_t>(distinct_segments[t]);
#pragma omp simd
      for (int64_t i = segments[t]; i < segments[t + 1]; ++i) row_of_key[i] += first;
    }
  });
}

void HostBackend::group(Stream& stream, const int32_t* group_of, int64_t n, int64_t groups, int32_t* offsets,
                        int32_t* items) {
  SPARROW_CHECK(n <= INT32_MAX && groups <= INT32_MAX, "group: {} items in {} groups are too many", n, groups);
  // Each part counts its items; the counts, summed group by group and within a group part by part, are where a part
  // puts its items.
  const int parts = part_count(threads_, n, std::max(kGrainKeys, groups));
  int32_t* next = host_stream(stream).histograms.take<int32_t>(parts * groups);
  parallel_parts(threads_, parts, [&](int part) {
    int32_t* counts = next + part * groups;
    std::fill(counts, counts + groups, 0);
    for (int64_t i = part_begin(n, part, parts); i < part_begin(n, part + 1, parts); ++i) ++counts[group_of[i]];
  });
  int32_t total = 0;
  for (int64_t g = 0; g < groups; ++g) {
    offsets[g] = total;
    for (int part = 0; part < parts; ++part) {
      const int32_t count = next[part * groups + g];
      next[part * groups + g] = total;
      total += count;
    }
  }
  offsets[groups] = total;
  parallel_parts(threads_, parts, [&](int part) {
    int32_t* place = next + part * groups;
    for (int64_t i = part_begin(n, part, parts); i < part_begin(n, part + 1, parts); ++i) {
      items[place[group_of[i]]++] = static_cast<int32_t>(i);
    }
  });
}

}  // namespace sparrow::host
