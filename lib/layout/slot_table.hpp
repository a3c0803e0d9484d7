// From keys to slots and back, for rows that are at a rank by no rule: a hash table with linear probing, whose entries
// are slots, and the key of each slot. 6 bytes a slot and the size of a key (4 while all keys fit, else 8), and none of
// it is used before rows are.
#pragma once

#include <cstdint>
#include <memory>

#include "base/random.hpp"

namespace sparrow {

class SlotTable {
 public:
  /// For rows in slots 0 .. slots - 1, with keys 0 .. keys - 1.
  SlotTable(int64_t slots, int64_t keys);

  int64_t size() const { return size_; }
  /// The slot, or -1.
  int64_t find(int64_t key) const {
    for (uint64_t at = start(key);; at = next(at)) {
      const int64_t slot = int64_t{entries_[at]} - 1;
      if (slot < 0 || key_of(slot) == key) return slot;
    }
  }
  /// The key of the row in a slot, or -1.
  int64_t key_of(int64_t slot) const { return wide_ ? wide_[slot] - 1 : int64_t{narrow_[slot]} - 1; }

  /// The row has no slot yet, and the slot no row.
  void insert(int64_t key, int64_t slot);
  /// The row has a slot.
  void erase(int64_t key);

 private:
  uint64_t start(int64_t key) const { return (mix64(static_cast<uint64_t>(key)) >> 32) * capacity_ >> 32; }
  uint64_t next(uint64_t at) const { return at + 1 == capacity_ ? 0 : at + 1; }
  void set_key(int64_t slot, int64_t key);

  uint64_t capacity_;  ///< at most 2^32
  int64_t size_ = 0;
  std::shared_ptr<std::byte> entry_memory_, key_memory_;
  uint32_t* entries_;           ///< [capacity_]: slot + 1; 0: free
  uint32_t* narrow_ = nullptr;  ///< [slots]: key + 1; 0: none
  int64_t* wide_ = nullptr;     ///< the same, where keys need it
};

}  // namespace sparrow
