// The rate of each host kernel beside what this machine can do at most (machine_limits.hpp), measured in the same run:
//   kernel_bench [--threads=1] [--batch=2048] [--rows=4000000] [Google Benchmark's own options]
// The counter `rate`, of the fastest iteration as the limits are of theirs, is in the unit of the kernel's limit
// (operations, bytes, rows or keys a second), `of_limit` their quotient. Kernels that have no limit of their own in a
// machine (distinct, group, loss) show their rate alone.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <numeric>
#include <random>
#include <string>

#include "base/random.hpp"
#include "base/subnormals.hpp"
#include "base/timer.hpp"
#include "kernels/backend.hpp"
#include "test/bench/machine_limits.hpp"

namespace {

using namespace sparrow;
using namespace sparrow::bench;

constexpr int64_t kVectors = 27, kTables = 26;
constexpr int64_t kSets = 16;  // of random rows, taken in turn

struct Settings {
  int threads = 1;
  int64_t batch = 2048;
  int64_t rows = 4'000'000;
};

/// The backend, its limits, and data that several benchmarks use.
class Bench {
 public:
  explicit Bench(const Settings& s)
      : settings(s), backend(make_host_backend(s.threads)), stream(backend->make_stream()), limits(s.threads) {}

  Array<float> floats(int64_t n) const {
    Array<float> array(*backend, Memory::device, n);
    const Array<int64_t> id(*backend, Memory::device, 1);
    id[0] = 0;
    backend->init_rows(*stream, 1, 0, id.data(), 1, n, 1.0f, array.data());
    return array;
  }

  /// A matrix with values in (-1, 1) in memory that `memory` owns.
  Matrix matrix(Array<float>& memory, DType type, int64_t rows, int64_t cols) const {
    memory = floats(rows * cols);
    if (type == DType::f32) return Matrix::f32(memory.data(), rows, cols);
    Array<float> half(*backend, Memory::device, (rows * cols + 1) / 2);
    const Matrix result = Matrix::of(DType::bf16, half.data(), rows, cols);
    backend->convert(*stream, Matrix::f32(memory.data(), rows, cols), result);
    memory = std::move(half);
    return result;
  }

  /// kSets times n numbers below `below` in random order, so that a benchmark meets other rows in every iteration;
  /// those of a set are different when n <= below.
  Array<int64_t> numbers(int64_t n, int64_t below) const {
    std::vector<int64_t> order(below);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
    Array<int64_t> array(*backend, Memory::device, kSets * n);
    for (int64_t i = 0; i < kSets * n; ++i) array[i] = order[i % below];
    return array;
  }

  /// Times `operation`, which does `work` in the unit of `limit` (0: none).
  static void measure(benchmark::State& state, double work, double limit,
                      const std::function<void(int64_t set)>& operation) {
    operation(0);
    double best = 1e30;
    int64_t iteration = 0;
    for ([[maybe_unused]] auto _ : state) {
      const Timer timer;
      operation(++iteration % kSets);
      best = std::min(best, timer.seconds());
    }
    const double rate = work / best;
    state.counters["rate"] = rate;
    if (limit > 0) {
      state.counters["limit"] = limit;
      state.counters["of_limit"] = rate / limit;
    }
  }

