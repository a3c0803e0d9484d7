// How long groups of rows are summed (embedding.cu): in pieces, whose partial sums are then added in order.
#pragma once

#include <cstdint>

namespace sparrow::cuda {

/// Groups of more items are cut, from their begin, into pieces of so many.
constexpr int64_t kItemsPerPiece = 32;

/// Of a group of so many items: the partial sums that are written and read again.
constexpr int64_t pieces_of(int64_t items) {
  return items <= kItemsPerPiece ? 0 : (items + kItemsPerPiece - 1) / kItemsPerPiece;
}

}  // namespace sparrow::cuda
