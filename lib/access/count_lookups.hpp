// Goes through the lookups of samples, table by table: what all counts of a data set are made with.
#pragma once

#include <algorithm>
#include <span>

#include "data/dataset.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

/// counter_of(t) gives what is called with the id of each lookup in table t, bags included, chunk by chunk.
template <class CounterOf>
void count_lookups(const Dataset& data, std::span<const SampleRange> ranges, const TableShapes& shapes,
                   const CounterOf& counter_of) {
  constexpr int64_t kChunk = 1024;
  shapes.check();
  SampleBlock block(kChunk);
  for (const SampleRange& range : ranges)
    for (int64_t first = range.first; first < range.last; first += kChunk) {
      const int64_t samples = std::min(kChunk, range.last - first);
      data.read(first, samples, block.target());
      for (int t = 0; t < shapes.tables(); ++t) {
        const int64_t rows = shapes.rows[t];
        const Modulo modulo(static_cast<uint32_t>(rows));
        auto&& count = counter_of(t);
        for (int64_t i = 0; i < samples; ++i) {
          const uint32_t id = modulo(block.table(t)[i]);
          count(id);
          for (int j = 1; j < shapes.bag_size(t); ++j) count(bag_id(t, id, j, rows));
        }
      }
    }
}

}  // namespace sparrow
