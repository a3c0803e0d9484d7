// How the rows of a directory get their slots, at first and when they change holders.
#include <algorithm>

#include "layout/directory.hpp"

namespace sparrow {

Directory::Directory(const Tables& tables, const Hierarchy& hierarchy, const ResolvedPlan& plan, int rank,
                     SlotRoom room, Mapping mapped)
    : tables_(tables), hierarchy_(hierarchy), rank_(rank), mapped_(mapped) {
  check(plan);
  SPARROW_CHECK(mapped_.map == nullptr
                    ? mapped_.guests == 0 && mapped_.rows == 0
                    : mapped_.map->ranks() == hierarchy.ranks() && mapped_.map->keys() == tables.total_rows());
  SlotRoom needed;
  for (const Interval& interval : make_intervals(plan))
    (interval.offloaded ? needed.offloaded : needed.device) += interval.slots;
  device_slots_ = std::max(needed.device + mapped_.rows, room.device) + mapped_.guests;
  slots_ = device_slots_ + std::max(needed.offloaded, room.offloaded);
  free_[0].add(0, first_guest());
  free_[1].add(device_slots_, slots_ - device_slots_);
  if (mapped_.map) slot_table_ = std::make_unique<SlotTable>(first_guest(), tables.total_rows());
  follow(plan);
}

void Directory::follow(const ResolvedPlan& plan) {
  check(plan);
  auto next = std::make_unique<const ResolvedPlan>(plan);
  assign(make_intervals(*next));
  plan_ = std::move(next);
}

void Directory::check(const ResolvedPlan& plan) const {
  SPARROW_CHECK(static_cast<int>(plan.tables.size()) == tables_.count(), "the plan has {} tables, the model {}",
                plan.tables.size(), tables_.count());
  for (const ResolvedOption& option : plan.options) {
    SPARROW_CHECK(option.level >= 0 && option.level <= hierarchy_.depth(), "copy level {} of {}", option.level,
                  hierarchy_.depth());
    SPARROW_CHECK(static_cast<int>(option.rings.size()) == hierarchy_.domains(option.level));
    SPARROW_CHECK(option.offloaded.empty() || option.offloaded.size() == option.rings.size(),
                  "stores of {} of {} domains", option.offloaded.size(), option.rings.size());
    for (size_t d = 0; d < option.rings.size(); ++d) {
      SPARROW_CHECK(!option.rings[d].empty(), "no rank of domain {} of level {} holds anything", d, option.level);
      for (const int holder_rank : option.rings[d])
        SPARROW_CHECK(holder_rank >= 0 && holder_rank < hierarchy_.ranks() &&
                          hierarchy_.domain(option.level, holder_rank) == static_cast<int>(d),
                      "rank {} is not in domain {} of level {}", holder_rank, d, option.level);
    }
  }
}

std::vector<Directory::Interval> Directory::make_intervals(const ResolvedPlan& plan) const {
  std::vector<Interval> intervals;
  for (int t = 0; t < tables_.count(); ++t) {
    const ResolvedTable& table = plan.tables[t];
    int64_t next = 0;
    for (const ResolvedInterval& from : table.intervals) {
      SPARROW_CHECK(from.first == next && from.first < from.last && from.last <= tables_.rows(t),
                    "bad interval of table {}: positions {} to {}", t, from.first, from.last);
      SPARROW_CHECK(from.option >= 0 && from.option < static_cast<int>(plan.options.size()), "table {} has option {}",
                    t, from.option);
      SPARROW_CHECK(from.rule >= 0 && from.rule < static_cast<int>(table.rules.size()), "table {} has rule {}", t,
                    from.rule);
      const ResolvedOption& option = plan.options[from.option];
      const TableRule& rule = table.rules[from.rule];
      SPARROW_CHECK(rule.holders.offset >= 0);
      const int domain = hierarchy_.domain(option.level, rank_);
      const Holders holders(rule.holders, option.rings[domain]);
      const bool mapped = mapped_.map != nullptr && is_mapped(option, rule);
      const Interval whole{0,
                           0,
                           t,
                           from.option,
                           option.level,
                           rule,
                           holders,
                           holders.number_of(rank_),
                           option.offloaded_in(domain),
                           mapped,
                           0,
                           -1,
                           0};
      intervals.push_back(part(whole, tables_.first_key(t) + from.first, tables_.first_key(t) + from.last));
      next = from.last;
    }
    SPARROW_CHECK(next == tables_.rows(t), "the plan of table {} ends at position {}", t, next);
  }
  return intervals;
}

/// The rows [first_key, end_key) of an interval, with their part of its slots.
Directory::Interval Directory::part(const Interval& whole, int64_t first_key, int64_t end_key) const {
  Interval piece = whole;
  const Holders& holders = whole.holders;
  const int64_t first = position(whole, first_key);
  piece.first_key = first_key;
  piece.end_key = end_key;
  piece.before = whole.me < 0 ? 0 : holders.rule.before(first, whole.me, holders.k());
  piece.slots = whole.mapped ? 0 : holders.count(first, position(whole, end_key), whole.me);
  if (whole.first_slot >= 0) piece.first_slot = whole.first_slot + piece.before - whole.before;
  return piece;
}

/// Gives all rows slots: those that they have, or free ones.
void Directory::assign(std::vector<Interval> intervals) {
  const std::vector<Interval> pieces = with_kept_slots(intervals);
  const std::vector<SlotRun> left = left_slots(pieces);
  const std::vector<int64_t> left_mapped = left_mapped_keys(pieces);
  check_room(pieces, left, static_cast<int64_t>(left_mapped.size()));
  for (const SlotRun& run : left) free_[run.first >= device_slots_ ? 1 : 0].add(run.first, run.count);
  dismiss(left_mapped);
  intervals.clear();
  for (const Interval& piece : pieces) {
    if (piece.first_slot >= 0 || piece.slots == 0)
      append(piece, intervals);
    else
      give_slots(piece, free_[piece.offloaded ? 1 : 0], intervals);
  }
  intervals_ = std::move(intervals);
  first_keys_.clear();
  by_slot_.clear();
  for (size_t i = 0; i < intervals_.size(); ++i) {
    first_keys_.push_back(intervals_[i].first_key);
    if (intervals_[i].slots > 0) by_slot_.push_back(i);
  }
  std::sort(by_slot_.begin(), by_slot_.end(),
            [&](size_t a, size_t b) { return intervals_[a].first_slot < intervals_[b].first_slot; });
}

/// The intervals, cut at those there are now; pieces whose rows stay at this rank have their slots.
std::vector<Directory::Interval> Directory::with_kept_slots(const std::vector<Interval>& intervals) const {
  std::vector<Interval> pieces;
  size_t before = 0;
  for (const Interval& interval : intervals) {
    int64_t from = interval.first_key;  // not yet in pieces
    while (before < intervals_.size() && intervals_[before].end_key <= interval.first_key) ++before;
    for (size_t i = before; i < intervals_.size() && intervals_[i].first_key < interval.end_key; ++i) {
      if (intervals_[i].offloaded != interval.offloaded || intervals_[i].mapped != interval.mapped ||
          intervals_[i].holders != interval.holders)
        continue;
      const int64_t first = std::max(interval.first_key, intervals_[i].first_key);
      const int64_t end = std::min(interval.end_key, intervals_[i].end_key);
      if (from < first) pieces.push_back(part(interval, from, first));
      Interval kept = part(interval, first, end);
      kept.first_slot = kept.slots > 0 ? part(intervals_[i], first, end).first_slot : -1;
      pieces.push_back(kept);
      from = end;
    }
    if (from < interval.end_key) pieces.push_back(part(interval, from, interval.end_key));
  }
  return pieces;
}

/// The slots that rows have now and no piece keeps.
std::vector<Directory::SlotRun> Directory::left_slots(const std::vector<Interval>& pieces) const {
  std::vector<SlotRun> kept, left;
  for (const Interval& piece : pieces)
    if (piece.first_slot >= 0 && piece.slots > 0) kept.push_back({piece.first_slot, piece.slots});
  std::sort(kept.begin(), kept.end(), [](const SlotRun& a, const SlotRun& b) { return a.first < b.first; });
  auto next = kept.begin();  // kept runs are parts of those there are
  for (const size_t i : by_slot_) {
    const int64_t end = intervals_[i].first_slot + intervals_[i].slots;
    int64_t from = intervals_[i].first_slot;
    for (; next != kept.end() && next->first < end; ++next) {
      if (from < next->first) left.push_back({from, next->first - from});
      from = next->first + next->count;
    }
    if (from < end) left.push_back({from, end - from});
  }
  return left;
}

/// Rows that are mapped now, have slots, and are in no mapped piece.
std::vector<int64_t> Directory::left_mapped_keys(const std::vector<Interval>& pieces) const {
  std::vector<int64_t> keys;
  if (!slot_table_ || slot_table_->size() == 0) return keys;
  auto before = intervals_.begin();
  for (const Interval& piece : pieces) {
    if (piece.mapped) continue;
    while (before != intervals_.end() && before->end_key <= piece.first_key) ++before;
    for (auto at = before; at != intervals_.end() && at->first_key < piece.end_key; ++at) {
      if (!at->mapped) continue;
      const int64_t end = std::min(at->end_key, piece.end_key);
      for (int64_t key = std::max(at->first_key, piece.first_key); key < end; ++key)
        if (slot_table_->find(key) >= 0) keys.push_back(key);
    }
  }
  return keys;
}

/// Throws Error if the pieces that have no slots yet find too few.
void Directory::check_room(const std::vector<Interval>& pieces, const std::vector<SlotRun>& left,
                           int64_t left_mapped) const {
  std::array<int64_t, 2> free = {free_[0].total() + left_mapped, free_[1].total()};
  for (const SlotRun& run : left) free[run.first >= device_slots_ ? 1 : 0] += run.count;
  for (const Interval& piece : pieces) {
    if (piece.first_slot >= 0 || piece.slots == 0) continue;
    int64_t& here = free[piece.offloaded ? 1 : 0];
    if (piece.slots > here)
      fail("rank {} has no room for {} more rows of table {} in its {}", rank_, piece.slots - here, piece.table,
           piece.offloaded ? "slower store" : "device memory");
    here -= piece.slots;
  }
}

/// Gives a piece free slots, cut where these end.
void Directory::give_slots(Interval piece, FreeSlots& free, std::vector<Interval>& result) const {
  while (true) {
    const int64_t after = result.empty() ? 0 : result.back().first_slot + result.back().slots;
    const FreeSlots::Run run = free.take(after, piece.slots);
    SPARROW_CHECK(run.count > 0);
    const bool whole = run.count == piece.slots;
    const int64_t end = whole ? piece.end_key : nth_key(piece, run.count);
    Interval placed = part(piece, piece.first_key, end);
    placed.first_slot = run.first;
    append(placed, result);
    if (whole) return;
    piece = part(piece, end, piece.end_key);
  }
}

/// Adds a piece, to the last one if it goes on with it.
void Directory::append(const Interval& piece, std::vector<Interval>& result) const {
  if (!result.empty()) {
    Interval& last = result.back();
    const bool same = last.end_key == piece.first_key && last.table == piece.table && last.option == piece.option &&
                      last.rule == piece.rule;
    const bool in_a_row = last.slots == 0 || piece.slots == 0 || last.first_slot + last.slots == piece.first_slot;
    if (same && in_a_row) {
      if (last.slots == 0) last.first_slot = piece.first_slot;
      last.slots += piece.slots;
      last.end_key = piece.end_key;
      return;
    }
  }
  result.push_back(piece);
}

}  // namespace sparrow
