#include "data/batch_buffer.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/host_memory.hpp"

namespace sparrow {
namespace {

constexpr size_t kAlignment = kCacheLineBytes;

bool has_bags(const TableShapes& shapes) {
  return shapes.lookups_per_sample() > shapes.tables();
}

/// Bytes of the parts of a buffer, each a multiple of the alignment.
struct Parts {
  Parts(const TableShapes& shapes, int64_t capacity)
      : dense(rounded(capacity * shapes.dense_features, sizeof(float))),
        labels(rounded(capacity, sizeof(float))),
        offsets(has_bags(shapes) ? rounded(shapes.tables() * capacity + 1, sizeof(int64_t)) : 0),
        positions(rounded(shapes.lookups_per_sample() * capacity, sizeof(int64_t))) {}
  size_t total() const { return std::max(dense + labels + offsets + positions, kAlignment); }

  size_t dense, labels, offsets, positions;

 private:
  static size_t rounded(int64_t count, size_t size) {
    return (static_cast<size_t>(count) * size + kAlignment - 1) / kAlignment * kAlignment;
  }
};

}  // namespace

int64_t BatchBuffer::bytes(const TableShapes& shapes, int64_t capacity) {
  return static_cast<int64_t>(Parts(shapes, capacity).total());
}

BatchBuffer::BatchBuffer(const TableShapes& shapes, int64_t capacity, const BufferMemory& allocate) {
  const Parts parts(shapes, capacity);
  memory = allocate
               ? allocate(parts.total())
               : std::shared_ptr<std::byte>(
                     allocate_aligned(static_cast<int64_t>(parts.total()), kCacheLineBytes).release(), FreeAligned());
  std::byte* at = memory.get();
  SPARROW_CHECK(at != nullptr && reinterpret_cast<uintptr_t>(at) % kAlignment == 0,
                "memory for the loader is not aligned");
  dense = reinterpret_cast<float*>(at);
  labels = reinterpret_cast<float*>(at += parts.dense);
  offsets = reinterpret_cast<int64_t*>(at += parts.labels);
  positions = reinterpret_cast<int64_t*>(at += parts.offsets);
}

void BatchBuffer::set_samples(const TableShapes& shapes, int64_t samples) {
  const auto count = static_cast<size_t>(samples);
  batch.samples = samples;
  batch.tables = shapes.tables();
  batch.dense = {dense, count * static_cast<size_t>(shapes.dense_features)};
  batch.labels = {labels, count};
  batch.positions = {positions, count * static_cast<size_t>(shapes.lookups_per_sample())};
  if (!has_bags(shapes)) return;
  batch.offsets = {offsets, static_cast<size_t>(shapes.tables()) * count + 1};
  if (offsets_for == samples) return;  // from the batch before, nearly always
  int64_t* offset = offsets;
  int64_t lookups = 0;
  for (int t = 0; t < shapes.tables(); ++t)
    for (int64_t i = 0; i < samples; ++i, lookups += shapes.bag_size(t)) *offset++ = lookups;
  *offset = lookups;
  offsets_for = samples;
}

}  // namespace sparrow
