#include "embedding/directory.hpp"

#include <algorithm>

#include "base/random.hpp"

namespace sparrow {

Directory::Directory(const Tables& tables, const Hierarchy& hierarchy, const CopyPlan& plan, int rank)
    : tables_(tables), hierarchy_(hierarchy), plan_(plan), rank_(rank) {
  SPARROW_CHECK(static_cast<int>(plan.tables.size()) == tables.count(), "the plan has {} tables, the model {}",
                plan.tables.size(), tables.count());
  for (const CopyOption& option : plan_.options) {
    SPARROW_CHECK(option.level >= 0 && option.level <= hierarchy.depth(), "copy level {} of {}", option.level,
                  hierarchy.depth());
    SPARROW_CHECK(static_cast<int>(option.rings.size()) == hierarchy.domains(option.level));
    SPARROW_CHECK(option.stores.empty() || option.stores.size() == option.rings.size(), "{} stores of {} domains",
                  option.stores.size(), option.rings.size());
    for (size_t d = 0; d < option.rings.size(); ++d) {
      SPARROW_CHECK(!option.rings[d].empty(), "no rank of domain {} of level {} holds anything", d, option.level);
      for (const int holder_rank : option.rings[d])
        SPARROW_CHECK(holder_rank >= 0 && holder_rank < hierarchy.ranks() &&
                          hierarchy.domain(option.level, holder_rank) == static_cast<int>(d),
                      "rank {} is not in domain {} of level {}", holder_rank, d, option.level);
    }
  }
  for (int t = 0; t < tables.count(); ++t) {
    const auto& list = plan_.tables[static_cast<size_t>(t)].intervals;
    SPARROW_CHECK(!list.empty() && list[0].first == 0, "the plan of table {} does not start at position 0", t);
    for (size_t i = 0; i < list.size(); ++i)
      add_interval(t, list[i], i + 1 < list.size() ? list[i + 1].first : tables.rows(t));
  }
  number_slots();
}

void Directory::number_slots() {
  for (const bool fetched : {false, true}) {
    for (size_t i = 0; i < intervals_.size(); ++i) {
      if (intervals_[i].fetched != fetched) continue;
      intervals_[i].first_slot = slots_;
      slots_ += intervals_[i].slots;
      by_slot_.push_back(i);
    }
    if (!fetched) device_slots_ = slots_;
  }
}

void Directory::add_interval(int table, const CopyInterval& from, int64_t end) {
  SPARROW_CHECK(from.first < end && end <= tables_.rows(table), "bad interval of table {}: positions {} to {}", table,
                from.first, end);
  SPARROW_CHECK(from.option >= 0 && from.option < static_cast<int>(plan_.options.size()), "table {} has option {}",
                table, from.option);
  const CopyTable& copies = plan_.tables[static_cast<size_t>(table)];
  SPARROW_CHECK(copies.offset >= 0);
  Interval interval;
  interval.first_key = tables_.first_key(table) + from.first;
  interval.end_key = tables_.first_key(table) + end;
  interval.table = table;
  interval.option = from.option;
  interval.staged = copies.transport == CopyTransport::staged;
  const CopyOption& option = plan_.options[static_cast<size_t>(from.option)];
  interval.level = option.level;
  interval.fetched = option.store(hierarchy_.domain(option.level, rank_)) == CopyStore::fetched;
  interval.shift = copies.offset - tables_.first_key(table);
  interval.ring = make_ring(option, copies.holder_slot);
  const Ring& ring = rings_[static_cast<size_t>(interval.ring)];
  interval.first_turn_mine = places_before(ring, interval.first_key + interval.shift);
  interval.first_slot = 0;  // see number_slots
  interval.slots = places_before(ring, interval.end_key + interval.shift) - interval.first_turn_mine;
  first_keys_.push_back(interval.first_key);
  intervals_.push_back(interval);
}

int Directory::make_ring(const CopyOption& option, int64_t holder_slot) {
  std::vector<int> ranks = option.rings[static_cast<size_t>(hierarchy_.domain(option.level, rank_))];
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
  return place / turn * static_cast<int64_t>(ring.mine.size()) + ring.mine_before[static_cast<size_t>(place % turn)];
}

size_t Directory::interval_of(int64_t key) const {
  return static_cast<size_t>(std::upper_bound(first_keys_.begin(), first_keys_.end(), key) - first_keys_.begin()) - 1;
}

int Directory::holder(const Interval& interval, int64_t key) const {
  const std::vector<int>& ranks = rings_[static_cast<size_t>(interval.ring)].ranks;
  return ranks[static_cast<uint64_t>(key + interval.shift) % ranks.size()];
}

int Directory::ask(int stage, int64_t key) const {
  const Interval& interval = intervals_[interval_of(key)];
  if (interval.level > stage) return -1;
  const int held_by = holder(interval, key);
  if (!interval.staged) return interval.level == stage ? held_by : rank_;
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
  const CopyTable& copies = plan_.tables[static_cast<size_t>(interval.table)];
  const auto& ring = plan_.options[static_cast<size_t>(interval.option)].rings[static_cast<size_t>(domain)];
  if (copies.holder_slot >= 0) return ring[static_cast<size_t>(copies.holder_slot) % ring.size()];
  return ring[static_cast<uint64_t>(key + interval.shift) % ring.size()];
}

int64_t Directory::slot(int64_t key) const {
  const Interval& interval = intervals_[interval_of(key)];
  const Ring& ring = rings_[static_cast<size_t>(interval.ring)];
  const int64_t place = key + interval.shift;
  SPARROW_CHECK(ring.ranks[static_cast<size_t>(place) % ring.ranks.size()] == rank_,
                "row {} of table {} is not held by rank {}", key - tables_.first_key(interval.table), interval.table,
                rank_);
  return interval.first_slot + places_before(ring, place) - interval.first_turn_mine;
}

void Directory::keys_of_slots(int64_t first, std::span<int64_t> keys) const {
  SPARROW_CHECK(first >= 0 && first + static_cast<int64_t>(keys.size()) <= slots_);
  size_t done = 0;
  for (const size_t i : by_slot_) {
    const Interval& interval = intervals_[i];
    const Ring& ring = rings_[static_cast<size_t>(interval.ring)];
    const auto turn = static_cast<int64_t>(ring.ranks.size()), per_turn = static_cast<int64_t>(ring.mine.size());
    for (; done < keys.size(); ++done) {
      const int64_t within = first + static_cast<int64_t>(done) - interval.first_slot;
      if (within >= interval.slots) break;
      const int64_t mine = interval.first_turn_mine + within;
      keys[done] = mine / per_turn * turn + ring.mine[static_cast<size_t>(mine % per_turn)] - interval.shift;
    }
  }
}

std::vector<Directory::SlotRun> Directory::slots_of_option(int option) const {
  std::vector<SlotRun> runs;
  for (const size_t i : by_slot_) {
    const Interval& interval = intervals_[i];
    if (interval.option != option || interval.slots == 0) continue;
    if (!runs.empty() && runs.back().first + runs.back().count == interval.first_slot)
      runs.back().count += interval.slots;
    else
      runs.push_back({interval.first_slot, interval.slots});
  }
  return runs;
}

}  // namespace sparrow
