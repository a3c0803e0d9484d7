#include "assign/assigner_division.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/error.hpp"

namespace sparrow {

namespace {
constexpr int kMarginShift = 20;  // of a float's bits: the exponent and 3 bits of the fraction stay
constexpr int kHotUses = 4;       // by child, of a row that is not counted where all children look it up
constexpr int kMargins = 1 << (31 - kMarginShift);
}  // namespace

int16_t Division::home_of(const DivisionTask& task, int32_t row) const {
  const int holder = task.batch.holder[row];
  const int64_t turn = task.batch.turn.empty() ? 0 : task.batch.turn[row];
  if (holder < 0 && task.future[row] == task.node) return kNobody;
  // Of a row that another node will hold, any rank there says the same.
  const int at = holder >= 0 ? holder : task.nodes.ranks(task.level, task.future[row]).front();
  const int home = task.nodes.home(task.level, task.node, at, turn);
  return home < 0 ? kAway : static_cast<int16_t>(home);
}

void Division::count_uses(const DivisionTask& task) {
  const auto n = static_cast<int32_t>(task.size());
  constexpr int32_t kSweeps = 8;  // over the samples, that mark
  rows_.resize(std::max(rows_.size(), task.batch.keys.size()), {0, -1, kNew, 0});
  touched_.resize(rows_.size());
  if (mark_ > std::numeric_limits<int32_t>::max() - kSweeps * int64_t{n}) {
    for (Row& row : rows_) row.last = -1;
    mark_ = 0;
  }
  repeats_ = false;
  for (int32_t i = 0; i < n; ++i)
    for (const int32_t d : task.rows(i)) {
      Row& row = rows_[d];
      if (row.last < mark_) {
        row = {0, -1, kNew, home_of(task, d)};
        touched_[d] = 0;
      } else if (row.last == mark_ + i) {
        repeats_ = true;
        continue;
      }
      ++row.uses;
      row.last = mark_ + i;
    }
  mark_ += n;
}

/// visit(i, d, row) for the rows of every sample, each once.
template <class Visit, class Finish>
void Division::each_row_once(const DivisionTask& task, Visit visit, Finish finish) {
  const auto n = static_cast<int32_t>(task.size());
  for (int32_t i = 0; i < n; ++i) {
    for (const int32_t d : task.rows(i)) {
      Row& row = rows_[d];
      if (repeats_) {
        if (row.last == mark_ + i) continue;
        row.last = mark_ + i;
      }
      visit(i, d, row);
    }
    finish();
  }
  mark_ += n;
}

void Division::score(const DivisionTask& task) {
  const int n = task.children();
  score_.assign(task.size() * n, 0);
  margin_.resize(task.size());
  const auto visit = [&](int32_t i, int32_t d, const Row& row) {
    if (row.home >= 0) score_[static_cast<size_t>(i) * n + row.home] += task.weight(d) / static_cast<float>(row.uses);
  };
  each_row_once(task, visit, [] {});
  for (int64_t i = 0; i < task.size(); ++i) {
    float best = 0, next = 0;
    for (const float score : std::span(&score_[i * n], n)) {
      next = std::max(next, std::min(best, score));
      best = std::max(best, score);
    }
    margin_[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(best - next) >> kMarginShift);
  }
}

/// Samples with the largest margin first go to their best child with room.
void Division::start(const DivisionTask& task, std::span<int16_t> child) {
  const int n = task.children();
  buckets_.assign(kMargins + 1, 0);
  for (const uint16_t margin : margin_) ++buckets_[kMargins - 1 - margin + 1];
  for (int b = 0; b < kMargins; ++b) buckets_[b + 1] += buckets_[b];
  order_.resize(task.size());
  for (int64_t i = 0; i < task.size(); ++i) order_[buckets_[kMargins - 1 - margin_[i]]++] = static_cast<int32_t>(i);
  room_.assign(task.quota.begin(), task.quota.end());
  for (const int32_t i : order_) {
    const float* score = &score_[static_cast<size_t>(i) * n];
    int best = room_[task.as_read[i]] > 0 ? task.as_read[i] : -1;
    for (int c = 0; c < n; ++c)
      if (room_[c] > 0 && (best < 0 || score[c] > score[best] ||
                           (score[c] == score[best] && best != task.as_read[i] && room_[c] > room_[best])))
        best = c;
    child[i] = static_cast<int16_t>(best);
    --room_[best];
  }
}

/// Which children look up which rows; returns the weight of those that come from elsewhere.
double Division::touch(const DivisionTask& task, std::span<const int16_t> child) {
  for (int64_t i = 0; i < task.size(); ++i)
    for (const int32_t d : task.rows(i)) touched_[d] = 0;
  double cost = 0;
  for (int64_t i = 0; i < task.size(); ++i) {
    const uint64_t here = uint64_t{1} << child[i];
    for (const int32_t d : task.rows(i)) {
      if ((touched_[d] & here) != 0) continue;
      const int16_t home = rows_[d].home;
      if (home != child[i] && (home != kNobody || touched_[d] != 0)) cost += task.weight(d);
      touched_[d] |= here;
    }
  }
  return cost;
}

/// Enters the samples into the refinement; returns the weight of rows that come from elsewhere to every child.
double Division::list_rows(const DivisionTask& task, std::span<int16_t> child) {
  uint64_t open = 0;
  for (int c = 0; c < task.children(); ++c) open |= uint64_t{task.quota[c] > 0} << c;
  const int32_t hot = kHotUses * task.children();
  refinement_.begin(task.size(), task.quota, child);
  double everywhere = 0;
  float gain[AssignerNodes::kMostChildren] = {};
  uint64_t gaining = 0;
  const auto visit = [&](int32_t, int32_t d, Row& row) {
    if (row.uses == 1) {
      if (row.home < 0) {
        if (row.home == kAway) everywhere += task.weight(d);
        return;
      }
      gaining |= uint64_t{1} << row.home;
      gain[row.home] += task.weight(d);
      return;
    }
    if (row.row == kNew) {
      const bool full = (touched_[d] & open) == open && row.uses > hot;
      row.row = full || row.uses > Refinement::kMostLookups
                    ? kEverywhere
                    : refinement_.add_row(task.weight(d), row.home, row.home == kNobody);
      if (row.row == kEverywhere)
        everywhere += task.weight(d) * static_cast<float>(std::popcount(open) - (row.home != kAway));
    }
    if (row.row != kEverywhere) lookups_.push_back(row.row);
  };
  const auto finish = [&] {
    for (; gaining != 0; gaining &= gaining - 1) {
      const int c = std::countr_zero(gaining);
      refinement_.add_gain(c, gain[c]);
      gain[c] = 0;
    }
    refinement_.end_gains();
    for (const int32_t row : lookups_) refinement_.add_lookup(row);
    refinement_.end_sample();
    lookups_.clear();
  };
  each_row_once(task, visit, finish);
  return everywhere;
}

void Division::run(const DivisionTask& task, std::span<int16_t> child) {
  if (task.size() == 0) return;
  count_uses(task);
  score(task);
  start(task, child);
  const double read = touch(task, task.as_read);
  touch(task, child);
  const double everywhere = list_rows(task, child);
  refinement_.run(options_.passes);
  if (everywhere + refinement_.cost() >= read) std::copy(task.as_read.begin(), task.as_read.end(), child.begin());
}

}  // namespace sparrow
