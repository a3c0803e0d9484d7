#include "data/sample_block.hpp"

#include "data/batch.hpp"
#include "data/criteo.hpp"

namespace sparrow {

SampleBlock::SampleBlock(int64_t capacity)
    : stride_(capacity + 16),
      dense_(capacity * kCriteoDense),
      labels_(capacity),
      categories_(stride_ * kCriteoTables) {}

SampleTarget SampleBlock::target() {
  return {dense_.data(), labels_.data(), categories_.data(), stride_};
}

}  // namespace sparrow
