#include "layout/slot_table.hpp"

#include <limits>

#include "base/error.hpp"
#include "base/shared_memory.hpp"

namespace sparrow {

SlotTable::SlotTable(int64_t slots, int64_t keys) : capacity_(static_cast<uint64_t>(slots + slots / 2 + 8)) {
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  SPARROW_CHECK(slots >= 0 && capacity_ <= kMost, "{} slots", slots);
  entry_memory_ = zeroed_memory(capacity_ * sizeof(uint32_t));
  entries_ = reinterpret_cast<uint32_t*>(entry_memory_.get());
  const bool narrow = static_cast<uint64_t>(keys) < kMost;
  key_memory_ = zeroed_memory(static_cast<size_t>(slots) * (narrow ? sizeof(uint32_t) : sizeof(int64_t)));
  if (narrow)
    narrow_ = reinterpret_cast<uint32_t*>(key_memory_.get());
  else
    wide_ = reinterpret_cast<int64_t*>(key_memory_.get());
}

void SlotTable::set_key(int64_t slot, int64_t key) {
  if (wide_)
    wide_[slot] = key + 1;
  else
    narrow_[slot] = static_cast<uint32_t>(key + 1);
}

void SlotTable::insert(int64_t key, int64_t slot) {
  uint64_t at = start(key);
  while (entries_[at] != 0) at = next(at);
  entries_[at] = static_cast<uint32_t>(slot + 1);
  set_key(slot, key);
  ++size_;
}

/// Entries behind the one that goes move up where their search passes it, so that no mark of it needs to stay.
void SlotTable::erase(int64_t key) {
  uint64_t hole = start(key);
  while (key_of(int64_t{entries_[hole]} - 1) != key) hole = next(hole);
  set_key(int64_t{entries_[hole]} - 1, -1);
  --size_;
  for (uint64_t at = next(hole); entries_[at] != 0; at = next(at)) {
    const uint64_t from = start(key_of(int64_t{entries_[at]} - 1));
    const bool passes = hole <= at ? from <= hole || from > at : from <= hole && from > at;
    if (!passes) continue;
    entries_[hole] = entries_[at];
    hole = at;
  }
  entries_[hole] = 0;
}

}  // namespace sparrow
