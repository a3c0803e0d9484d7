// The rows of a list whose gradients travel together: all of them, or one half of a batch's rows (row_split.hpp). Rows
// keep their order, and so do the members of each row: its gradient is summed in the same order whichever part it is
// in.
//
// Example: list [4 | 1 3], members: 4 -> bags 0 2, 1 -> bag 1, 3 -> bag 3. If 3 is shared: shared part [| 3], group of
// 3: bag 3; single part [4 | 1], groups: bags 0 2, bag 1. One level up, members are requests, and each half's requests
// come in a message of their own: there a group's items count the requests of its half.
#pragma once

#include <array>
#include <cstdint>

#include "exchange/row_list.hpp"

namespace sparrow {

struct ListPart {
  explicit ListPart(Backend& backend);
  int64_t count = 0, here = 0, device = 0;  ///< as in RowList
  Groups groups;                            ///< in device memory
  const int64_t* slots = nullptr;           ///< [here], in device memory
  Scratch<float> gradients;                 ///< (count, dim)
  Mirrored<int32_t> own_offsets, own_items;
  Mirrored<int64_t> own_slots;

  /// All rows of the list. Refers to it.
  void take_all(const RowList& list);

  /// As RowList::reserve; divided: the list will be divided, not only taken whole.
  void reserve(const ListBounds& bounds, int64_t dim, bool divided) {
    gradients.reserve_exactly(bounds.count * dim);
    if (!divided) return;
    own_offsets.reserve_exactly(bounds.count + 1);
    own_items.reserve_exactly(bounds.members);
    own_slots.reserve_exactly(bounds.here);
  }
};

/// Divides a list by `shared` [list.count] into (single, shared) and queues both to the device. split_members: members
/// are requests, which are divided like the rows; false: they are bags.
class ListDivider {
 public:
  explicit ListDivider(Backend& host) : places_(host, Memory::host) {}
  void divide(Stream& stream, const RowList& list, const uint8_t* shared, bool split_members,
              std::array<ListPart, 2>& parts);

 private:
  Scratch<int32_t> places_;
};

}  // namespace sparrow
