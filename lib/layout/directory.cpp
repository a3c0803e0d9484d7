#include "layout/directory.hpp"

#include <algorithm>
#include <atomic>

#include "base/random.hpp"

namespace sparrow {

size_t Directory::interval_of(int64_t key) const {
  const std::atomic_ref<size_t> guess(last_interval_);
  const size_t last = guess.load(std::memory_order_relaxed);
  if (last < intervals_.size() && key >= intervals_[last].first_key && key < intervals_[last].end_key) return last;
  const auto after = std::upper_bound(first_keys_.begin(), first_keys_.end(), key);
  const auto found = static_cast<size_t>(after - first_keys_.begin()) - 1;
  guess.store(found, std::memory_order_relaxed);
  return found;
}

int Directory::ask(int stage, int64_t key) const {
  const Interval& interval = intervals_[interval_of(key)];
  if (interval.level > stage) return -1;
  const int held_by = holder(interval, key);
  if (interval.rule.transport != Transport::staged) return interval.level == stage ? held_by : rank_;
  if (hierarchy_.domain(stage, held_by) == hierarchy_.domain(stage, rank_)) return held_by;
  const auto& proxies = hierarchy_.ring(stage, hierarchy_.domain(stage, rank_));
  return proxies[interval.rule.holders.in_turn(position(interval, key), proxies.size())];
}

int Directory::merger(int64_t key, int level, int domain) const {
  const Interval& interval = intervals_[interval_of(key)];
  SPARROW_CHECK(level <= interval.level);
  for (; level < interval.level; ++level) {
    const std::vector<int>& children = hierarchy_.children(level, domain);
    domain = children[mix64(static_cast<uint64_t>(key) * 64 + static_cast<uint64_t>(level)) % children.size()];
  }
  if (interval.mapped) return holder(interval, key);
  return Holders(interval.rule.holders, plan_->options[interval.option].rings[domain]).rank(position(interval, key));
}

int64_t Directory::slot(int64_t key) const {
  const int64_t slot = find_slot(key);
  SPARROW_CHECK(slot >= 0, "rank {} is asked for row {}, which was not admitted", rank_, key);
  return slot;
}

int64_t Directory::find_slot(int64_t key) const {
  const Interval& interval = intervals_[interval_of(key)];
  if (interval.mapped) return slot_table_->find(key);
  const Holders& holders = interval.holders;
  const int64_t at = position(interval, key);
  SPARROW_CHECK(holders.rule.holder(at, holders.k()) == interval.me, "row {} of table {} is not held by rank {}", at,
                interval.table, rank_);
  return interval.first_slot + holders.rule.before(at, interval.me, holders.k()) - interval.before;
}

int64_t Directory::nth_key(const Interval& interval, int64_t n) const {
  const Holders& holders = interval.holders;
  return tables_.first_key(interval.table) + holders.rule.position(interval.before + n, interval.me, holders.k());
}

void Directory::keys_of_slots(int64_t first, std::span<int64_t> keys) const {
  SPARROW_CHECK(first >= 0 && first + static_cast<int64_t>(keys.size()) <= slots_);
  std::fill(keys.begin(), keys.end(), -1);
  const int64_t end = first + static_cast<int64_t>(keys.size());
  auto at = std::partition_point(by_slot_.begin(), by_slot_.end(),
                                 [&](size_t i) { return intervals_[i].first_slot + intervals_[i].slots <= first; });
  for (; at != by_slot_.end() && intervals_[*at].first_slot < end; ++at) {
    const Interval& interval = intervals_[*at];
    const int64_t last = std::min(end, interval.first_slot + interval.slots);
    for (int64_t slot = std::max(first, interval.first_slot); slot < last; ++slot)
      keys[slot - first] = nth_key(interval, slot - interval.first_slot);
  }
  if (!slot_table_) return;
  for (int64_t slot = first; slot < std::min(end, first_guest()); ++slot)
    if (const int64_t key = slot_table_->key_of(slot); key >= 0) keys[slot - first] = key;
}

std::vector<Directory::SlotRun> Directory::slots_of_option(int option) const {
  std::vector<SlotRun> runs;
  for (const Interval& interval : intervals_) {
    if (interval.option != option || interval.slots == 0) continue;
    if (!runs.empty() && runs.back().first + runs.back().count == interval.first_slot)
      runs.back().count += interval.slots;
    else
      runs.push_back({interval.first_slot, interval.slots});
  }
  return runs;
}

SlotRoom Directory::held() const {
  SlotRoom rows;
  for (const Interval& interval : intervals_) (interval.offloaded ? rows.offloaded : rows.device) += interval.slots;
  if (slot_table_) rows.device += slot_table_->size();
  return rows;
}

SlotRoom Directory::most_held() const {
  const bool mapped = std::any_of(intervals_.begin(), intervals_.end(), [](const Interval& i) { return i.mapped; });
  SlotRoom rows = held();
  if (mapped) rows.device = device_slots_;
  return rows;
}

int64_t Directory::mapped_room() const {
  return slot_table_ ? free_[0].total() + slot_table_->size() : 0;
}

void Directory::admit(std::span<const int64_t> keys, std::vector<int64_t>& admitted, std::vector<int64_t>& slots) {
  const size_t before = admitted.size();
  for (const int64_t key : keys)
    if (mapped(key) && slot_table_->find(key) < 0) admitted.push_back(key);
  const auto coming = static_cast<int64_t>(admitted.size() - before);
  if (coming > free_[0].total())
    fail("rank {} has no room for {} more rows in its device memory: {} are free", rank_, coming, free_[0].total());
  for (size_t next = before; next < admitted.size();) {
    const FreeSlots::Run run = free_[0].take_last(static_cast<int64_t>(admitted.size() - next));
    for (int64_t slot = run.first; slot < run.first + run.count; ++slot) {
      slot_table_->insert(admitted[next++], slot);
      slots.push_back(slot);
    }
  }
}

void Directory::dismiss(std::span<const int64_t> keys) {
  for (const int64_t key : keys) {
    const int64_t slot = mapped(key) ? slot_table_->find(key) : -1;
    if (slot < 0) continue;
    slot_table_->erase(key);
    free_[0].add(slot, 1);
  }
}

}  // namespace sparrow
