#include "layout/plan_change.hpp"

#include <algorithm>
#include <numeric>

namespace sparrow {

PlanChange::PlanChange(const Tables& tables, const Hierarchy& hierarchy, const CopyPlan& from, const CopyPlan& to,
                       int slices)
    : tables_(tables), hierarchy_(hierarchy), to_(to), options_(to.options) {
  SPARROW_CHECK(slices >= 1);
  SPARROW_CHECK(static_cast<int>(from.tables.size()) == tables.count() && from.tables.size() == to.tables.size());
  from_option_.assign(from.options.size(), -1);
  to_option_.assign(to.options.size(), -1);
  segments_.resize(tables.count());
  for (int t = 0; t < tables.count(); ++t) {
    SPARROW_CHECK(from.tables[t].rules() == 1 && to.tables[t].rules() == 1,
                  "table {}: one of the plans is itself on the way to another", t);
    from_rules_.push_back(from.tables[t].rule(0));
    cut_table(t, from, to);
  }
  const auto index = [&](const CopyPlan& plan, std::vector<int>& of, int option) {
    if (of[option] < 0) of[option] = moving_option(plan, option);
  };
  for (const Move& move : moves_) {
    index(from, from_option_, from_sides_[move.from].option);
    index(to, to_option_, to_sides_[move.to].option);
  }
  order(slices);
}

/// The number, among the options of plan(), of the option as moving rows have it.
int PlanChange::moving_option(const CopyPlan& plan, int option) {
  CopyOption moving = plan.options[option];
  moving.reduction = CopyReduction::sparse;
  const auto found = std::find(options_.begin(), options_.end(), moving);
  if (found == options_.end()) options_.push_back(moving);
  return static_cast<int>(std::find(options_.begin(), options_.end(), moving) - options_.begin());
}

int PlanChange::side(const CopyPlan& plan, int table, const CopyInterval& interval, std::vector<Side>& sides) const {
  const CopyRule rule = plan.tables[table].rule(interval.rule);
  for (size_t i = 0; i < sides.size(); ++i)
    if (sides[i].option == interval.option && sides[i].rule == rule) return static_cast<int>(i);
  const CopyOption& option = plan.options.at(interval.option);
  Side side{interval.option, option.level, rule, option.rings, {}};
  for (size_t d = 0; d < side.rings.size(); ++d) {
    auto& ring = side.rings[d];
    if (rule.holder_slot >= 0) ring = {ring[static_cast<size_t>(rule.holder_slot) % ring.size()]};
    side.offloaded.push_back(option.store(static_cast<int>(d)) == CopyStore::offloaded);
  }
  sides.push_back(std::move(side));
  return static_cast<int>(sides.size()) - 1;
}

void PlanChange::cut_table(int table, const CopyPlan& from, const CopyPlan& to) {
  const auto& before = from.tables[table].intervals;
  const auto& after = to.tables[table].intervals;
  const int64_t rows = tables_.rows(table);
  const auto end_of = [&](const std::vector<CopyInterval>& list, size_t i) {
    return i + 1 < list.size() ? list[i + 1].first : rows;
  };
  auto& segments = segments_[table];
  size_t f = 0, t = 0;
  for (int64_t first = 0; first < rows;) {
    const int64_t end = std::min(end_of(before, f), end_of(after, t));
    Segment segment{first, end, side(from, table, before[f], from_sides_), side(to, table, after[t], to_sides_), -1};
    std::vector<char> same = stays(from_sides_[segment.from], to_sides_[segment.to]);
    if (std::find(same.begin(), same.end(), 0) != same.end()) {
      segment.move = static_cast<int>(moves_.size());
      moves_.push_back({table, segments.size(), first, end, segment.from, segment.to, std::move(same)});
    }
    segments.push_back(segment);
    if (end == end_of(before, f)) ++f;
    if (end == end_of(after, t)) ++t;
    first = end;
  }
}

std::vector<char> PlanChange::stays(const Side& from, const Side& to) const {
  std::vector<char> same;
  for (int rank = 0; rank < hierarchy_.ranks(); ++rank) {
    const auto f = static_cast<size_t>(hierarchy_.domain(from.level, rank));
    const auto t = static_cast<size_t>(hierarchy_.domain(to.level, rank));
    const auto turn = static_cast<int64_t>(to.rings[t].size());
    same.push_back(from.rings[f] == to.rings[t] && from.offloaded[f] == to.offloaded[t] &&
                   (from.rule.offset - to.rule.offset) % turn == 0);
  }
  return same;
}

/// Pieces that need fewer copies first, among equal ones the hottest rows.
void PlanChange::order(int slices) {
  const auto growth = [&](const Move& move) {
    const auto device_copies = [](const Side& side) {
      return std::count(side.offloaded.begin(), side.offloaded.end(), 0);
    };
    return device_copies(to_sides_[move.to]) - device_copies(from_sides_[move.from]);
  };
  std::vector<size_t> by_turn(moves_.size());
  std::iota(by_turn.begin(), by_turn.end(), size_t{0});
  std::stable_sort(by_turn.begin(), by_turn.end(), [&](size_t a, size_t b) {
    const auto growth_a = growth(moves_[a]), growth_b = growth(moves_[b]);
    return growth_a != growth_b ? growth_a < growth_b : moves_[a].first < moves_[b].first;
  });
  for (int s = 0; s < slices; ++s)
    for (const size_t m : by_turn) {
      const int64_t rows = moves_[m].end - moves_[m].first;
      const int64_t first = moves_[m].first + rows * s / slices, end = moves_[m].first + rows * (s + 1) / slices;
      if (first == end) continue;
      slices_.push_back({m, first, end, positions_});
      positions_ += end - first;
    }
}

CopyPlan PlanChange::plan(int64_t done) const {
  SPARROW_CHECK(done >= 0 && done <= positions_, "{} of {} positions", done, positions_);
  std::vector<int64_t> frontier;  // of each move
  for (const Move& move : moves_) frontier.push_back(move.first);
  for (const Slice& slice : slices_) {
    if (slice.begin >= done) break;
    frontier[slice.move] = std::min(slice.end, slice.first + done - slice.begin);
  }
  CopyPlan plan;
  plan.options = options_;
  for (const auto* list : {&from_option_, &to_option_})
    for (const int option : *list)
      if (option >= 0) plan.coming.push_back(option);
  for (size_t t = 0; t < segments_.size(); ++t) {
    const CopyRule rule = to_.tables[t].rule(0);
    CopyTable table{rule.transport, rule.offset, rule.holder_slot, {}, {}};
    const auto moves = [](const Segment& segment) { return segment.move >= 0; };
    if (std::any_of(segments_[t].begin(), segments_[t].end(), moves)) table.more_rules.push_back(from_rules_[t]);
    const auto append = [&](const CopyInterval& interval) {
      if (table.intervals.empty() || table.intervals.back().option != interval.option ||
          table.intervals.back().rule != interval.rule)
        table.intervals.push_back(interval);
    };
    for (const Segment& segment : segments_[t]) {
      const int to_option = to_sides_[segment.to].option;
      if (segment.move < 0) {
        append({segment.first, to_option, 0});
        continue;
      }
      const int64_t moved = frontier[segment.move];
      if (moved > segment.first) append({segment.first, to_option_[to_option], 0});
      if (moved < segment.end) {
        const int from_option = from_sides_[segment.from].option;
        append({moved, from_option_[from_option], 1});
      }
    }
    plan.tables.push_back(std::move(table));
  }
  return plan;
}

int64_t PlanChange::end_of_step(int64_t begin, int64_t copies) const {
  auto slice = std::partition_point(slices_.begin(), slices_.end(),
                                    [&](const Slice& s) { return s.begin + s.end - s.first <= begin; });
  int64_t end = begin;
  for (; slice != slices_.end(); ++slice) {
    const auto& rings = to_sides_[moves_[slice->move].to].rings;
    const auto copies_each = static_cast<int64_t>(rings.size());
    const int64_t rest = slice->begin + slice->end - slice->first - end;
    if (rest * copies_each > copies) return std::max(begin + 1, end + copies / copies_each);
    copies -= rest * copies_each;
    end += rest;
  }
  return end;
}

void PlanChange::visit_position(const Move& move, int64_t position,
                                const std::function<void(const CopyMove&)>& action) const {
  const Side& from = from_sides_[move.from];
  const Side& to = to_sides_[move.to];
  const int64_t key = tables_.first_key(move.table) + position;
  for (int domain = 0; domain < static_cast<int>(to.rings.size()); ++domain) {
    const int destination = to.holder(domain, position);
    if (move.stays[destination]) continue;
    action({key, from.holder(hierarchy_.domain(from.level, destination), position), destination});
  }
}

void PlanChange::visit(int64_t begin, int64_t end, const std::function<void(const CopyMove&)>& move) const {
  auto slice = std::partition_point(slices_.begin(), slices_.end(),
                                    [&](const Slice& s) { return s.begin + s.end - s.first <= begin; });
  for (; slice != slices_.end() && slice->begin < end; ++slice) {
    const int64_t first = slice->first + std::max<int64_t>(0, begin - slice->begin);
    const int64_t last = std::min(slice->end, slice->first + end - slice->begin);
    for (int64_t position = first; position < last; ++position) visit_position(moves_[slice->move], position, move);
  }
}

SlotRoom PlanChange::held(const Side& side, int64_t first, int64_t end, int rank) const {
  const auto domain = static_cast<size_t>(hierarchy_.domain(side.level, rank));
  const auto& ring = side.rings[domain];
  const auto turn = static_cast<int64_t>(ring.size()), mine = std::count(ring.begin(), ring.end(), rank);
  const auto before = [&](int64_t place) {
    return place / turn * mine + std::count(ring.begin(), ring.begin() + place % turn, rank);
  };
  const int64_t rows = mine == 0 ? 0 : before(end + side.rule.offset) - before(first + side.rule.offset);
  return side.offloaded[domain] ? SlotRoom{0, rows} : SlotRoom{rows, 0};
}

SlotRoom PlanChange::most_held(int rank) const {
  SlotRoom now;
  for (size_t t = 0; t < segments_.size(); ++t)
    for (const Segment& segment : segments_[t]) {
      const SlotRoom rows = held(from_sides_[segment.from], segment.first, segment.end, rank);
      now.device += rows.device;
      now.offloaded += rows.offloaded;
    }
  SlotRoom most = now;
  for (const Slice& slice : slices_) {
    const Move& move = moves_[slice.move];
    const Side& from = from_sides_[move.from];
    const Side& to = to_sides_[move.to];
    const SlotRoom less = held(from, slice.first, slice.end, rank), more = held(to, slice.first, slice.end, rank);
    // Within a slice rows come and go in turn; the coming ones may be ahead by what is in one turn of the rings.
    const auto turn = static_cast<int64_t>(to.rings[hierarchy_.domain(to.level, rank)].size() +
                                           from.rings[hierarchy_.domain(from.level, rank)].size());
    const auto note = [&](int64_t& held_now, int64_t& held_most, int64_t leave, int64_t come) {
      const int64_t after = held_now + come - leave;
      const int64_t most_here = std::max(held_now, after) + std::min(come, turn);
      held_most = std::max(held_most, std::min(most_here, tables_.total_rows()));
      held_now = after;
    };
    note(now.device, most.device, less.device, more.device);
    note(now.offloaded, most.offloaded, less.offloaded, more.offloaded);
  }
  return most;
}

std::vector<int64_t> PlanChange::copies_between_ranks() const {
  const auto ranks = static_cast<size_t>(hierarchy_.ranks());
  std::vector<int64_t> copies(ranks * ranks);
  constexpr int64_t kLongestPeriod = 1 << 16;
  for (const Move& move : moves_) {
    // Who sends to whom repeats with the turns of the rings. (Beyond the longest period, nearly so.)
    int64_t period = 1;
    for (const auto* sides : {&from_sides_[move.from], &to_sides_[move.to]})
      for (const auto& ring : sides->rings)
        if (period <= kLongestPeriod) period = std::lcm(period, static_cast<int64_t>(ring.size()));
    const int64_t rows = move.end - move.first;
    period = std::min(period, rows);
    for (int64_t i = 0; i < period; ++i) {
      const int64_t times = (rows - i + period - 1) / period;
      visit_position(move, move.first + i, [&](const CopyMove& copy) {
        copies[static_cast<size_t>(copy.source) * ranks + static_cast<size_t>(copy.destination)] += times;
      });
    }
  }
  return copies;
}

}  // namespace sparrow