  const Settings settings;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Stream> stream;
  MachineLimits limits;
};

using Shared = std::shared_ptr<Bench>;

void add(const std::string& name, std::function<void(benchmark::State&)> run) {
  benchmark::RegisterBenchmark(name.c_str(), std::move(run))->Unit(benchmark::kMillisecond)->UseRealTime();
}

void add_linear(const Shared& bench) {
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const auto& [k, n] : std::vector<std::pair<int64_t, int64_t>>{{13, 512},
                                                                       {512, 256},
                                                                       {256, 64},
                                                                       {415, 1024},
                                                                       {1024, 1024},
                                                                       {1024, 512},
                                                                       {256, 1},
                                                                       {13, 64},
                                                                       {415, 128},
                                                                       {128, 64}}) {
      const std::string shape = fmt::format("{} {} to {}", type == DType::f32 ? "fp32" : "bf16", k, n);
      const auto run = [=](benchmark::State& state, int which) {
        Bench& b = *bench;
        const int64_t m = b.settings.batch;
        Array<float> x_memory, w_memory, y_memory, dx_memory;
        const Matrix x = b.matrix(x_memory, type, m, k), w = b.matrix(w_memory, type, n, k);
        const Matrix y = b.matrix(y_memory, type, m, n), dx = b.matrix(dx_memory, type, m, k);
        const Array<float> bias = b.floats(n), dw = b.floats(n * k);
        Bench::measure(state, 2.0 * static_cast<double>(m * n * k),
                       type == DType::f32 ? b.limits.fp32_flops() : b.limits.bf16_flops(), [&](int64_t) {
                         if (which == 0) b.backend->linear_forward(*b.stream, x, w, bias.data(), true, y);
                         if (which == 1) b.backend->linear_backward_input(*b.stream, y, w, x, dx);
                         if (which == 2) b.backend->linear_backward_weights(*b.stream, y, x, dw.data(), bias.data());
                       });
      };
      add("linear_forward/" + shape, [=](benchmark::State& state) { run(state, 0); });
      add("linear_backward_input/" + shape, [=](benchmark::State& state) { run(state, 1); });
      add("linear_backward_weights/" + shape, [=](benchmark::State& state) { run(state, 2); });
    }
  }
}

void add_interaction(const Shared& bench) {
  for (const int64_t dim : {16, 64, 128}) {
    const auto run = [=](benchmark::State& state, bool forward) {
      Bench& b = *bench;
      const int64_t m = b.settings.batch, pairs = kVectors * (kVectors - 1) / 2;
      Array<float> f_memory, z_memory, dense_memory, bags_memory;
      const Matrix features = b.matrix(f_memory, DType::f32, m * kVectors, dim),
                   z = b.matrix(z_memory, DType::f32, m, dim + pairs);
      const Matrix ddense = b.matrix(dense_memory, DType::f32, m, dim),
                   dbags = b.matrix(bags_memory, DType::f32, kTables * m, dim);
      const double operations = 2.0 * static_cast<double>(m * pairs * dim) * (forward ? 1 : 2);
      Bench::measure(state, operations, b.limits.fp32_flops(), [&](int64_t) {
        if (forward) {
          b.backend->interaction_forward(*b.stream, features, kVectors, z);
        } else {
          b.backend->interaction_backward(*b.stream, features, kVectors, z, ddense, dbags);
        }
      });
    };
    add(fmt::format("interaction_forward/{}", dim), [=](benchmark::State& state) { run(state, true); });
    add(fmt::format("interaction_backward/{}", dim), [=](benchmark::State& state) { run(state, false); });
  }
}

