#include "data/sample_codec.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.hpp"

namespace sparrow {
namespace {

static_assert(std::endian::native == std::endian::little, "the low bytes of a position are its first");

/// Calls work(width) with the width as a constant: copies of so many bytes are single instructions.
template <class Work>
void with_width(int width, Work&& work) {
  switch (width) {
    case 1:
      return work(std::integral_constant<int, 1>());
    case 2:
      return work(std::integral_constant<int, 2>());
    case 3:
      return work(std::integral_constant<int, 3>());
    case 4:
      return work(std::integral_constant<int, 4>());
    default:
      return work(std::integral_constant<int, 5>());
  }
}

template <int kWidth>
std::byte* write_positions(const int64_t* positions, std::span<const int32_t> samples, int bag, std::byte* to) {
  for (const int32_t sample : samples)
    for (int j = 0; j < bag; ++j, to += kWidth) std::memcpy(to, positions + int64_t{sample} * bag + j, kWidth);
  return to;
}

template <int kWidth>
int64_t read_position(const std::byte* from) {
  uint64_t position = 0;
  std::memcpy(&position, from, kWidth);
  return static_cast<int64_t>(position);
}

/// False if one of them is beyond `last`.
template <int kWidth>
bool read_positions(const std::byte* from, int64_t count, int64_t last, int64_t* to) {
  int64_t differences = 0;  // their signs; a comparison each would not be done for several at once
  int64_t i = 0;
  if constexpr (kWidth == 3) {
    constexpr int64_t kMask = 0xffffff;
    for (; i + 1 < count; ++i) {  // reads a byte of the next one
      to[i] = read_position<4>(from + i * kWidth) & kMask;
      differences |= last - to[i];
    }
  }
  for (; i < count; ++i) {
    to[i] = read_position<kWidth>(from + i * kWidth);
    differences |= last - to[i];
  }
  return differences >= 0;
}

}  // namespace

SampleCodec::SampleCodec(TableShapes shapes) : shapes_(std::move(shapes)) {
  sample_bytes_ = 1 + shapes_.dense_features * static_cast<int64_t>(sizeof(float));
  for (int t = 0; t < shapes_.tables(); ++t) {
    const auto last = static_cast<uint64_t>(shapes_.rows[t] - 1);
    SPARROW_CHECK(last < uint64_t{1} << 40, "table {}: {} rows", t, shapes_.rows[t]);
    width_.push_back(std::max(1, (static_cast<int>(std::bit_width(last)) + 7) / 8));
    sample_bytes_ += int64_t{width_.back()} * shapes_.bag_size(t);
  }
}

void SampleCodec::encode(const Batch& batch, std::span<const int32_t> samples, std::byte* block) const {
  for (const int32_t sample : samples) *block++ = static_cast<std::byte>(batch.labels[sample] != 0);
  const int64_t features = shapes_.dense_features, dense_bytes = features * static_cast<int64_t>(sizeof(float));
  for (const int32_t sample : samples) {
    std::memcpy(block, batch.dense.data() + sample * features, static_cast<size_t>(dense_bytes));
    block += dense_bytes;
  }
  const int64_t* positions = batch.positions.data();
  for (int t = 0; t < shapes_.tables(); ++t) {
    const int bag = shapes_.bag_size(t);
    with_width(width_[t],
               [&](auto width) { block = write_positions<decltype(width)::value>(positions, samples, bag, block); });
    positions += batch.samples * bag;
  }
}

void SampleCodec::decode(const std::byte* block, int64_t count, const BatchBuffer& buffer, int64_t first) const {
  const int64_t samples = buffer.batch.samples, features = shapes_.dense_features;
  SPARROW_CHECK(first >= 0 && count >= 0 && first + count <= samples, "samples {} + {} of {}", first, count, samples);
  uint8_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<uint8_t>(block[i]);
    largest = std::max(largest, label);
    buffer.labels[first + i] = label;
  }
  if (largest > 1) fail("samples from another rank: a label is {}", largest);
  block += count;
  const int64_t dense_bytes = count * features * static_cast<int64_t>(sizeof(float));
  if (dense_bytes > 0) std::memcpy(buffer.dense + first * features, block, static_cast<size_t>(dense_bytes));
  block += dense_bytes;
  int64_t* positions = buffer.positions;
  for (int t = 0; t < shapes_.tables(); ++t) {
    const int bag = shapes_.bag_size(t);
    int64_t* to = positions + first * bag;
    bool inside = true;
    with_width(width_[t], [&](auto width) {
      inside = read_positions<decltype(width)::value>(block, count * bag, shapes_.rows[t] - 1, to);
    });
    if (!inside)
      fail("samples from another rank: position {} in table {}, which has {} rows",
           *std::max_element(to, to + count * bag), t, shapes_.rows[t]);
    block += count * bag * width_[t];
    positions += samples * bag;
  }
}

}  // namespace sparrow
