#include "exchange/row_split.hpp"

#include <algorithm>

#include "exchange/route.hpp"

namespace sparrow {

RowSplit::RowSplit(Backend& backend, std::span<const int> peers) {
  for (const int size : peers) stages.push_back({StageCounts(size), StageCounts(size)});
  for (size_t level = 0; level <= peers.size(); ++level) shared.emplace_back(backend, Memory::host);
}

void RowSplit::take_all(size_t stage, const StageCounts& all) {
  auto& [single, whole] = stages[stage];
  whole = all;
  std::fill(single.asked.begin(), single.asked.end(), 0);
  std::fill(single.requested.begin(), single.requested.end(), 0);
  single.sum_asked();
  single.sum_requested();
}

RowSplitter::RowSplitter(Backend& host, const Directory& directory, const StageComms& comms)
    : directory_(directory), comms_(comms), send_(host, Memory::host), recv_(host, Memory::host) {}

void RowSplitter::split(const Route& batch, RowSplit& with_next, const Route& next, RowSplit& with_batch) {
  const Side sides[] = {{batch, with_next}, {next, with_batch}};
  for (const Side& side : sides) {
    side.split.known = true;
    for (size_t level = 0; level < side.route.lists.size(); ++level)
      side.split.shared[level].reserve(side.route.lists[level].count);
  }
  find_shared(sides[0], sides[1]);
  for (int stage = 0; stage < comms_.count(); ++stage) {
    tell(stage, sides);
    for (const Side& side : sides) count(stage, side);
  }
}

/// At level 0, where all rows are here.
void RowSplitter::find_shared(const Side& a, const Side& b) {
  marks_.resize(static_cast<size_t>(directory_.slots() + 63) / 64, 0);
  const auto slots = [](const Side& side) {
    return std::span(side.route.held_slots.data(), side.route.lists[0].count);
  };
  const auto compare = [&](const Side& with, const Side& of) {
    for (const int64_t slot : slots(with)) marks_[slot / 64] |= uint64_t{1} << (slot % 64);
    uint8_t* shared = of.split.shared[0].data();
    for (const int64_t slot : slots(of)) *shared++ = marks_[slot / 64] >> (slot % 64) & 1;
    for (const int64_t slot : slots(with)) marks_[slot / 64] = 0;
  };
  compare(a, b);
  compare(b, a);
}

/// Answers the requests of a stage with a bit each, those of the earlier batch before those of the later one, each
/// peer's in whole bytes; and takes the answers into the lists one level below.
void RowSplitter::tell(int stage, std::span<const Side> sides) {
  Comm& comm = comms_.host(stage);
  const auto peers = static_cast<size_t>(comm.size());
  for (auto* list : {&send_bytes_, &send_offsets_, &recv_bytes_, &recv_offsets_}) list->resize(peers);
  int64_t send_total = 0, recv_total = 0;
  for (size_t p = 0; p < peers; ++p) {
    send_offsets_[p] = send_total, recv_offsets_[p] = recv_total;
    for (const Side& side : sides) {
      const StageCounts& counts = side.route.stages[stage];
      send_total += (counts.requested[p] + 7) / 8;
      recv_total += (counts.asked[p] + 7) / 8;
    }
    send_bytes_[p] = send_total - send_offsets_[p], recv_bytes_[p] = recv_total - recv_offsets_[p];
  }
  uint8_t* send = send_.reserve(send_total);
  uint8_t* recv = recv_.reserve(recv_total);
  std::fill_n(send, send_total, uint8_t{0});
  uint8_t* to = send;
  for (size_t p = 0; p < peers; ++p)
    for (const Side& side : sides) {
      const StageCounts& counts = side.route.stages[stage];
      const uint8_t* shared = side.split.shared[stage].data();
      const int32_t* rows = side.route.lists[stage].row_of_member.data() + counts.requested_offsets[p];
      for (int64_t i = 0; i < counts.requested[p]; ++i)
        to[i / 8] = static_cast<uint8_t>(to[i / 8] | shared[rows[i]] << (i % 8));
      to += (counts.requested[p] + 7) / 8;
    }
  comm.wait(comm.post(nullptr, {Phase::ids, reinterpret_cast<const std::byte*>(send), send_bytes_, send_offsets_,
                                reinterpret_cast<std::byte*>(recv), recv_bytes_, recv_offsets_}));
  const uint8_t* from = recv;
  for (size_t p = 0; p < peers; ++p)
    for (const Side& side : sides) {
      const StageCounts& counts = side.route.stages[stage];
      const RowList& list = side.route.lists[static_cast<size_t>(stage) + 1];
      uint8_t* shared = side.split.shared[static_cast<size_t>(stage) + 1].data();
      if (p == 0) std::fill_n(shared, list.here, uint8_t{1});  // rows with several copies
      uint8_t* asked = shared + list.here + counts.asked_offsets[p];
      for (int64_t i = 0; i < counts.asked[p]; ++i) asked[i] = from[i / 8] >> (i % 8) & 1;
      from += (counts.asked[p] + 7) / 8;
    }
}

void RowSplitter::count(int stage, const Side& side) const {
  const StageCounts& all = side.route.stages[stage];
  auto& [single, shared] = side.split.stages[stage];
  const RowList& below = side.route.lists[static_cast<size_t>(stage) + 1];
  const uint8_t* asked = side.split.shared[static_cast<size_t>(stage) + 1].data() + below.here;
  const uint8_t* of_row = side.split.shared[stage].data();
  const int32_t* rows = side.route.lists[stage].row_of_member.data();
  for (size_t p = 0; p < all.asked.size(); ++p) {
    const auto asked_shared = std::count(asked + all.asked_offsets[p], asked + all.asked_offsets[p] + all.asked[p], 1);
    const auto requested_shared =
        std::count_if(rows + all.requested_offsets[p], rows + all.requested_offsets[p] + all.requested[p],
                      [&](int32_t row) { return of_row[row] != 0; });
    shared.asked[p] = asked_shared, single.asked[p] = all.asked[p] - asked_shared;
    shared.requested[p] = requested_shared, single.requested[p] = all.requested[p] - requested_shared;
  }
  for (StageCounts* counts : {&single, &shared}) {
    counts->sum_asked();
    counts->sum_requested();
  }
}

}  // namespace sparrow