void add_rows(const Shared& bench, int64_t dim) {
  const std::string suffix = fmt::format("/{}", dim);
  const auto store_of = [=](const Array<float>& values) {
    return RowStore{values.data(), nullptr, bench->settings.rows, dim, 0};
  };
  const auto gather_limit = [=] { return bench->limits.gathered_rows(dim, bench->settings.rows); };

  add("gather_rows" + suffix, [=](benchmark::State& state) {
    Bench& b = *bench;
    const int64_t n = std::min(kTables * b.settings.batch, b.settings.rows);
    const Array<float> values = b.floats(b.settings.rows * dim), out = b.floats(n * dim);
    const Array<int64_t> slots = b.numbers(n, b.settings.rows);
    Bench::measure(state, static_cast<double>(n), gather_limit(), [&](int64_t set) {
      b.backend->gather_rows(*b.stream, store_of(values), slots.data() + set * n, n, Matrix::f32(out.data(), n, dim));
    });
  });
  add("pool_bags" + suffix, [=](benchmark::State& state) {
    Bench& b = *bench;
    const int64_t m = b.settings.batch, lookups = kTables * m;
    const Array<float> values = b.floats(b.settings.rows * dim), features = b.floats(m * kVectors * dim);
    const Array<int64_t> slots = b.numbers(lookups, b.settings.rows);
    const Array<const float*> addresses(*b.backend, Memory::device, kSets * lookups);
    const Array<int32_t> row_of_lookup(*b.backend, Memory::device, lookups);
    std::iota(row_of_lookup.span().begin(), row_of_lookup.span().end(), 0);
    b.backend->address_rows(*b.stream, values.data(), slots.data(), kSets * lookups, dim, addresses.data());
    Bench::measure(state, static_cast<double>(lookups), gather_limit(), [&](int64_t set) {
      b.backend->pool_bags(*b.stream, {m, kTables, nullptr, row_of_lookup.data()}, addresses.data() + set * lookups,
                           Matrix::f32(features.data(), m * kVectors, dim));
    });
  });
  add("sum_rows" + suffix, [=](benchmark::State& state) {
    Bench& b = *bench;
    const int64_t items = kTables * b.settings.batch, groups = items / 3;
    const Array<float> rows = b.floats(items * dim), out = b.floats(groups * dim);
    const Array<int64_t> wide = b.numbers(items, groups);
    const Array<int32_t> group_of(*b.backend, Memory::device, items), sorted(*b.backend, Memory::device, items);
    const Array<int32_t> offsets(*b.backend, Memory::device, groups + 1);
    std::copy_n(wide.data(), items, group_of.span().begin());
    b.backend->group(*b.stream, group_of.data(), items, groups, offsets.data(), sorted.data());
    Bench::measure(state, static_cast<double>(items), b.limits.gathered_rows(dim, items), [&](int64_t) {
      b.backend->sum_rows(*b.stream, {groups, items, offsets.data(), sorted.data()},
                          Matrix::f32(rows.data(), items, dim), Matrix::f32(out.data(), groups, dim));
    });
  });
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adagrad}) {
    add(std::string(kind == OptimizerKind::sgd ? "update_rows sgd" : "update_rows adagrad") + suffix,
        [=](benchmark::State& state) {
          Bench& b = *bench;
          const int64_t n = std::min(kTables * b.settings.batch / 3, b.settings.rows);
          const int64_t states = kind == OptimizerKind::sgd ? 0 : dim;
          const Array<float> values = b.floats(b.settings.rows * dim), grads = b.floats(n * dim),
                             sums = b.floats(b.settings.rows * states);
          b.backend->zero(*b.stream, sums.data(), b.settings.rows * states * 4);
          const Array<int64_t> slots = b.numbers(n, b.settings.rows);
          // A row of Adagrad is two rows, the values and the state.
          Bench::measure(state, static_cast<double>(kind == OptimizerKind::sgd ? n : 2 * n),
                         b.limits.updated_rows(dim, b.settings.rows), [&](int64_t set) {
                           b.backend->update_rows(*b.stream, {kind, 1e-6f, 1e-8f},
                                                  {values.data(), sums.data(), b.settings.rows, dim, states},
                                                  slots.data() + set * n, Matrix::f32(grads.data(), n, dim), n);
                         });
        });
  }
}

void add_distinct(const Shared& bench) {
  const auto run = [=](benchmark::State& state, bool grouping) {
    Bench& b = *bench;
    const int64_t m = b.settings.batch, n = kTables * m;
    const Array<int64_t> keys(*b.backend, Memory::device, n), distinct_keys(*b.backend, Memory::device, n);
    const Array<int32_t> row_of_key(*b.backend, Memory::device, n), offsets(*b.backend, Memory::device, n + 1),
        items(*b.backend, Memory::device, n);
    std::vector<int64_t> segments, found(kTables + 1);
    for (int64_t t = 0; t <= kTables; ++t) segments.push_back(t * m);
    for (int64_t i = 0; i < n;
         ++i) {  // uniform to the power of four: few frequent keys, many rare ones, a third distinct
      const double u = uniform_double(static_cast<uint32_t>(mix64(static_cast<uint64_t>(i))), 0);
      keys[i] =
          i / m * b.settings.rows + static_cast<int64_t>(u * u * u * u * static_cast<double>(b.settings.rows - 1));
    }
    const auto distinct = [&] {
      b.backend->distinct(*b.stream, keys.data(), segments, distinct_keys.data(), found.data(), row_of_key.data());
    };
    distinct();
    Bench::measure(state, static_cast<double>(n), 0, [&](int64_t) {
      if (grouping) {
        b.backend->group(*b.stream, row_of_key.data(), n, found.back(), offsets.data(), items.data());
      } else {
        distinct();
      }
    });
  };
  add("distinct", [=](benchmark::State& state) { run(state, false); });
  add("group", [=](benchmark::State& state) { run(state, true); });
}

