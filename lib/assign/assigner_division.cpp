#include "assign/assigner_division.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/error.hpp"

namespace sparrow {

namespace {
constexpr int32_t kFree = -1, kOnce = -2;  // kinds: nothing to gain; once, with a home
constexpr int kHotUses = 4;                // by child, of a row that is not counted where all children look it up
constexpr int kMarginShift = 20;           // of a float's bits: the exponent and 3 bits of the fraction stay
constexpr int kMargins = 1 << (31 - kMarginShift);
constexpr int64_t kPart = 512;  // fewest samples that are worth a thread
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

void Division::begin(const DivisionTask& task) {
  const size_t rows = std::max(uses_.size(), task.batch.keys.size());
  uses_.resize(rows, {-1, 0});
  home_.resize(rows);
  share_.resize(rows);
  touched_.resize(rows);
  kind_.resize(rows);
  mine_.clear();
  if (mark_ > std::numeric_limits<int32_t>::max() - 2 * task.size()) {
    for (Uses& uses : uses_) uses.last = -1;
    mark_ = 0;
  }
}

/// Returns the weight of rows that come from elsewhere if samples are dealt in order.
double Division::count_uses(const DivisionTask& task) {
  const auto n = static_cast<int32_t>(task.size());
  repeats_ = false;
  int64_t moves = 0;
  double weight = 0;
  int32_t begin = mark_;  // mark of the first sample of this child
  bool in_turn = true;
  for (int32_t i = 0; i < n; ++i) {
    const int16_t child = task.as_read[i];
    if (i > 0 && child != task.as_read[i - 1]) {
      begin = mark_ + i;
      in_turn &= child > task.as_read[i - 1];
    }
    for (const int32_t d : task.rows(i)) {
      Uses& uses = uses_[d];
      const bool first = uses.last < mark_;
      if (first) {
        uses = {-1, 0};
        home_[d] = home_of(task, d);
        mine_.push_back(d);
      } else if (uses.last == mark_ + i) {
        repeats_ = true;
        continue;
      }
      const bool moved = (uses.last < begin) & (home_[d] != child) & !(first & (home_[d] == kNobody));
      moves += moved;
      if (!task.batch.weight.empty()) weight += moved ? task.batch.weight[d] : 0;
      uses = {mark_ + i, uses.count + 1};
    }
  }
  mark_ += n;
  if (!in_turn) return cost_as_read(task);
  return task.batch.weight.empty() ? static_cast<double>(moves) : weight;
}

/// The same where ranks of several children take turns.
double Division::cost_as_read(const DivisionTask& task) {
  double weight = 0;
  for (const int32_t d : mine_) touched_[d] = 0;
  for (int64_t i = 0; i < task.size(); ++i) {
    const int16_t child = task.as_read[i];
    for (const int32_t d : task.rows(i)) {
      const bool first = touched_[d] == 0, again = (touched_[d] >> child & 1) != 0;
      if (!again && home_[d] != child && !(first && home_[d] == kNobody)) weight += task.weight(d);
      touched_[d] |= uint64_t{1} << child;
    }
  }
  return weight;
}

void Division::leave_repeats_out(const DivisionTask& task) {
  once_.clear();
  once_first_.assign(1, 0);
  for (int64_t i = 0; i < task.size(); ++i, ++mark_) {
    for (const int32_t d : task.rows(i)) {
      if (uses_[d].last == mark_) continue;
      uses_[d].last = mark_;
      once_.push_back(d);
    }
    once_first_.push_back(std::ssize(once_));
  }
}

/// What a sample has at each child, a row that several samples share counting less, and the margin of the best child.
void Division::score(const DivisionTask& task) {
  const int n = task.children();
  for (const int32_t d : mine_) {
    const bool at_home = home_[d] >= 0;
    share_[d] = {at_home ? task.weight(d) / static_cast<float>(uses_[d].count) : 0, at_home ? home_[d] : 0};
  }
  score_.resize(task.size() * n);
  margin_.resize(task.size());
  threads_.split(task.size(), kPart, [&](int64_t begin, int64_t end) {
    float scores[AssignerNodes::kMostChildren], others[AssignerNodes::kMostChildren];
    for (int64_t i = begin; i < end; ++i) {
      std::fill(scores, scores + n, 0.0f);
      std::fill(others, others + n, 0.0f);
      const std::span<const int32_t> rows = this->rows(task, i);
      size_t r = 0;
      for (; r + 1 < rows.size(); r += 2) {  // two sums, so that one need not wait for the other
        const Share one = share_[rows[r]], other = share_[rows[r + 1]];
        scores[one.home] += one.weight;
        others[other.home] += other.weight;
      }
      if (r < rows.size()) scores[share_[rows[r]].home] += share_[rows[r]].weight;
      for (int c = 0; c < n; ++c) scores[c] += others[c];
      float best = 0, next = 0;
      for (int c = 0; c < n; ++c) {
        next = std::max(next, std::min(best, scores[c]));
        best = std::max(best, scores[c]);
      }
      margin_[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(best - next) >> kMarginShift);
      std::copy(scores, scores + n, &score_[i * n]);
    }
  });
}

/// Samples with the largest margin first go to their best child with room; of equal ones, as read, else to the
/// emptiest.
void Division::start(const DivisionTask& task, std::span<int16_t> child) {
  const int n = task.children();
  buckets_.assign(kMargins + 1, 0);
  for (const uint16_t margin : margin_) ++buckets_[kMargins - margin];
  for (int b = 0; b < kMargins; ++b) buckets_[b + 1] += buckets_[b];
  order_.resize(task.size());
  for (int64_t i = 0; i < task.size(); ++i) order_[buckets_[kMargins - 1 - margin_[i]]++] = static_cast<int32_t>(i);
  room_.assign(task.quota.begin(), task.quota.end());
  for (const int32_t i : order_) {
    const float* score = &score_[static_cast<size_t>(i) * n];
    const int read = task.as_read[i];
    int best = room_[read] > 0 ? read : -1;
    for (int c = 0; c < n; ++c) {
      if (room_[c] == 0) continue;
      if (best < 0 || score[c] > score[best] || (score[c] == score[best] && best != read && room_[c] > room_[best]))
        best = c;
    }
    child[i] = static_cast<int16_t>(best);
    --room_[best];
  }
}

/// Enters the rows between into the refinement; returns the weight of the others that come from elsewhere whatever is
/// done, or at most.
double Division::choose_kinds(const DivisionTask& task, std::span<const int16_t> child) {
  uint64_t open = 0;
  for (int c = 0; c < task.children(); ++c) open |= uint64_t{task.quota[c] > 0} << c;
  for (const int32_t d : mine_) touched_[d] = 0;
  for (int64_t i = 0; i < task.size(); ++i) {
    const uint64_t here = uint64_t{1} << child[i];
    for (const int32_t d : task.rows(i)) touched_[d] |= here;
  }
  double fixed = 0;
  const int32_t hot = kHotUses * task.children();
  for (const int32_t d : mine_) {
    const int32_t uses = uses_[d].count;
    const int16_t home = home_[d];
    if (uses == 1) {
      kind_[d] = home >= 0 ? kOnce - home : kFree;
      if (home == kAway) fixed += task.weight(d);
    } else if ((touched_[d] == open && uses > hot) || uses > Refinement::kMostLookups) {
      kind_[d] = kFree;
      const bool free = home == kNobody || (home >= 0 && (open >> home & 1) != 0);  // for one of the children
      fixed += task.weight(d) * static_cast<float>(std::popcount(open) - free);
    } else {
      kind_[d] = refinement_.add_row(task.weight(d), home, home == kNobody);
    }
  }
  return fixed;
}

/// Enters what samples gain at homes of rows that they alone look up, and their rows between.
void Division::list_rows(const DivisionTask& task, int64_t begin, int64_t end) {
  float gain[AssignerNodes::kMostChildren] = {};
  for (int64_t i = begin; i < end; ++i) {
    Refinement::Entry entry = refinement_.entry(i);
    uint64_t gaining = 0;
    const std::span<const int32_t> rows = this->rows(task, i);
    for (const int32_t d : rows) {
      if (kind_[d] > kOnce) continue;
      const int home = kOnce - kind_[d];
      gaining |= uint64_t{1} << home;
      gain[home] += task.weight(d);
    }
    for (; gaining != 0; gaining &= gaining - 1) {
      const int c = std::countr_zero(gaining);
      entry.add_gain(c, gain[c]);
      gain[c] = 0;
    }
    entry.end_gains();
    for (const int32_t d : rows) entry.add_lookup_if(kind_[d] >= 0, kind_[d]);
    refinement_.enter(i, entry);
  }
}

void Division::run(const DivisionTask& task, std::span<int16_t> child) {
  if (task.size() == 0) return;
  begin(task);
  const double read = count_uses(task);
  if (repeats_) leave_repeats_out(task);
  score(task);
  start(task, child);
  refinement_.begin(task.quota, child);
  const double fixed = choose_kinds(task, child);
  for (int64_t i = 0; i < task.size(); ++i) refinement_.make_room(std::ssize(rows(task, i)));
  refinement_.make_list();
  threads_.split(task.size(), kPart, [&](int64_t begin, int64_t end) { list_rows(task, begin, end); });
  refinement_.run(passes_);
  // Also an upper bound that is as high is not worth a departure: equal means nothing to gain here.
  if (fixed + refinement_.cost() >= read) std::copy(task.as_read.begin(), task.as_read.end(), child.begin());
}

}  // namespace sparrow
