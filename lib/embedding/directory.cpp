#include "embedding/directory.hpp"

#include <algorithm>

namespace sparrow {

CopyPlan CopyPlan::uniform(const Tables& tables, int level) {
  CopyPlan plan;
  for (int t = 0; t < tables.count(); ++t) {
    plan.tables.push_back({{0, level}});
    plan.offsets.push_back(t);
  }
  return plan;
}

Directory::Directory(const Tables& tables, const Hierarchy& hierarchy, const CopyPlan& plan, int rank, bool combine)
    : tables_(tables), hierarchy_(hierarchy), rank_(rank), combine_(combine) {
  SPARROW_CHECK(static_cast<int>(plan.tables.size()) == tables.count() && plan.offsets.size() == plan.tables.size(),
                "the plan has {} tables, the model {}", plan.tables.size(), tables.count());
  for (int t = 0; t < tables.count(); ++t) {
    const auto& list = plan.tables[static_cast<size_t>(t)];
    SPARROW_CHECK(!list.empty() && list[0].first == 0, "the plan of table {} does not start at position 0", t);
    for (size_t i = 0; i < list.size(); ++i) {
      const int64_t end = i + 1 < list.size() ? list[i + 1].first : tables.rows(t);
      SPARROW_CHECK(list[i].first < end && list[i].level >= 0 && list[i].level <= hierarchy.depth(),
                    "bad interval {} of table {}: positions {} to {}, level {}", i, t, list[i].first, end,
                    list[i].level);
      const auto& ring = hierarchy.ring(list[i].level, hierarchy.domain(list[i].level, rank));
      const auto turn = static_cast<int64_t>(ring.size());
      Interval interval;
      interval.first_key = tables.first_key(t) + list[i].first;
      interval.end_key = tables.first_key(t) + end;
      interval.table = t;
      interval.level = list[i].level;
      interval.shift = plan.offsets[static_cast<size_t>(t)] - tables.first_key(t);
      interval.first_turn = (interval.first_key + interval.shift) / turn;
      interval.first_slot = slots_;
      interval.per_turn = 0;
      for (const int holder_rank : ring)
        interval.mine.push_back(holder_rank == rank ? static_cast<int>(interval.per_turn++) : -1);
      const int64_t last_turn = (interval.end_key - 1 + interval.shift) / turn;
      slots_ += (last_turn - interval.first_turn + 1) * interval.per_turn;
      first_keys_.push_back(interval.first_key);
      intervals_.push_back(std::move(interval));
    }
  }
}

size_t Directory::interval_of(int64_t key) const {
  return static_cast<size_t>(std::upper_bound(first_keys_.begin(), first_keys_.end(), key) - first_keys_.begin()) - 1;
}

int Directory::holder(const Interval& interval, int64_t key, int rank) const {
  const auto& ring = hierarchy_.ring(interval.level, hierarchy_.domain(interval.level, rank));
  return ring[static_cast<uint64_t>(key + interval.shift) % ring.size()];
}

int Directory::ask(int stage, int64_t key) const {
  const Interval& interval = intervals_[interval_of(key)];
  if (interval.level > stage) return -1;
  const int held_by = holder(interval, key, rank_);
  if (!combine_) return interval.level == stage ? held_by : rank_;
  if (hierarchy_.domain(stage, held_by) == hierarchy_.domain(stage, rank_)) return held_by;
  const auto& ring = hierarchy_.ring(stage, hierarchy_.domain(stage, rank_));
  return ring[static_cast<uint64_t>(key + interval.shift) % ring.size()];
}

int64_t Directory::slot(int64_t key) const {
  const Interval& interval = intervals_[interval_of(key)];
  const auto place = static_cast<uint64_t>(key + interval.shift);
  const uint64_t turn = interval.mine.size();
  const int mine = interval.mine[place % turn];
  SPARROW_CHECK(mine >= 0, "row {} of table {} is not held by rank {}", key - tables_.first_key(interval.table),
                interval.table, rank_);
  return interval.first_slot + (static_cast<int64_t>(place / turn) - interval.first_turn) * interval.per_turn + mine;
}

void Directory::keys_of_slots(int64_t first, std::span<int64_t> keys) const {
  std::fill(keys.begin(), keys.end(), -1);
  const int64_t end = first + static_cast<int64_t>(keys.size());
  for (const Interval& interval : intervals_) {
    if (interval.per_turn == 0) continue;
    const auto turn = static_cast<int64_t>(interval.mine.size());
    const int64_t last_turn = (interval.end_key - 1 + interval.shift) / turn;
    const int64_t slots_end = interval.first_slot + (last_turn - interval.first_turn + 1) * interval.per_turn;
    if (interval.first_slot >= end || slots_end <= first) continue;
    int64_t t = interval.first_turn + std::max<int64_t>(0, (first - interval.first_slot) / interval.per_turn);
    for (; t <= last_turn && interval.first_slot + (t - interval.first_turn) * interval.per_turn < end; ++t)
      for (int64_t place = 0; place < turn; ++place) {
        const int mine = interval.mine[static_cast<size_t>(place)];
        const int64_t key = t * turn + place - interval.shift;
        if (mine < 0 || key < interval.first_key || key >= interval.end_key) continue;
        const int64_t slot = interval.first_slot + (t - interval.first_turn) * interval.per_turn + mine;
        if (slot >= first && slot < end) keys[static_cast<size_t>(slot - first)] = key;
      }
  }
}

}  // namespace sparrow
