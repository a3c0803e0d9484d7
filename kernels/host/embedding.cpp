// Rows of embedding tables: gathered, pooled into bags, and their gradients summed. All are bound by memory latency, so
// every loop that jumps asks for its rows some steps ahead.
#include <algorithm>

#include "base/error.hpp"
#include "kernels/host/host_backend.hpp"
#include "kernels/host/lanes.hpp"
#include "kernels/host/numbers.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::host {
namespace {

constexpr int64_t kAhead = 24;       // rows asked for before they are used
constexpr int64_t kGrainRows = 512;  // rows that make a thread worth waking
constexpr int64_t kSampleBlock =
    16;  // samples whose feature vectors stay in the second-level cache while all tables fill them
constexpr int64_t kLineBytes = 64;

inline void prefetch(const void* data, int64_t bytes) {
  const auto* line = static_cast<const char*>(data);
  for (int64_t offset = 0; offset < bytes; offset += kLineBytes) __builtin_prefetch(line + offset);
}

/// sums = the first Vectors vectors of row(0) + row(1) + ..., added up in registers.
template <int Vectors, class Row>
inline void sum_vectors(float* sums, int64_t count, const Row& row) {
  Lanes block[Vectors] = {};
  for (int64_t i = 0; i < count; ++i) {
    const auto* values = row(i);
    unrolled<Vectors>([&](int v) { block[v] += load(values + v * kLanes); });
  }
  unrolled<Vectors>([&](int v) { store(sums + v * kLanes, block[v]); });
}

/// sums[0..n) = the sum of `count` rows; row(i) gives the i-th.
template <class Row>
[[gnu::flatten]] void sum_of_rows(float* sums, int64_t n, int64_t count, const Row& row) {
  int64_t begin = 0;
  const auto row_block = [&](int64_t i) { return row(i) + begin; };
  for (; begin + 4 * kLanes <= n; begin += 4 * kLanes) sum_vectors<4>(sums + begin, count, row_block);
  for (; begin + kLanes <= n; begin += kLanes) sum_vectors<1>(sums + begin, count, row_block);
  for (; begin < n; ++begin) {
    float sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += to_float(*row_block(i));
    sums[begin] = sum;
  }
}

/// out[i] = the values at row(i).
template <class Row>
void copy_rows(int threads, const Matrix& out, const Row& row) {
  with_type(out.type, [&](auto out_zero) {
    using Out = decltype(out_zero);
    parallel_ranges(threads, out.rows, kGrainRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        if (i + kAhead < end) prefetch(row(i + kAhead), out.cols * 4);
        const float* values = row(i);
        Out* target = row_of<Out>(out, i);
#pragma omp simd
        for (int64_t c = 0; c < out.cols; ++c) target[c] = from_float<Out>(values[c]);
      }
    });
  });
}

int64_t first_lookup(const Bags& bags, int64_t bag) {
  return bags.offsets ? bags.offsets[bag] : bag;
}

/// The lookups of samples [begin, end) in the order in which pool_bags meets them: by block of samples, table, sample.
class LookupOrder {
 public:
  LookupOrder(const Bags& bags, int64_t begin, int64_t end) : bags_(bags), block_(begin), end_(end) { enter_table(); }

  /// The next row to be pooled (a pointer into bags.row_of_lookup), nullptr at the end.
  const int32_t* next() {
    while (lookup_ == table_end_) {
      if (block_ >= end_) return nullptr;
      if (++table_ == bags_.tables) {
        table_ = 0;
        block_ += kSampleBlock;
      }
      enter_table();
    }
    return bags_.row_of_lookup + lookup_++;
  }

 private:
  void enter_table() {
    if (block_ >= end_) return;
    lookup_ = first_lookup(bags_, table_ * bags_.samples + block_);
    table_end_ = first_lookup(bags_, table_ * bags_.samples + std::min(block_ + kSampleBlock, end_));
  }

  const Bags bags_;
  int64_t table_ = 0, block_, end_;
  int64_t lookup_ = 0, table_end_ = 0;
};

inline void prefetch_row(const int32_t* row, const float* const* rows, int64_t dim) {
  if (row) prefetch(rows[*row], dim * 4);
}

}  // namespace

void HostBackend::gather_rows(Stream&, const RowStore& store, const int64_t* slots, int64_t n, const Matrix& out) {
  SPARROW_CHECK(out.rows == n && out.cols == store.dim, "gather_rows: {} rows of {} into ({}, {})", n, store.dim,
                out.rows, out.cols);
  copy_rows(threads_, out, [=](int64_t i) { return store.values + slots[i] * store.dim; });
}

void HostBackend::pack_rows(Stream&, const float* const* rows, const int32_t* row_of_item, int64_t n,
                            const Matrix& out) {
  SPARROW_CHECK(out.rows == n, "pack_rows: {} rows into ({}, {})", n, out.rows, out.cols);
  if (row_of_item) {
    copy_rows(threads_, out, [=](int64_t i) { return rows[row_of_item[i]]; });
  } else {
    copy_rows(threads_, out, [=](int64_t i) { return rows[i]; });
  }
}

