#include "exchange/row_halves.hpp"

#include <algorithm>

namespace sparrow {

namespace {

constexpr RowHalf kHalves[] = {RowHalf::clean, RowHalf::dirty};

int64_t bytes_of_bits(int64_t n) {
  return (n + 7) / 8;
}

}  // namespace

RowDivider::RowDivider(Backend& host, const Directory& directory, const StageComms& comms)
    : directory_(directory),
      comms_(comms),
      send_(host, Memory::host),
      recv_(host, Memory::host),
      request_in_half_(host, Memory::host) {}

void RowDivider::divide(Stream& stream, Route& batch, Route& next) {
  const Side sides[] = {{batch, batch.with_next}, {next, next.with_previous}};
  for (const Side& side : sides) {
    side.split.known = true;
    for (size_t level = 0; level < side.route.lists.size(); ++level)
      side.split.dirty[level].reserve(side.route.lists[level].count);
  }
  find_dirty(sides[0], sides[1]);
  for (int stage = 0; stage < comms_.count(); ++stage) tell(stage, sides);
  for (size_t level = 0; level < batch.lists.size(); ++level)
    divide_list(stream, batch.lists[level], batch.with_next.dirty[level].data(), level + 1 < batch.lists.size(),
                batch.halves[level]);
  for (int stage = 0; stage < comms_.count(); ++stage) choose_sent(stream, stage, next);
}

/// At level 0, where all rows are here.
void RowDivider::find_dirty(const Side& a, const Side& b) {
  marks_.resize(static_cast<size_t>(directory_.slots() + 63) / 64, 0);
  const auto slots = [](const Side& side) {
    return std::span(side.route.held_slots.data(), side.route.lists[0].count);
  };
  const auto compare = [&](const Side& other, const Side& side) {
    for (const int64_t slot : slots(other)) marks_[slot / 64] |= uint64_t{1} << (slot % 64);
    uint8_t* dirty = side.split.dirty[0].data();
    for (const int64_t slot : slots(side)) *dirty++ = marks_[slot / 64] >> (slot % 64) & 1;
    for (const int64_t slot : slots(other)) marks_[slot / 64] = 0;
  };
  compare(a, b);
  compare(b, a);
}

/// Answers the requests of a stage with a bit each, those of the earlier batch before those of the later one, each
/// peer's in whole bytes; takes the answers into the lists one level below; and counts the rows of both halves.
void RowDivider::tell(int stage, std::span<const Side> sides) {
  Comm& comm = comms_.host(stage);
  const auto peers = static_cast<size_t>(comm.size());
  for (ItemsByRank* bytes : {&sent_, &received_}) bytes->count.assign(peers, 0), bytes->offset.resize(peers);
  for (const Side& side : sides)
    for (size_t p = 0; p < peers; ++p) {
      sent_.count[p] += bytes_of_bits(side.route.stages[stage].requested.count[p]);
      received_.count[p] += bytes_of_bits(side.route.stages[stage].asked.count[p]);
    }
  sent_.sum_up();
  received_.sum_up();
  uint8_t* to = send_.reserve(sent_.total);
  std::fill_n(to, sent_.total, uint8_t{0});
  for (size_t p = 0; p < peers; ++p)
    for (const Side& side : sides) {
      const ItemsByRank& requested = side.route.stages[stage].requested;
      const uint8_t* dirty = side.split.dirty[stage].data();
      const int32_t* rows = side.route.lists[stage].row_of_request.data() + requested.offset[p];
      int64_t dirty_rows = 0;
      for (int64_t i = 0; i < requested.count[p]; ++i) {
        to[i / 8] = static_cast<uint8_t>(to[i / 8] | dirty[rows[i]] << (i % 8));
        dirty_rows += dirty[rows[i]];
      }
      to += bytes_of_bits(requested.count[p]);
      count(side, stage, p, &StageCounts::requested, dirty_rows);
    }
  const uint8_t* from = recv_.reserve(received_.total);
  exchange_.run(nullptr, comm, Phase::ids, send_.data(), sent_, recv_.data(), received_, 1);
  for (size_t p = 0; p < peers; ++p)
    for (const Side& side : sides) {
      const ItemsByRank& asked = side.route.stages[stage].asked;
      const int64_t here = side.route.lists[static_cast<size_t>(stage) + 1].here;
      uint8_t* dirty = side.split.dirty[static_cast<size_t>(stage) + 1].data();
      if (p == 0) std::fill_n(dirty, here, uint8_t{1});  // rows with several copies
      dirty += here + asked.offset[p];
      for (int64_t i = 0; i < asked.count[p]; ++i) dirty[i] = from[i / 8] >> (i % 8) & 1;
      from += bytes_of_bits(asked.count[p]);
      count(side, stage, p, &StageCounts::asked, std::count(dirty, dirty + asked.count[p], 1));
    }
}

/// Notes that of the rows asked of a peer, or requested by it, so many are dirty. To be called by ascending peer.
void RowDivider::count(const Side& side, int stage, size_t peer, ItemsByRank StageCounts::*which, int64_t dirty_rows) {
  const int64_t all = (side.route.stages[stage].*which).count[peer];
  for (const RowHalf half : kHalves) {
    ItemsByRank& rows = side.split.stages[stage][index_of(half)].*which;
    rows.count[peer] = half == RowHalf::dirty ? dirty_rows : all - dirty_rows;
    if (peer + 1 == rows.count.size()) rows.sum_up();
  }
}

/// Divides a list. of_requests: its rows stand for requests, which are divided like the rows; false: for bags.
void RowDivider::divide_list(Stream& stream, const RowList& list, const uint8_t* dirty, bool of_requests,
                             std::array<ListHalf, 2>& halves) {
  const int32_t* row_of_request = list.row_of_request.data();
  int32_t* request_in_half = request_in_half_.reserve(list.requests);
  int32_t requests[2] = {0, 0};
  if (of_requests)
    for (int64_t i = 0; i < list.requests; ++i) request_in_half[i] = requests[dirty[row_of_request[i]]]++;

  int32_t *offsets[2], *items[2], filled[2] = {0, 0};
  int64_t* slots[2];
  for (size_t h = 0; h < 2; ++h) {
    ListHalf& half = halves[h];
    half.count = half.here = half.device = 0;
    offsets[h] = half.own_offsets.reserve(list.count + 1);
    items[h] = half.own_items.reserve(list.requests);
    slots[h] = half.own_slots.reserve(list.here);
  }
  const int32_t* list_offsets = list.group_offsets.data();
  const int32_t* list_items = list.group_items.data();
  for (int64_t row = 0; row < list.count; ++row) {
    const size_t h = dirty[row];
    ListHalf& half = halves[h];
    offsets[h][half.count++] = filled[h];
    for (int32_t i = list_offsets[row]; i < list_offsets[row + 1]; ++i)
      items[h][filled[h]++] = of_requests ? request_in_half[list_items[i]] : list_items[i];
    if (row >= list.here) continue;
    slots[h][half.here++] = list.slots.data()[row];
    if (row < list.device) ++half.device;
  }
  for (size_t h = 0; h < 2; ++h) {
    ListHalf& half = halves[h];
    offsets[h][half.count] = filled[h];
    half.groups = {half.count, filled[h], half.own_offsets.device(), half.own_items.device()};
    half.slots = half.own_slots.device();
    half.own_offsets.upload(stream, half.count + 1);
    half.own_items.upload(stream, filled[h]);
    half.own_slots.upload(stream, half.here);
  }
}

/// The rows that go out at a stage, by half.
void RowDivider::choose_sent(Stream& stream, int stage, Route& route) {
  const int64_t requested = route.stages[stage].requested.total;
  const int32_t* rows = route.lists[stage].row_of_request.data();
  const uint8_t* dirty = route.with_previous.dirty[stage].data();
  std::array<Mirrored<int32_t>, 2>& sent = route.received[stage].sent;
  int32_t* to[2] = {sent[0].reserve(requested), sent[1].reserve(requested)};
  for (int64_t i = 0; i < requested; ++i) *to[dirty[rows[i]]]++ = rows[i];
  for (const RowHalf half : kHalves)
    sent[index_of(half)].upload(stream, route.counts(route.with_previous, stage, half).requested.total);
}

}  // namespace sparrow
