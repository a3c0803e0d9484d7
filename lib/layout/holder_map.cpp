#include "layout/holder_map.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

#include "base/error.hpp"
#include "base/timer.hpp"

namespace sparrow {

namespace {

bool is_wide(int ranks) {
  return ranks > std::numeric_limits<uint8_t>::max();
}

}  // namespace

size_t HolderMap::bytes(int64_t keys, int ranks) {
  SPARROW_CHECK(keys >= 0 && ranks > 0 && ranks <= std::numeric_limits<uint16_t>::max(),
                "holders of {} rows on {} ranks", keys, ranks);
  return kHeader + static_cast<size_t>(keys) * (is_wide(ranks) ? 2 : 1);
}

HolderMap::HolderMap(std::shared_ptr<std::byte> memory, int64_t keys, std::vector<int64_t> room, bool leader,
                     int64_t remembered)
    : memory_(std::move(memory)),
      keys_(keys),
      room_(std::move(room)),
      held_(room_.size()),
      leader_(leader),
      wide_(is_wide(ranks())),
      remembered_(remembered) {
  SPARROW_CHECK(memory_ && keys_ >= 0 && !room_.empty() && remembered_ >= 0);
}

int64_t HolderMap::version() const {
  return shared_version().load(std::memory_order_acquire);
}

void HolderMap::wait_for(int64_t step, double timeout_seconds) const {
  constexpr int kYields = 100;
  const Timer timer;
  for (int tries = 0; version() <= step; ++tries) {
    if (tries < kYields) {
      std::this_thread::yield();
      continue;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (timer.seconds() > timeout_seconds)
      fail("the new holders of batch {} were not written within {} s: {} batches are", step, timeout_seconds,
           version());
  }
}

void HolderMap::set(int64_t key, int rank) {
  if (wide_)
    std::atomic_ref(wide()[key]).store(static_cast<uint16_t>(rank + 1), std::memory_order_release);
  else
    std::atomic_ref(narrow()[key]).store(static_cast<uint8_t>(rank + 1), std::memory_order_release);
}

void HolderMap::clear(int64_t key) {
  const int rank = holder(key);
  if (rank == kNobody) return;
  --held_[rank];
  set(key, kNobody);
}

/// To the rank, or the next that has room.
void HolderMap::give(const NewHolder& row) {
  int rank = row.rank;
  for (int tried = 0; held_[rank] >= room_[rank]; ++tried) {
    if (tried == ranks()) fail("no rank has room for row {}", row.key);
    rank = rank + 1 < ranks() ? rank + 1 : 0;
  }
  ++held_[rank];
  set(row.key, rank);
}

bool HolderMap::is_recent(int64_t key) const {
  return std::any_of(recent_.begin(), recent_.end(),
                     [&](const Recent& step) { return std::binary_search(step.keys.begin(), step.keys.end(), key); });
}

void HolderMap::settle(int64_t step, std::span<const NewHolder> rows) {
  SPARROW_CHECK(step == settled_, "holders of batch {} are settled before those of batch {}", step, settled_);
  if (leader_) shared_begun().store(step + 1, std::memory_order_relaxed);  // known to who reads a holder written below
  Recent now{step, {}};
  for (const NewHolder& row : rows) {
    SPARROW_CHECK(row.key >= 0 && row.key < keys_ && row.rank >= 0 && row.rank < ranks(), "rank {} is to hold row {}",
                  row.rank, row.key);
    // Elsewhere the leader may be ahead, and have written what is new here: whoever assigned the batch knew of every row
    // but those of the steps remembered.
    if (holder(row.key) != kNobody && (leader_ || is_recent(row.key))) continue;
    now.keys.push_back(row.key);
    if (leader_) give(row);
  }
  std::sort(now.keys.begin(), now.keys.end());
  now.keys.erase(std::unique(now.keys.begin(), now.keys.end()), now.keys.end());
  {
    const std::lock_guard lock(mutex_);
    recent_.push_back(std::move(now));
    ++settled_;
    while (!recent_.empty() && recent_.front().step < settled_ - remembered_) recent_.pop_front();
  }
  if (leader_) shared_version().store(settled_, std::memory_order_release);
}

std::deque<HolderMap::Recent> HolderMap::recent_now(double timeout_seconds) const {
  const int64_t all = begun();
  const Timer timer;
  for (;; std::this_thread::sleep_for(std::chrono::microseconds(50))) {
    {
      const std::lock_guard lock(mutex_);
      if (settled_ >= all) return recent_;
    }
    if (timer.seconds() > timeout_seconds)
      fail("the new holders of batch {} did not come within {} s", all - 1, timeout_seconds);
  }
}

void HolderMap::remember(std::deque<Recent> recent) {
  const std::lock_guard lock(mutex_);
  recent_ = std::move(recent);
}

std::vector<int64_t> HolderMap::roll_back(int64_t step) {
  SPARROW_CHECK(step >= settled_ || (!recent_.empty() && step >= recent_.front().step),
                "batch {} of {} is to be forgotten, but only the last {} are known", step, settled_, recent_.size());
  std::vector<int64_t> forgotten;
  const std::lock_guard lock(mutex_);
  for (; !recent_.empty() && recent_.back().step >= step; recent_.pop_back())
    forgotten.insert(forgotten.end(), recent_.back().keys.begin(), recent_.back().keys.end());
  std::sort(forgotten.begin(), forgotten.end());
  settled_ = step;
  if (!leader_) return forgotten;
  for (const int64_t key : forgotten) clear(key);
  shared_begun().store(step, std::memory_order_relaxed);
  shared_version().store(step, std::memory_order_release);
  return forgotten;
}

void HolderMap::place(std::span<const NewHolder> rows, bool within_room) {
  if (!leader_) return;
  for (const NewHolder& row : rows) {
    if (holder(row.key) != kNobody) continue;
    if (within_room) {
      give(row);
      continue;
    }
    ++held_[row.rank];
    set(row.key, row.rank);
  }
}

void HolderMap::forget(const KeyRange& rows) {
  if (!leader_) return;
  for (int64_t key = rows.first; key < rows.end; ++key)
    if (holder(key) != kNobody) set(key, kNobody);
}

void HolderMap::set_room(std::vector<int64_t> room, std::span<const KeyRange> counted) {
  SPARROW_CHECK(room.size() == room_.size());
  room_ = std::move(room);
  if (!leader_) return;
  std::fill(held_.begin(), held_.end(), 0);
  for (const KeyRange& range : counted)
    for (int64_t key = range.first; key < range.end; ++key)
      if (const int rank = holder(key); rank != kNobody) ++held_[rank];
}

}  // namespace sparrow
