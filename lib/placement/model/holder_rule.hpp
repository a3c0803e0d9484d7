// Who holds a row: which of the k holders 0 .. k-1 that a plan gives a row in one domain (theirs are the copies of its
// interval there), and in which order a holder has its rows.
//
//   offset 1, k = 4     position 0 1 2 3 4 5     holder 1 2 3 0 1 2
//   fixed 2, k = 4      every position           holder 2: table-wise placement
//
// Everything that knows this arithmetic is here, as plain data and constexpr functions that kernels can evaluate as
// well.
#pragma once

#include <cstdint>

namespace sparrow::placement {

struct HolderRule {
  int64_t offset = 0;
  int64_t fixed = -1;  ///< >= 0: all rows of the table are held by holder fixed mod k
  /// Rows with one copy, in device memory and not pooled, are held by the rank that uses them first: a map says which
  /// (layout/holder_map.hpp), and the arithmetic here stands for it where holders are only counted, and for proxies.
  bool first_use = false;

  bool operator==(const HolderRule&) const = default;

  /// Which of k has the position if they take turns, whether the table has a fixed holder or not: proxies do.
  constexpr int64_t in_turn(int64_t position, int64_t k) const { return (position + offset) % k; }

  constexpr int64_t holder(int64_t position, int64_t k) const { return fixed >= 0 ? fixed % k : in_turn(position, k); }

  /// Rows of the holder in front of a position, counted from a position at or before 0: differences are what counts.
  constexpr int64_t before(int64_t position, int64_t holder, int64_t k) const {
    if (fixed >= 0) return fixed % k == holder ? position : 0;
    return (position + offset + k - 1 - holder) / k;
  }

  /// The row of the holder that has so many before it: position(before(p, h, k), h, k) = p where h holds p.
  constexpr int64_t position(int64_t before, int64_t holder, int64_t k) const {
    return fixed >= 0 ? before : before * k + holder - offset;
  }

  /// How many of the positions first .. last - 1 the holder has.
  constexpr int64_t count(int64_t first, int64_t last, int64_t holder, int64_t k) const {
    return before(last, holder, k) - before(first, holder, k);
  }

  /// Whether both rules give every position the same holder.
  constexpr bool same(const HolderRule& other, int64_t k) const {
    if (k == 1) return true;
    if (fixed >= 0 || other.fixed >= 0) return fixed >= 0 && other.fixed >= 0 && fixed % k == other.fixed % k;
    return (offset - other.offset) % k == 0;
  }
};

}  // namespace sparrow::placement