void HostBackend::address_rows(Stream&, const float* base, const int64_t* slots, int64_t n, int64_t dim,
                               const float** addresses) {
  parallel_ranges(threads_, n, 1 << 14, [=](int64_t begin, int64_t end) {
    if (slots) {
      for (int64_t i = begin; i < end; ++i) addresses[i] = base + slots[i] * dim;
    } else {
      for (int64_t i = begin; i < end; ++i) addresses[i] = base + i * dim;
    }
  });
}

void HostBackend::pool_bags(Stream&, const Bags& bags, const float* const* rows, const Matrix& features) {
  const int64_t vectors = bags.tables + 1;
  const int64_t dim = features.cols;
  SPARROW_CHECK(features.type == DType::f32 && features.rows == bags.samples * vectors,
                "pool_bags: {} samples of {} tables into ({}, {})", bags.samples, bags.tables, features.rows, dim);
  if (bags.tables == 0) return;
  parallel_ranges(threads_, bags.samples, kSampleBlock, [&](int64_t begin, int64_t end) {
    // One row is asked for with every row that is added, so that the requests spread evenly over the work.
    LookupOrder later(bags, begin, end);
    for (int64_t i = 0; i < kAhead; ++i) prefetch_row(later.next(), rows, dim);
    for (int64_t block = begin; block < end; block += kSampleBlock) {
      for (int64_t t = 0; t < bags.tables; ++t) {
        for (int64_t s = block; s < std::min(block + kSampleBlock, end); ++s) {
          const int64_t first = first_lookup(bags, t * bags.samples + s);
          const int64_t count = first_lookup(bags, t * bags.samples + s + 1) - first;
          for (int64_t i = 0; i < count; ++i) prefetch_row(later.next(), rows, dim);
          sum_of_rows(row_of<float>(features, s * vectors + 1 + t), dim, count,
                      [&](int64_t i) { return rows[bags.row_of_lookup[first + i]]; });
        }
      }
    }
  });
}

void HostBackend::sum_rows(Stream&, const Groups& groups, const Matrix& rows, const Matrix& out) {
  SPARROW_CHECK(out.type == DType::f32 && out.rows == groups.count && out.cols == rows.cols,
                "sum_rows: {} groups of rows of {} into ({}, {})", groups.count, rows.cols, out.rows, out.cols);
  if (groups.count == 0) return;
  const int64_t items = groups.offsets[groups.count];
  SPARROW_CHECK(items == groups.item_count, "sum_rows: {} items, said to be {}", items, groups.item_count);
  const int parts = part_count(threads_, items + groups.count, kGrainRows);
  // Groups differ in size by three orders of magnitude: parts of equal work (one per group, one per item), not of equal
  // count.
  const auto first_group = [&](int part) {
    const int64_t work = part_begin(items + groups.count, part, parts);
    int64_t low = 0, high = groups.count;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      (groups.offsets[middle] + middle < work ? low : high) =
          groups.offsets[middle] + middle < work ? middle + 1 : middle;
    }
    return part == parts ? groups.count : low;
  };
  with_type(rows.type, [&](auto row_zero) {
    using T = decltype(row_zero);
    parallel_parts(threads_, parts, [&](int part) {
      const int64_t end = first_group(part + 1);
      for (int64_t g = first_group(part); g < end; ++g) {
        const int64_t first = groups.offsets[g];
        sum_of_rows(row_of<float>(out, g), rows.cols, groups.offsets[g + 1] - first, [&](int64_t i) {
          const int64_t ahead = std::min(first + i + kAhead, items - 1);  // of the groups that follow, at a group's end
          prefetch(row_of<const T>(rows, groups.items[ahead]), rows.cols * int64_t{sizeof(T)});
          return row_of<const T>(rows, groups.items[first + i]);
        });
      }
    });
  });
}

void HostBackend::lookup_bags(Stream& stream, const Bags& bags, const int32_t* lookups, int64_t n, int32_t* bags_of) {
  if (n == 0) return;
  if (!bags.offsets) {
    std::copy(lookups, lookups + n, bags_of);
    return;
  }
  const int64_t bag_count = bags.tables * bags.samples;
  SPARROW_CHECK(bag_count <= INT32_MAX, "lookup_bags: {} bags are too many", bag_count);
  int32_t* bag_of = host_stream(stream).bag_numbers.take<int32_t>(bags.offsets[bag_count]);
  parallel_ranges(threads_, bag_count, kGrainRows, [&](int64_t begin, int64_t end) {
    for (int64_t bag = begin; bag < end; ++bag) {
      std::fill(bag_of + bags.offsets[bag], bag_of + bags.offsets[bag + 1], static_cast<int32_t>(bag));
    }
  });
  parallel_ranges(threads_, n, 1 << 14, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) bags_of[i] = bag_of[lookups[i]];
  });
}

}  // namespace sparrow::host
