// How rows are packed into the blocks that a slower store moves at least: no row crosses a block. Used by the store of
// offloaded rows and by the theory that predicts what it moves.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sparrow {

struct BlockPacking {
  int64_t block_bytes = 0;
  int64_t rows = 0;  ///< of a block
};

/// The least multiple of `granule` bytes of which rows of `row_bytes` leave at most a quarter unused. Both > 0.
///   rows of 260 bytes, granule 4096: 15 rows in blocks of 4096;   rows of 2052: 3 in blocks of 8192
inline BlockPacking pack_blocks(int64_t row_bytes, int64_t granule) {
  int64_t block = (row_bytes + granule - 1) / granule * granule;
  while (4 * (block / row_bytes) * row_bytes < 3 * block) block += granule;
  return {block, block / row_bytes};
}

}  // namespace sparrow
