// How large the lists and exchanges of any batch can be at one rank, from the sizes of batches, tables and the plan: so
// that device memory is taken before the first step and no batch, however skewed, finds it short.
//
// The bounds hold for every batch. A rank's own list has at most its lookups, and of a table at most the table's rows.
// What others ask of a rank is, in the worst case, all that they look up: every sample of its domain at that stage,
// distinct per rank and table. Example: 4 ranks of 64 samples, tables of 5 and 1,000 rows, one lookup each: a rank asks
// for at most 5 + 64 rows, and is asked for at most 4 (5 + 64).
#pragma once

#include <cstdint>
#include <vector>

#include "layout/directory.hpp"

namespace sparrow {

/// Sizes that no batch of a run exceeds.
struct BatchLimits {
  std::vector<int64_t> samples;  ///< of each rank
  std::vector<int64_t> lookups;  ///< of one sample, by table
  bool with_offsets = false;     ///< bags of other sizes than 1
};

struct ListBounds {
  int64_t requests = 0, count = 0, here = 0;  ///< as in RowList
};

struct ExchangeBounds {
  int64_t dim = 0;
  int64_t row_bytes = 0;  ///< of a row on the wire
  int64_t samples = 0;    ///< of this rank
  int64_t bags = 0, lookups = 0;
  bool with_offsets = false, with_offloaded = false;
  bool overlapped = false;                ///< rows are fetched in two halves
  std::vector<ListBounds> lists;          ///< by level
  std::vector<int64_t> asked, requested;  ///< by stage: rows

  /// Rows with several copies, reduced sparsely (CopyRoute).
  struct Copies {
    struct Level {
      int64_t requested = 0, own = 0;
      ListBounds merged;
      int64_t delivered = 0, final_count = 0, sent = 0;
    };
    std::vector<Level> levels;  ///< empty: there are none
  } copies;

  /// Lookups pooled at their holders (BagRoute).
  struct Pooled {
    bool any = false;
    int64_t asked = 0, requested = 0, bag_of_part = 0;
    ListBounds rows;
  } pooled;

  /// Most items that one sum of rows has.
  int64_t most_requests() const;
};

/// Most bytes of one exchange of rows that are packed or converted to be sent, and of those that come in and are not
/// received in place.
struct TransferBounds {
  int64_t send_bytes = 0, recv_bytes = 0;
};
TransferBounds bound_transfer(const ExchangeBounds& bounds);

/// For the rank and the plan of a directory.
ExchangeBounds bound_exchange(const Directory& directory, const BatchLimits& limits, int64_t wire_bytes_per_value,
                              bool overlapped);

/// Most lookups of a global batch: no rank is asked for more rows.
int64_t bound_lookups(const BatchLimits& limits);

/// Options whose copies are kept equal by reducing all their rows (true), or those that were touched (false; also where
/// there is a single copy). By option.
std::vector<char> densely_reduced(const ResolvedPlan& plan);

}  // namespace sparrow
