#include "test/bench/machine_limits.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>
#ifdef __AMX_BF16__
#include <immintrin.h>
#endif

#include "base/random.hpp"
#include "base/timer.hpp"
#include "kernels/host/lanes.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::bench {
namespace {

using host::kLanes;
using host::Lanes;

/// Seconds of the fastest of several runs of f.
template <class F>
double best_seconds(int tries, const F& f) {
  f();
  double best = 1e30;
  for (int i = 0; i < tries; ++i) {
    const Timer timer;
    f();
    best = std::min(best, timer.seconds());
  }
  return best;
}

struct Free {
  void operator()(float* data) const { std::free(data); }
};

/// n floats on large pages, all written.
std::unique_ptr<float, Free> make_floats(int64_t n) {
  const size_t page = size_t{1} << 21;
  const size_t bytes = (static_cast<size_t>(n) * 4 + page - 1) / page * page;
  auto* data = static_cast<float*>(std::aligned_alloc(page, bytes));
  if (!data) throw std::bad_alloc();
  madvise(data, bytes, MADV_HUGEPAGE);
  for (int64_t i = 0; i < n; ++i) data[i] = static_cast<float>(i % 1000) * 0.001f;
  return std::unique_ptr<float, Free>(data);
}

double measure_fp32(int threads, int64_t, int64_t) {
  constexpr int kChains = kLanes == 16 ? 24 : 12;  // enough to hide the latency, few enough for the registers
  constexpr int64_t kSteps = 100000;
  const double seconds = best_seconds(50, [&] {
    host::parallel_parts(threads, threads, [](int) {
      Lanes factor = Lanes{} + 1.0000001f, sums[kChains];
      for (int c = 0; c < kChains; ++c) sums[c] = Lanes{} + static_cast<float>(c);  // or the compiler makes one of them
      for (int64_t i = 0; i < kSteps; ++i) {
        host::unrolled<kChains>([&](int c) { sums[c] = sums[c] * factor + factor; });
        asm volatile("" : "+v"(factor));
      }
      Lanes total{};
      for (const Lanes& sum : sums) total += sum;
      asm volatile("" : : "v"(total));
    });
  });
  return 2.0 * kLanes * kChains * static_cast<double>(kSteps) * threads / seconds;
}

#ifdef __AMX_BF16__
double measure_bf16(int threads, int64_t, int64_t) {
  // Linux grants the tile registers on request; the numbers are ARCH_REQ_XCOMP_PERM and the tiles' state component.
  if (syscall(SYS_arch_prctl, 0x1023, 18) != 0) return measure_fp32(threads, 0, 0);
  struct alignas(64) TileShapes {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  };
  constexpr int64_t kSteps = 20000;
  const double seconds = best_seconds(50, [&] {
    host::parallel_parts(threads, threads, [](int) {
      TileShapes shapes;
      for (int tile = 0; tile < 8; ++tile) {
        shapes.row_bytes[tile] = 64;
        shapes.rows[tile] = 16;
      }
      _tile_loadconfig(&shapes);
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      _tile_zero(4);
      _tile_zero(5);
      _tile_zero(6);
      _tile_zero(7);
      for (int64_t i = 0; i < kSteps; ++i) {  // a block of 2 x 2 tiles, as a product has it
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_release();
    });
  });
  return 2.0 * 16 * 16 * 32 * 4 * static_cast<double>(kSteps) * threads / seconds;
}
#else
double measure_bf16(int threads, int64_t dim, int64_t rows) {
  return measure_fp32(threads, dim, rows);
}
#endif

double measure_copy(int threads, int64_t, int64_t) {
  constexpr int64_t kFloats = int64_t{32} << 20;
  const auto from = make_floats(kFloats), to = make_floats(kFloats);
  const double seconds = best_seconds(15, [&] {
    host::parallel_ranges(threads, kFloats, 1, [&](int64_t begin, int64_t end) {
      std::memcpy(to.get() + begin, from.get() + begin, static_cast<size_t>(end - begin) * 4);
    });
  });
  return 8.0 * static_cast<double>(kFloats) / seconds;
}

/// Visits 2^16 random rows, other ones in every run, each asked for 16 rows ahead.
template <class Visit>
double measure_rows(int threads, int64_t dim, int64_t rows, const Visit& visit) {
  constexpr int64_t kVisits = 1 << 16, kRuns = 16, kAhead = 16;
  const auto table = make_floats(rows * dim), block = make_floats(kVisits * dim);
  std::vector<int64_t> order;
  for (int64_t i = 0; i < kVisits * (kRuns + 1); ++i) {
    order.push_back(static_cast<int64_t>(mix64(static_cast<uint64_t>(i)) % static_cast<uint64_t>(rows)));
  }
  const int64_t* next = order.data();
  const double seconds = best_seconds(kRuns, [&] {
    host::parallel_ranges(threads, kVisits, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* ahead = table.get() + next[std::min(i + kAhead, end - 1)] * dim;
        for (int64_t c = 0; c < dim; c += 16) __builtin_prefetch(ahead + c, 1);
        visit(table.get() + next[i] * dim, block.get() + i * dim);
      }
    });
    next += kVisits;
  });
  return static_cast<double>(kVisits) / seconds;
}

double measure_gather(int threads, int64_t dim, int64_t rows) {
  return measure_rows(threads, dim, rows, [=](const float* row, float* block) {
#pragma omp simd
    for (int64_t c = 0; c < dim; ++c) block[c] = row[c];
  });
}

double measure_update(int threads, int64_t dim, int64_t rows) {
  return measure_rows(threads, dim, rows, [=](float* row, const float* block) {
#pragma omp simd
    for (int64_t c = 0; c < dim; ++c) row[c] -= 0.1f * block[c];
  });
}

}  // namespace

double MachineLimits::once(const std::string& name, double (*measure)(int, int64_t, int64_t), int64_t dim,
                           int64_t rows) {
  const auto [place, fresh] = known_.emplace(name + " " + std::to_string(dim) + " " + std::to_string(rows), 0.0);
  if (fresh) place->second = measure(threads_, dim, rows);
  return place->second;
}

double MachineLimits::fp32_flops() {
  return once("fp32", measure_fp32, 0, 0);
}
double MachineLimits::bf16_flops() {
  return once("bf16", measure_bf16, 0, 0);
}
double MachineLimits::copy_bytes() {
  return once("copy", measure_copy, 0, 0);
}
double MachineLimits::gathered_rows(int64_t dim, int64_t rows) {
  return once("gather", measure_gather, dim, rows);
}
double MachineLimits::updated_rows(int64_t dim, int64_t rows) {
  return once("update", measure_update, dim, rows);
}

}  // namespace sparrow::bench