void add_streams(const Shared& bench) {
  constexpr int64_t kSide = 4096;
  add("convert fp32 to bf16", [=](benchmark::State& state) {
    Bench& b = *bench;
    Array<float> from_memory, to_memory;
    const Matrix from = b.matrix(from_memory, DType::f32, kSide, kSide),
                 to = b.matrix(to_memory, DType::bf16, kSide, kSide);
    Bench::measure(state, 6.0 * kSide * kSide, b.limits.copy_bytes(),
                   [&](int64_t) { b.backend->convert(*b.stream, from, to); });
  });
  add("update_dense sgd", [=](benchmark::State& state) {
    Bench& b = *bench;
    const Array<float> params = b.floats(kSide * kSide), grads = b.floats(kSide * kSide);
    Bench::measure(state, 12.0 * kSide * kSide, b.limits.copy_bytes(), [&](int64_t) {
      b.backend->update_dense(*b.stream, {OptimizerKind::sgd, 1e-6f, 1e-8f}, params.data(), grads.data(), nullptr,
                              kSide * kSide);
    });
  });
  add("loss", [=](benchmark::State& state) {
    Bench& b = *bench;
    const int64_t m = b.settings.batch;
    const Array<float> logits = b.floats(m), labels = b.floats(m), gradient = b.floats(m);
    double sum = 0;
    Bench::measure(state, static_cast<double>(m), 0, [&](int64_t) {
      b.backend->loss(*b.stream, logits.data(), labels.data(), m, 1.0f, Matrix::f32(gradient.data(), m, 1), &sum);
    });
  });
  add("init_rows/64", [=](benchmark::State& state) {
    Bench& b = *bench;
    const int64_t n = std::min<int64_t>(b.settings.rows, 1 << 16);
    const Array<float> values = b.floats(n * 64);
    const Array<int64_t> ids = b.numbers(n, b.settings.rows);
    Bench::measure(state, static_cast<double>(n) * 256, b.limits.copy_bytes(),
                   [&](int64_t) { b.backend->init_rows(*b.stream, 1, 2, ids.data(), n, 64, 0.1f, values.data()); });
  });
}

/// Takes "--name=value" out of the arguments.
int64_t take(int& argc, char** argv, const std::string& name, int64_t otherwise) {
  const std::string prefix = fmt::format("--{}=", name);
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], prefix.c_str(), prefix.size()) != 0) continue;
    const int64_t value = std::atoll(argv[i] + prefix.size());
    if (value < 1) throw std::runtime_error(fmt::format("{}: not a positive number", argv[i]));
    std::copy(argv + i + 1, argv + argc, argv + i);
    --argc;
    return value;
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  const sparrow::SubnormalMode mode(sparrow::Subnormals::flush);
  try {
    Settings settings;
    settings.threads = static_cast<int>(take(argc, argv, "threads", settings.threads));
    settings.batch = take(argc, argv, "batch", settings.batch);
    settings.rows = take(argc, argv, "rows", settings.rows);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    const auto bench = std::make_shared<Bench>(settings);
    add_linear(bench);
    add_interaction(bench);
    for (const int64_t dim : {16, 64}) add_rows(bench, dim);
    add_distinct(bench);
    add_streams(bench);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "kernel_bench: " << error.what() << "\n";
    return 1;
  }
}
