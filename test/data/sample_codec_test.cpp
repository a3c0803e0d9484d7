#include "data/sample_codec.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <numeric>
#include <random>

#include "test/support/error_of.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

namespace {

TableShapes shapes_of_all_widths() {
  TableShapes shapes;
  shapes.rows = {1, 256, 257, 65536, 65537, 1 << 24, (1 << 24) + 1, TableShapes::kMaxRows, int64_t{1} << 33};
  shapes.bag_sizes = {1, 3, 1, 2, 1, 1, 2, 1, 1};
  return shapes;
}

/// Random values; positions 0 and the last of every table among them.
BatchBuffer random_batch(const TableShapes& shapes, int64_t samples, uint32_t seed) {
  std::mt19937_64 random(seed);
  BatchBuffer buffer(shapes, samples);
  buffer.set_samples(shapes, samples);
  for (int64_t i = 0; i < samples * shapes.dense_features; ++i)
    buffer.dense[i] = static_cast<float>(random() % 1000) / 7;
  for (int64_t i = 0; i < samples; ++i) buffer.labels[i] = static_cast<float>(random() % 2);
  int64_t* position = buffer.positions;
  for (int t = 0; t < shapes.tables(); ++t)
    for (int64_t i = 0; i < samples * shapes.bag_size(t); ++i)
      *position++ =
          i == 0 ? shapes.rows[t] - 1 : static_cast<int64_t>(random() % static_cast<uint64_t>(shapes.rows[t]));
  return buffer;
}

/// Sample `a` of one batch is sample `b` of another.
bool same_sample(const TableShapes& shapes, const Batch& one, int64_t a, const Batch& other, int64_t b) {
  bool same = one.labels[a] == other.labels[b];
  for (int64_t c = 0; c < shapes.dense_features; ++c)
    same &= one.dense[a * shapes.dense_features + c] == other.dense[b * shapes.dense_features + c];
  int64_t before = 0;
  for (int t = 0; t < shapes.tables(); before += shapes.bag_size(t++))
    for (int j = 0; j < shapes.bag_size(t); ++j)
      same &= one.positions[before * one.samples + a * shapes.bag_size(t) + j] ==
              other.positions[before * other.samples + b * shapes.bag_size(t) + j];
  return same;
}

}  // namespace

TEST_CASE("Samples are what they were after their way, in the order named") {
  const TableShapes shapes = shapes_of_all_widths();
  const SampleCodec codec(shapes);
  CHECK(codec.sample_bytes() == 1 + 13 * 4 + 1 + 3 * 1 + 2 + 2 * 2 + 3 + 3 + 2 * 4 + 4 + 5);
  const BatchBuffer batch = random_batch(shapes, 50, 1);
  std::vector<int32_t> order(50);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  BatchBuffer result(shapes, 60);
  result.set_samples(shapes, 37);
  int64_t done = 0;
  for (const int64_t count : {0, 1, 20, 16}) {  // blocks as they come
    std::vector<std::byte> block(static_cast<size_t>(count * codec.sample_bytes()));
    codec.encode(batch.batch, std::span(order).subspan(static_cast<size_t>(done), static_cast<size_t>(count)),
                 block.data());
    codec.decode(block.data(), count, result, done);
    done += count;
  }
  for (int64_t i = 0; i < done; ++i) REQUIRE(same_sample(shapes, result.batch, i, batch.batch, order[i]));
  CHECK(result.batch.offsets[3 * 37] - result.batch.offsets[2 * 37] == 37);
}

TEST_CASE("Bytes that no sample has are refused") {
  TableShapes shapes;
  shapes.rows = {200, 70000};
  const SampleCodec codec(shapes);
  BatchBuffer batch = random_batch(shapes, 2, 1);
  const std::vector<int32_t> both{0, 1};
  std::vector<std::byte> good(static_cast<size_t>(2 * codec.sample_bytes()));
  codec.encode(batch.batch, both, good.data());
  const auto refusal = [&](size_t at, int value) {
    std::vector<std::byte> bytes = good;
    bytes[at] = static_cast<std::byte>(value);
    return error_of([&] { codec.decode(bytes.data(), 2, batch, 0); });
  };
  CHECK(refusal(0, 1).empty());
  CHECK_THAT(refusal(1, 2), Contains("a label is 2"));
  const size_t positions = 2 + 2 * 13 * 4;
  CHECK(refusal(positions, 199).empty());
  CHECK_THAT(refusal(positions + 1, 200), Contains("position 200 in table 0, which has 200 rows"));
  CHECK_THAT(refusal(positions + 2 + 2, 2), Contains("in table 1, which has 70000 rows"));
  CHECK_THAT(error_of([&] { codec.decode(good.data(), 2, batch, 1); }), Contains("samples 1 + 2 of 2"));
}

TEST_CASE("Speed of the codec", "[.speed]") {
  TableShapes shapes;
  shapes.rows.assign(26, 5000000);
  for (int t = 0; t < 17; ++t) shapes.rows[t] = t < 8 ? 100 : 10000;
  const SampleCodec codec(shapes);
  constexpr int64_t kSamples = 8192;
  constexpr int kTimes = 50, kBlock = 128;
  const BatchBuffer batch = random_batch(shapes, kSamples, 1);
  BatchBuffer result(shapes, kSamples);
  result.set_samples(shapes, kSamples);
  std::vector<int32_t> order(kSamples);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  for (int64_t i = 0; i < kSamples; i += kBlock) std::sort(order.begin() + i, order.begin() + i + kBlock);
  std::vector<std::byte> bytes(static_cast<size_t>(kSamples * codec.sample_bytes()));
  const auto seconds = [](auto&& work) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kTimes; ++i) work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / kTimes;
  };
  const double encoded = seconds([&] {
    for (int64_t i = 0; i < kSamples; i += kBlock)
      codec.encode(batch.batch, std::span(order).subspan(static_cast<size_t>(i), kBlock),
                   bytes.data() + i * codec.sample_bytes());
  });
  const double decoded = seconds([&] {
    for (int64_t i = 0; i < kSamples; i += kBlock)
      codec.decode(bytes.data() + i * codec.sample_bytes(), kBlock, result, i);
  });
  WARN(codec.sample_bytes() << " bytes a sample; packed at " << 1e-9 * static_cast<double>(bytes.size()) / encoded
                            << " GB/s (" << 1e9 * encoded / kSamples << " ns a sample), unpacked at "
                            << 1e-9 * static_cast<double>(bytes.size()) / decoded << " GB/s");
}
