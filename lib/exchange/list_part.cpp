#include "exchange/list_part.hpp"

namespace sparrow {

ListPart::ListPart(Backend& backend)
    : gradients(backend, Memory::device), own_offsets(backend), own_items(backend), own_slots(backend) {}

void ListPart::take_all(const RowList& list) {
  count = list.count, here = list.here, device = list.device;
  groups = list.groups;
  slots = list.slots.device();
}

void ListDivider::divide(Stream& stream, const RowList& list, const uint8_t* shared, bool split_members,
                         std::array<ListPart, 2>& parts) {
  const int32_t* row_of_member = list.row_of_member.data();
  int32_t* places = places_.reserve(list.members);
  int32_t members[2] = {0, 0};
  if (split_members)
    for (int64_t m = 0; m < list.members; ++m) places[m] = members[shared[row_of_member[m]]]++;

  int32_t *offsets[2], *items[2], filled[2] = {0, 0};
  int64_t* slots[2];
  for (size_t half = 0; half < 2; ++half) {
    ListPart& part = parts[half];
    part.count = part.here = part.device = 0;
    offsets[half] = part.own_offsets.reserve(list.count + 1);
    items[half] = part.own_items.reserve(list.members);
    slots[half] = part.own_slots.reserve(list.here);
  }
  const int32_t* list_offsets = list.group_offsets.data();
  const int32_t* list_items = list.group_items.data();
  for (int64_t i = 0; i < list.count; ++i) {
    const size_t half = shared[i];
    ListPart& part = parts[half];
    offsets[half][part.count++] = filled[half];
    for (int32_t at = list_offsets[i]; at < list_offsets[i + 1]; ++at)
      items[half][filled[half]++] = split_members ? places[list_items[at]] : list_items[at];
    if (i >= list.here) continue;
    slots[half][part.here++] = list.slots.data()[i];
    if (i < list.device) ++part.device;
  }
  for (size_t half = 0; half < 2; ++half) {
    ListPart& part = parts[half];
    offsets[half][part.count] = filled[half];
    part.groups = {part.count, filled[half], part.own_offsets.device(), part.own_items.device()};
    part.slots = part.own_slots.device();
    part.own_offsets.upload(stream, part.count + 1);
    part.own_items.upload(stream, filled[half]);
    part.own_slots.upload(stream, part.here);
  }
}

}  // namespace sparrow
