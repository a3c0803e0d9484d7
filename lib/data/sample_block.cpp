#include "data/sample_block.hpp"

#include "data/batch.hpp"

namespace sparrow {

SampleBlock::SampleBlock(int64_t capacity)
    : stride_(capacity + 16),
      dense_(static_cast<size_t>(capacity * kCriteoDense)),
      labels_(static_cast<size_t>(capacity)),
      categories_(static_cast<size_t>(stride_ * kCriteoTables)) {}

SampleTarget SampleBlock::target() {
  return {dense_.data(), labels_.data(), categories_.data(), stride_};
}

}  // namespace sparrow
