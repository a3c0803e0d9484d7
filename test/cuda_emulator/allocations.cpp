#include "allocations.hpp"

#include <map>
#include <mutex>
#include <shared_mutex>

namespace sparrow::emulator {
namespace {

struct Table {
  std::shared_mutex mutex;
  std::map<uint64_t, uint64_t> bytes_at;
  std::atomic<uint64_t> generation{1};
};

/// Never destroyed: programs free memory from destructors of their own statics.
Table& table() {
  static Table* instance = new Table;
  return *instance;
}

}  // namespace

void add_allocation(void* data, size_t bytes) {
  Table& t = table();
  const std::unique_lock lock(t.mutex);
  t.bytes_at[reinterpret_cast<uint64_t>(data)] = bytes;
  ++t.generation;
}

bool remove_allocation(void* data) {
  Table& t = table();
  const std::unique_lock lock(t.mutex);
  ++t.generation;
  return t.bytes_at.erase(reinterpret_cast<uint64_t>(data)) > 0;
}

bool find_allocation(uint64_t address, uint64_t bytes, Range& range) {
  Table& t = table();
  const std::shared_lock lock(t.mutex);
  auto entry = t.bytes_at.upper_bound(address);
  if (entry == t.bytes_at.begin()) return false;
  --entry;
  if (address + bytes > entry->first + entry->second) return false;
  range = {entry->first, entry->first + entry->second};
  return true;
}

uint64_t allocation_generation() {
  return table().generation.load(std::memory_order_acquire);
}

}  // namespace sparrow::emulator
