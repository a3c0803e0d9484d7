// Host backends and streams of one process used by several threads at once, as ranks that are threads and a loading
// thread do.
#include <thread>

#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

/// Some operations of every kind that keeps scratch memory or prepared products; the same result every time.
std::vector<std::vector<double>> work(const Harness& h) {
  constexpr int64_t kBatch = 40, kVectors = 9, kDim = 16, kWidth = kDim + kVectors * (kVectors - 1) / 2;
  const TestMatrix features(h, DType::f32, kBatch * kVectors, kDim, random_values(kBatch * kVectors * kDim, 1));
  const TestMatrix z(h, DType::f32, kBatch, kWidth), y(h, DType::f32, kBatch, 8), dz(h, DType::f32, kBatch, kWidth);
  const TestMatrix w(h, DType::f32, 8, kWidth, random_values(8 * kWidth, 2)), dw(h, DType::f32, 8, kWidth),
      db(h, DType::f32, 1, 8);
  const TestMatrix ddense(h, DType::f32, kBatch, kDim), dbags(h, DType::f32, (kVectors - 1) * kBatch, kDim);
  const Array<float> bias = h.upload(std::vector<float>(8, 0.5f));
  Backend& backend = h.backend();
  backend.interaction_forward(h.stream(), features, kVectors, z);
  backend.linear_forward(h.stream(), z, w, bias.data(), true, y);
  backend.linear_backward_weights(h.stream(), y, z, Matrix(dw).f32(), Matrix(db).f32());
  backend.linear_backward_input(h.stream(), y, w, {}, dz);
  backend.interaction_backward(h.stream(), features, kVectors, dz, ddense, dbags);

  const std::vector<int64_t> keys = random_integers(500, 100, 3), segments{0, 500};
  const Array<int64_t> key_array = h.upload(keys), distinct_keys = h.poisoned<int64_t>(500);
  const Array<int64_t> distinct_segments(backend, Memory::pinned, 2);
  const Array<int32_t> row_of_key = h.poisoned<int32_t>(500);
  backend.distinct(h.stream(), key_array.data(), segments, distinct_keys.data(), distinct_segments.data(),
                   row_of_key.data());
  backend.synchronize(h.stream());
  const int64_t rows = distinct_segments[1];
  const Array<int32_t> offsets = h.poisoned<int32_t>(rows + 1), items = h.poisoned<int32_t>(500);
  backend.group(h.stream(), row_of_key.data(), 500, rows, offsets.data(), items.data());
  const std::vector<int32_t> grouped = h.download(items, 500);
  return {y.values(), dw.values(), dbags.values(), {grouped.begin(), grouped.end()}};
}

}  // namespace

TEST_CASE("Ranks that are threads of one process, each with a backend of its own, do not disturb each other") {
  constexpr int kRanks = 4;
  std::vector<std::vector<std::vector<double>>> results(kRanks + 1);
  const auto run = [&](int rank) {
    const auto backend = make_host_backend(1);
    for (int repeat = 0; repeat < 3; ++repeat) results[rank] = work(Harness(*backend));
  };
  run(kRanks);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < kRanks; ++rank) ranks.emplace_back(run, rank);
  for (std::thread& rank : ranks) rank.join();
  for (int rank = 0; rank < kRanks; ++rank) CHECK(results[rank] == results[kRanks]);
}

TEST_CASE("Two threads share one backend, each on a stream of its own") {
  for (const NamedBackend& named : backends_under_test()) {
    INFO(named.name);
    std::vector<std::vector<std::vector<double>>> results(3);
    const auto run = [&](int user) { results[user] = work(Harness(*named.backend)); };
    run(2);
    std::thread loader(run, 0), trainer(run, 1);
    loader.join();
    trainer.join();
    CHECK(results[0] == results[2]);
    CHECK(results[1] == results[2]);
  }
}
