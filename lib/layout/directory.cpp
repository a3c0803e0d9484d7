#include "layout/directory.hpp"

#include <algorithm>
#include <atomic>

#include "base/random.hpp"

namespace sparrow {

int Directory::make_ring(const CopyOption& option, int64_t holder_slot) {
  std::vector<int> ranks = option.rings[hierarchy_.domain(option.level, rank_)];
  if (holder_slot >= 0) ranks = {ranks[static_cast<size_t>(holder_slot) % ranks.size()]};
  for (size_t i = 0; i < rings_.size(); ++i)
    if (rings_[i].ranks == ranks) return static_cast<int>(i);
  Ring ring{ranks, {0}, {}};
  for (size_t place = 0; place < ranks.size(); ++place) {
    if (ranks[place] == rank_) ring.mine.push_back(static_cast<int64_t>(place));
    ring.mine_before.push_back(static_cast<int64_t>(ring.mine.size()));
  }
  rings_.push_back(std::move(ring));
  return static_cast<int>(rings_.size()) - 1;
}

int64_t Directory::places_before(const Ring& ring, int64_t place) const {
  const auto turn = static_cast<int64_t>(ring.ranks.size());
  return place / turn * static_cast<int64_t>(ring.mine.size()) + ring.mine_before[place % turn];
}

/// The key of this rank's place number `mine` in the ring of the interval.
int64_t Directory::key_of_place(const Interval& interval, int64_t mine) const {
  const Ring& ring = ring_of(interval);
  const auto turn = static_cast<int64_t>(ring.ranks.size()), per_turn = static_cast<int64_t>(ring.mine.size());
  return mine / per_turn * turn + ring.mine[mine % per_turn] - interval.shift;
}

size_t Directory::interval_of(int64_t key) const {
  const std::atomic_ref<size_t> guess(last_interval_);
  const size_t last = guess.load(std::memory_order_relaxed);
  if (last < intervals_.size() && key >= intervals_[last].first_key && key < intervals_[last].end_key) return last;
  const auto after = std::upper_bound(first_keys_.begin(), first_keys_.end(), key);
  const auto found = static_cast<size_t>(after - first_keys_.begin()) - 1;
  guess.store(found, std::memory_order_relaxed);
  return found;
}

int Directory::holder(const Interval& interval, int64_t key) const {
  const std::vector<int>& ranks = rings_[interval.ring].ranks;
  return ranks[static_cast<uint64_t>(key + interval.shift) % ranks.size()];
}

int Directory::ask(int stage, int64_t key) const {
  const Interval& interval = intervals_[interval_of(key)];
  if (interval.level > stage) return -1;
  const int held_by = holder(interval, key);
  if (interval.rule.transport != CopyTransport::staged) return interval.level == stage ? held_by : rank_;
  if (hierarchy_.domain(stage, held_by) == hierarchy_.domain(stage, rank_)) return held_by;
  const auto& ring = hierarchy_.ring(stage, hierarchy_.domain(stage, rank_));
  return ring[static_cast<uint64_t>(key + interval.shift) % ring.size()];
}

int Directory::merger(int64_t key, int level, int domain) const {
  const Interval& interval = intervals_[interval_of(key)];
  SPARROW_CHECK(level <= interval.level);
  for (; level < interval.level; ++level) {
    const std::vector<int>& children = hierarchy_.children(level, domain);
    domain = children[mix64(static_cast<uint64_t>(key) * 64 + static_cast<uint64_t>(level)) % children.size()];
  }
  const auto& ring = plan_.options[interval.option].rings[domain];
  if (interval.rule.holder_slot >= 0) return ring[static_cast<size_t>(interval.rule.holder_slot) % ring.size()];
  return ring[static_cast<uint64_t>(key + interval.shift) % ring.size()];
}

int64_t Directory::slot(int64_t key) const {
  const Interval& interval = intervals_[interval_of(key)];
  const Ring& ring = ring_of(interval);
  const int64_t place = key + interval.shift;
  SPARROW_CHECK(ring.ranks[static_cast<size_t>(place) % ring.ranks.size()] == rank_,
                "row {} of table {} is not held by rank {}", key - tables_.first_key(interval.table), interval.table,
                rank_);
  return interval.first_slot + places_before(ring, place) - interval.first_turn_mine;
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
      keys[slot - first] = key_of_place(interval, interval.first_turn_mine + slot - interval.first_slot);
  }
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
  return rows;
}

}  // namespace sparrow
