#include "layout/plan_change.hpp"

#include <algorithm>
#include <numeric>

namespace sparrow {

PlanChange::PlanChange(const Tables& tables, const Hierarchy& hierarchy, const ResolvedPlan& from,
                       const ResolvedPlan& to, int slices, MappedBy mapped)
    : tables_(tables), hierarchy_(hierarchy), mapped_(mapped), from_{from}, to_{to}, options_(to.options) {
  SPARROW_CHECK(slices >= 1);
  SPARROW_CHECK(static_cast<int>(from.tables.size()) == tables.count() && from.tables.size() == to.tables.size());
  for (Plan* side : {&from_, &to_}) side->moving.assign(side->plan.options.size(), -1);
  for (int t = 0; t < tables.count(); ++t) {
    SPARROW_CHECK(from.tables[t].rules.size() == 1 && to.tables[t].rules.size() == 1,
                  "table {}: one of the plans is itself on the way to another", t);
    cut_table(t);
  }
  for (const Piece& piece : pieces_) {
    if (!piece.moves) continue;
    add_moving_option(from_, piece.from);
    add_moving_option(to_, piece.to);
  }
  order(slices);
}

/// Among the options of plan(), that of a side as moving rows have it.
void PlanChange::add_moving_option(Plan& plan, const Side& side) {
  int& moving = plan.moving[side.number];
  if (moving >= 0) return;
  ResolvedOption option = *side.option;
  option.reduction = Reduction::sparse;
  const auto found = std::find(options_.begin(), options_.end(), option);
  moving = static_cast<int>(found - options_.begin());
  if (found == options_.end()) options_.push_back(option);
}

PlanChange::Side PlanChange::side(const ResolvedPlan& plan, int table, const ResolvedInterval& interval) const {
  const ResolvedOption& option = plan.options.at(interval.option);
  const TableRule& rule = plan.tables[table].rules[0];
  return {interval.option, &option, rule.holders, mapped_.mapping && is_mapped(option, rule)};
}

/// The rank that has a row in a domain of the side's level.
int PlanChange::rank(const Side& side, int domain, const Piece& piece, int64_t position) const {
  const int known = side.mapped && mapped_.known ? mapped_.known->holder(tables_.first_key(piece.table) + position)
                                                 : HolderMap::kNobody;
  return known != HolderMap::kNobody ? known : side.holders(domain).rank(position);
}

/// How many of positions first .. end - 1 the rank has.
int64_t PlanChange::held(const Side& side, const Piece& piece, int64_t first, int64_t end, int of_rank) const {
  const int domain = hierarchy_.domain(side.option->level, of_rank);
  if (!side.mapped || !mapped_.known) {
    const Holders holders = side.holders(domain);
    return holders.count(first, end, holders.number_of(of_rank));
  }
  int64_t rows = 0;
  for (int64_t position = first; position < end; ++position) rows += rank(side, domain, piece, position) == of_rank;
  return rows;
}

void PlanChange::cut_table(int table) {
  const auto& before = from_.plan.tables[table].intervals;
  const auto& after = to_.plan.tables[table].intervals;
  SPARROW_CHECK(before.back().last == after.back().last, "table {} has {} rows, in the other plan {}", table,
                before.back().last, after.back().last);
  for (size_t f = 0, t = 0; f < before.size();) {
    Piece piece{table,
                std::max(before[f].first, after[t].first),
                std::min(before[f].last, after[t].last),
                side(from_.plan, table, before[f]),
                side(to_.plan, table, after[t]),
                {},
                false};
    for (int rank = 0; rank < hierarchy_.ranks(); ++rank) piece.stays.push_back(stays(piece.from, piece.to, rank));
    piece.moves = std::find(piece.stays.begin(), piece.stays.end(), 0) != piece.stays.end();
    if (piece.end == after[t].last) ++t;
    if (piece.end == before[f].last) ++f;
    pieces_.push_back(std::move(piece));
  }
}

bool PlanChange::stays(const Side& from, const Side& to, int rank) const {
  if (from.mapped || to.mapped) return from.mapped && to.mapped;
  const int f = hierarchy_.domain(from.option->level, rank), t = hierarchy_.domain(to.option->level, rank);
  return from.option->offloaded_in(f) == to.option->offloaded_in(t) && from.holders(f) == to.holders(t);
}

/// Pieces that need fewer copies first, among equal ones the hottest rows.
void PlanChange::order(int slices) {
  const auto device_copies = [](const Side& side) {
    int copies = 0;
    for (int d = 0; d < side.domains(); ++d) copies += side.option->offloaded_in(d) ? 0 : 1;
    return copies;
  };
  const auto turn = [&](size_t p) {
    return std::pair(device_copies(pieces_[p].to) - device_copies(pieces_[p].from), pieces_[p].first);
  };
  std::vector<size_t> by_turn;
  for (size_t p = 0; p < pieces_.size(); ++p)
    if (pieces_[p].moves) by_turn.push_back(p);
  std::stable_sort(by_turn.begin(), by_turn.end(), [&](size_t a, size_t b) { return turn(a) < turn(b); });
  for (int s = 0; s < slices; ++s)
    for (const size_t p : by_turn) {
      const int64_t rows = pieces_[p].end - pieces_[p].first;
      const int64_t first = pieces_[p].first + rows * s / slices, end = pieces_[p].first + rows * (s + 1) / slices;
      if (first == end) continue;
      slices_.push_back({p, first, end, positions_});
      positions_ += end - first;
    }
}

ResolvedPlan PlanChange::plan(int64_t done) const {
  SPARROW_CHECK(done >= 0 && done <= positions_, "{} of {} positions", done, positions_);
  std::vector<int64_t> frontier;  // of each piece
  for (const Piece& piece : pieces_) frontier.push_back(piece.moves ? piece.first : piece.end);
  for (const Slice& slice : slices_) {
    if (slice.begin >= done) break;
    frontier[slice.piece] = std::min(slice.end, slice.first + done - slice.begin);
  }
  ResolvedPlan plan{options_, {}, {}};
  for (const Plan* side : {&from_, &to_})
    for (const int option : side->moving)
      if (option >= 0) plan.coming.push_back(option);
  for (const ResolvedTable& table : to_.plan.tables) plan.tables.push_back({table.rules, {}});
  for (size_t p = 0; p < pieces_.size(); ++p) {
    const Piece& piece = pieces_[p];
    ResolvedTable& table = plan.tables[piece.table];
    if (piece.moves && table.rules.size() == 1) table.rules.push_back(from_.plan.tables[piece.table].rules[0]);
    const auto append = [&](int64_t first, int64_t last, int option, int rule) {
      if (first == last) return;
      if (!table.intervals.empty() && table.intervals.back().option == option && table.intervals.back().rule == rule)
        table.intervals.back().last = last;
      else
        table.intervals.push_back({{first, last, option}, rule});
    };
    append(piece.first, frontier[p], piece.moves ? to_.moving[piece.to.number] : piece.to.number, 0);
    append(frontier[p], piece.end, from_.moving[piece.from.number], 1);
  }
  return plan;
}

std::vector<PlanChange::Slice>::const_iterator PlanChange::slice_at(int64_t number) const {
  return std::partition_point(slices_.begin(), slices_.end(), [&](const Slice& s) { return s.behind() <= number; });
}

int64_t PlanChange::end_of_step(int64_t begin, int64_t copies) const {
  int64_t end = begin;
  for (auto slice = slice_at(begin); slice != slices_.end(); ++slice) {
    const int64_t copies_each = pieces_[slice->piece].to.domains(), rest = slice->behind() - end;
    if (rest * copies_each > copies) return std::max(begin + 1, end + copies / copies_each);
    copies -= rest * copies_each;
    end += rest;
  }
  return end;
}

void PlanChange::visit_position(const Piece& piece, int64_t position,
                                const std::function<void(const RowMove&)>& action) const {
  const int64_t key = tables_.first_key(piece.table) + position;
  for (int domain = 0; domain < piece.to.domains(); ++domain) {
    const int destination = rank(piece.to, domain, piece, position);
    if (piece.stays[destination]) continue;
    action({key, rank(piece.from, hierarchy_.domain(piece.from.option->level, destination), piece, position),
            destination});
  }
}

void PlanChange::visit(int64_t begin, int64_t end, const std::function<void(const RowMove&)>& move) const {
  for (auto slice = slice_at(begin); slice != slices_.end() && slice->begin < end; ++slice) {
    const int64_t first = slice->first + std::max<int64_t>(0, begin - slice->begin);
    const int64_t last = std::min(slice->end, slice->first + end - slice->begin);
    for (int64_t position = first; position < last; ++position) visit_position(pieces_[slice->piece], position, move);
  }
}

void PlanChange::add_held(const Side& side, const Piece& piece, int64_t first, int64_t end, int rank,
                          SlotRoom& rows) const {
  const bool offloaded = side.option->offloaded_in(hierarchy_.domain(side.option->level, rank));
  (offloaded ? rows.offloaded : rows.device) += held(side, piece, first, end, rank);
}

PlanChange::Staying PlanChange::staying(int rank) const {
  Staying rows;
  for (const Piece& piece : pieces_) {
    if (!piece.stays_mapped()) continue;
    rows.all += piece.end - piece.first;
    const int64_t shift = tables_.first_key(piece.table);
    for (int64_t position = piece.first; position < piece.end && mapped_.known; ++position)
      rows.held += mapped_.known->holder(shift + position) == rank;
  }
  return rows;
}

int64_t PlanChange::coming_to_map(int rank) const {
  int64_t rows = 0;
  for (const Piece& piece : pieces_)
    if (piece.to.mapped && !piece.from.mapped) rows += held(piece.to, piece, piece.first, piece.end, rank);
  return rows;
}

SlotRoom PlanChange::most_held(int rank) const {
  SlotRoom now;
  for (const Piece& piece : pieces_)
    if (!piece.stays_mapped()) add_held(piece.from, piece, piece.first, piece.end, rank, now);
  SlotRoom most = now;
  const auto holders = [&](const Side& side) { return side.holders(hierarchy_.domain(side.option->level, rank)).k(); };
  for (const Slice& slice : slices_) {
    const Piece& piece = pieces_[slice.piece];
    SlotRoom leave, come;
    add_held(piece.from, piece, slice.first, slice.end, rank, leave);
    add_held(piece.to, piece, slice.first, slice.end, rank, come);
    // Within a slice rows come and go in turn; the coming ones may be ahead by what is in one turn of the holders.
    // Of mapped rows there are no turns.
    const int64_t turn =
        piece.from.mapped || piece.to.mapped ? slice.end - slice.first : holders(piece.to) + holders(piece.from);
    for (int64_t SlotRoom::*store : {&SlotRoom::device, &SlotRoom::offloaded}) {
      const int64_t after = now.*store + come.*store - leave.*store;
      const int64_t most_here = std::max(now.*store, after) + std::min(come.*store, turn);
      most.*store = std::max(most.*store, std::min(most_here, tables_.total_rows()));
      now.*store = after;
    }
  }
  return most;
}

std::vector<int64_t> PlanChange::copies_between_ranks() const {
  const int64_t ranks = hierarchy_.ranks();
  std::vector<int64_t> copies(ranks * ranks);
  constexpr int64_t kLongestPeriod = 1 << 16;
  for (const Piece& piece : pieces_) {
    if (!piece.moves) continue;
    // Who sends to whom repeats with the turns of the holders. (Beyond the longest period, nearly so.)
    int64_t period = 1;
    for (const Side* side : {&piece.from, &piece.to})
      for (int d = 0; d < side->domains(); ++d)
        if (period <= kLongestPeriod) period = std::lcm(period, side->holders(d).k());
    const int64_t rows = piece.end - piece.first;
    period = std::min(period, rows);
    for (int64_t i = 0; i < period; ++i) {
      const int64_t times = (rows - i + period - 1) / period;
      visit_position(piece, piece.first + i,
                     [&](const RowMove& row) { copies[row.source * ranks + row.destination] += times; });
    }
  }
  return copies;
}

}  // namespace sparrow
