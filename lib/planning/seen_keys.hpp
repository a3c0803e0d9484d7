// Numbers the keys of a stream in the order in which they come first, for things kept about each of them: memory grows
// with the rows that occur and not with the tables.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.hpp"

namespace sparrow {

class SeenKeys {
 public:
  SeenKeys() : slots_(1 << 12, Slot{-1, 0}) {}

  int32_t size() const { return count_; }

  /// The key's number; size() before the call where it is new.
  int32_t number(int64_t key) {
    if (2 * static_cast<size_t>(count_) >= slots_.size()) grow();
    Slot& slot = find(key);
    if (slot.key < 0) slot = {key, count_++};
    return slot.number;
  }

 private:
  struct Slot {
    int64_t key;
    int32_t number;
  };

  Slot& find(int64_t key) {
    size_t at = mix64(static_cast<uint64_t>(key)) & (slots_.size() - 1);
    while (slots_[at].key >= 0 && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    return slots_[at];
  }

  void grow() {
    std::vector<Slot> old(2 * slots_.size(), Slot{-1, 0});
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.key >= 0) find(slot.key) = slot;
  }

  std::vector<Slot> slots_;
  int32_t count_ = 0;
};

}  // namespace sparrow
